// SPDX-License-Identifier: Apache-2.0
//! A chapter of the book, as its reader works through it.

/// What a block is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A file of this name.
    File(String),
    /// Commands, run as one script.
    Script,
    /// Commands after `$ `, and what they say.
    Session,
    /// To be read.
    Shown,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    pub(crate) used: Use,
    /// What it changes: the host's `libvirt`, the host as `root`; or that it runs in a `cluster`.
    pub(crate) needs: Vec<String>,
    pub(crate) text: String,
}

/// The blocks of a chapter. The line of a block that does not say what it is, or is not closed, is the error.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, usize> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let (language, file) = match info.split_once(" file=") {
            Some((language, file)) => (language, Some(file)),
            None => (info, None),
        };
        let mut words = language.split(',');
        let language = words.next().filter(|w| !w.is_empty()).ok_or(n + 1)?;
        let needs = words.filter_map(|w| w.strip_prefix("needs-")).map(str::to_owned).collect();
        let used = match (file, language) {
            (Some(file), _) => Use::File(file.trim().to_owned()),
            (None, "sh") => Use::Script,
            (None, "console") => Use::Session,
            (None, _) => Use::Shown,
        };
        let mut text = String::new();
        loop {
            let (_, line) = lines.next().ok_or(n + 1)?;
            if line == "```" {
                break;
            }
            text.push_str(line);
            text.push('\n');
        }
        blocks.push(Block { line: n + 1, used, needs, text });
    }
    Ok(blocks)
}

/// The scripts of a chapter that need this, for the test that has it.
pub(crate) fn scripts_that_need(page: &str, need: &str) -> Vec<String> {
    let blocks = blocks(page).unwrap_or_default().into_iter();
    blocks.filter(|b| b.used == Use::Script && b.needs.iter().any(|n| n == need)).map(|b| b.text).collect()
}

/// The commands of a session, each with the lines it is said to print.
pub(crate) fn session(text: &str) -> Result<Vec<(&str, Vec<&str>)>, &str> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, output))) => output.push(line),
            (None, None) => return Err(line),
        }
    }
    Ok(commands)
}

/// Whether output is as the book shows it: a line `...` stands for any lines, `...` in a line for anything.
pub(crate) fn is_as_shown(shown: &[&str], output: &[&str]) -> bool {
    match (shown.split_first(), output.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => (0..=output.len()).any(|n| is_as_shown(rest, &output[n..])),
        (Some((line, shown)), Some((said, output))) => fits(line, said) && is_as_shown(shown, output),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn fits(shown: &str, said: &str) -> bool {
    let mut parts = shown.trim_end().split("...");
    let said = said.trim_end();
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The commands of virt-hooks that stand in the text, between back quotes.
pub(crate) fn mentioned(page: &str) -> Vec<(usize, &str)> {
    let mut mentioned = Vec::new();
    let mut in_block = false;
    for (n, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let code = line.split('`').skip(1).step_by(2);
            mentioned.extend(code.filter(|c| c.starts_with("virt-hooks ")).map(|c| (n + 1, c)));
        }
    }
    mentioned
}
