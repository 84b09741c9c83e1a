// SPDX-License-Identifier: Apache-2.0
//! An error in a TOML file, said so that its writer can mend it.

/// What is wrong in a TOML file and where. Its text is one line: `FILE:LINE:COLUMN: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct TomlError {
    /// The file, as the reader knows it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, with the key and, where one is alike, the key probably meant.
    pub message: String,
}

impl TomlError {
    /// Places a parser's error in its file.
    pub fn new(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |s| s.start);
        let (line, column) = place(text, at);
        let said = error.message();
        let message = unknown_key(said).unwrap_or_else(|| {
            let said = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(": ");
            match key_before(text, at) {
                Some(key) if !said.contains(&format!("`{key}`")) => format!("key \"{key}\": {said}"),
                _ => said,
            }
        });
        Self { file: file.to_owned(), line, column, message }
    }

    /// An error about the meaning of a key, placed at the last line that sets it to this value: of two that may
    /// not be the same the second is one too many.
    pub(crate) fn of_key(file: &str, text: &str, (key, value): (&str, &str), message: &str) -> Self {
        let set = |l: &str| {
            let after = l.trim_start().strip_prefix(key)?.trim_start().strip_prefix('=')?;
            // Escapes are rare in names: then it is the last line that sets the key at all.
            Some(after.contains(&format!("\"{value}\"")) || after.contains(&format!("'{value}'")))
        };
        let lines: Vec<Option<bool>> = text.lines().map(set).collect();
        let exact = lines.iter().rposition(|l| *l == Some(true));
        let line = exact.or_else(|| lines.iter().rposition(Option::is_some)).map_or(1, |n| n + 1);
        Self { file: file.to_owned(), line, column: 1, message: message.to_owned() }
    }
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The key on whose line offset `at` stands.
fn key_before(text: &str, at: usize) -> Option<&str> {
    let before = text.get(..at)?;
    let line = &before[before.rfind('\n').map_or(0, |n| n + 1)..];
    line.split_once('=').map(|(key, _)| key.trim()).filter(|k| !k.is_empty())
}

/// serde says "unknown field `x`, expected one of `a`, `b`"; people want to hear which one was meant.
fn unknown_key(said: &str) -> Option<String> {
    let mut quoted = said.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    Some(match nearest(wrong, known.iter().copied()) {
        Some(meant) => format!("unknown key \"{wrong}\": did you mean \"{meant}\"?"),
        None => format!("unknown key \"{wrong}\": known here are {}", known.join(", ")),
    })
}

/// The candidate most like `word`, if any is alike enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|&(distance, c)| distance <= c.len().max(word.len()) / 3)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, c)| c)
}
