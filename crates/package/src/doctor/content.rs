// SPDX-License-Identifier: Apache-2.0
//! What is in a hook, and what the kernel will make of it.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::interpreter::Interpreters;
use super::machine::Machine;
use super::program;
use super::quote;
use super::survey::{PointFiles, Survey};
use std::ffi::OsStr;
use virt_hooks_contract::{Output, PayloadKind};

pub(super) fn check(survey: &Survey<'_>, machine: &Machine, out: &mut Vec<Finding>) {
    for files in &survey.points {
        let interpreters = Interpreters::of(survey.host, &files.runner);
        for file in files.hooks() {
            let mut found = Vec::new();
            judge(file, &interpreters, machine, &mut found);
            if file.state == State::Runs {
                found.extend(output_ignored(file, files));
            }
            out.extend(found.into_iter().map(|f| f.at(files.name())));
        }
    }
}

fn judge(file: &File, interpreters: &Interpreters<'_>, machine: &Machine, out: &mut Vec<Finding>) {
    if let Some(e) = &file.content.error {
        out.push(
            Finding::new(Severity::Hint, Kind::UnreadableFile, &file.path)
                .what(format!("cannot be looked into: {e}"))
                .why("the doctor cannot say whether its interpreter is there")
                .mend(format!("chmod a+r {} # or: sudo virt-hooks doctor", quote::path(&file.path))),
        );
        return;
    }
    if file.is_elf() {
        out.extend(program::judge(file, machine));
        return;
    }
    let head = &file.content.head;
    if head.is_empty() {
        out.push(
            Finding::new(Severity::Warning, Kind::EmptyFile, &file.path)
                .what("is empty")
                .why("an empty file runs under /bin/sh, does nothing and reports success")
                .mend(format!("rm {}", quote::path(&file.path))),
        );
        return;
    }
    let target = file.target();
    if head.starts_with(b"\xef\xbb\xbf") {
        out.push(
            Finding::new(Severity::Broken, Kind::ByteOrderMark, &file.path)
                .what("starts with a byte order mark (UTF-8 BOM)")
                .why("the kernel looks for #! in the first two bytes; with a mark before it the script runs under /bin/sh, whatever the line says")
                .mend(format!("sed -i '1s/^\\xEF\\xBB\\xBF//' {}", quote::path(&target))),
        );
    } else if head.starts_with(b"#!") {
        interpreters.judge(file, out);
    } else {
        out.push(no_interpreter(file));
    }
    let line_ends_in_cr = first_line(head).ends_with(b"\r");
    if file.content.crlf && (line_ends_in_cr || runs_under_a_shell(file)) {
        out.push(
            Finding::new(Severity::Broken, Kind::CrlfLines, &file.path)
                .what("has lines that end in CR LF, as on Windows")
                .why(if line_ends_in_cr && file.is_script() {
                    "the carriage return becomes part of the interpreter's name, and no such interpreter exists"
                } else {
                    "the shell takes the carriage return for a part of each command"
                })
                .mend(format!("sed -i 's/\\r$//' {}", quote::path(&target))),
        );
    } else if file.content.crlf {
        out.push(
            Finding::new(Severity::Warning, Kind::CrlfLines, &file.path)
                .what("has some lines that end in CR LF, as on Windows")
                .why("texts that it writes over several lines get a carriage return at each end of line")
                .mend(format!("sed -i 's/\\r$//' {}", quote::path(&target))),
        );
    }
}

pub(super) fn first_line(text: &[u8]) -> &[u8] {
    text.split(|&b| b == b'\n').next().unwrap_or_default()
}

fn runs_under_a_shell(file: &File) -> bool {
    if !file.is_script() {
        return true;
    }
    let line = String::from_utf8_lossy(first_line(&file.content.head)).into_owned();
    line.split(|c: char| c == '/' || c.is_whitespace())
        .any(|w| matches!(w, "sh" | "bash" | "dash" | "ksh" | "zsh"))
}

fn no_interpreter(file: &File) -> Finding {
    let target = file.target();
    let text = file.text();
    let late = text.lines().take(5).find(|l| l.trim_start().starts_with("#!"));
    if let Some(line) = late {
        let sh = line.trim_end().ends_with("/sh");
        return Finding::new(
            if sh { Severity::Warning } else { Severity::Broken },
            Kind::InterpreterLineNotFirst,
            &file.path,
        )
        .what(format!("has {:?}, but not at its very beginning", line.trim()))
        .why("the kernel looks for #! in the first two bytes; elsewhere it is a comment, and the script runs under /bin/sh")
        .mend(format!("sed -i '1,/#!/{{/#!/!d;s/^[[:space:]]*//}}' {}", quote::path(&target)));
    }
    let insert = |line: &str| {
        format!("sed -i {} {}", quote::word(format!("1i {line}").as_bytes()), quote::path(&target))
    };
    if let Some((language, line)) = language(file, text) {
        return Finding::new(Severity::Broken, Kind::NoInterpreterLine, &file.path)
            .what(format!("has no #! line, though it looks like {language}"))
            .why(format!("without that line it runs under /bin/sh, which does not understand {language}"))
            .mend(insert(line));
    }
    if text.is_empty() {
        return Finding::new(Severity::Broken, Kind::NoInterpreterLine, &file.path)
            .what("is neither a binary the kernel knows nor a script")
            .why("it is given to /bin/sh, which can make nothing of it")
            .mend(format!("file {} # then build it for this machine", quote::path(&target)));
    }
    Finding::new(Severity::Hint, Kind::NoInterpreterLine, &file.path)
        .what("has no #! line and runs under /bin/sh")
        .why("VDSM runs such a file the same way, but not every caller does")
        .mend(insert("#!/bin/sh"))
}

/// A language that is not the shell's, as far as the first lines tell, and its `#!` line.
fn language(file: &File, text: &str) -> Option<(&'static str, &'static str)> {
    const PYTHON: (&str, &str) = ("Python", "#!/usr/bin/python3");
    const PERL: (&str, &str) = ("Perl", "#!/usr/bin/perl");
    const RUBY: (&str, &str) = ("Ruby", "#!/usr/bin/ruby");
    match file.path.extension().and_then(OsStr::to_str) {
        Some("py") => return Some(PYTHON),
        Some("pl") => return Some(PERL),
        Some("rb") => return Some(RUBY),
        Some("sh" | "bash") => return None,
        _ => {}
    }
    text.lines().take(200).map(str::trim_end).find_map(|line| {
        let mut words = line.split_whitespace();
        let (first, second, third) = (words.next()?, words.next().unwrap_or(""), words.next());
        // `import` and `from` are words a shell script may well start a line with, at least in a text.
        match first {
            "import" if imports_modules(line) => Some(PYTHON),
            "from" if third == Some("import") => Some(PYTHON),
            "def" | "class" if line.ends_with(':') => Some(PYTHON),
            "use" if line.ends_with(';') => Some(PERL),
            "my" if second.starts_with(['$', '@', '%', '(']) => Some(PERL),
            "require" if second.starts_with(['\'', '"']) => Some(RUBY),
            _ => None,
        }
    })
}

/// `import a, b.c as d`: a shell's `import` is a program that takes pictures of the screen.
fn imports_modules(line: &str) -> bool {
    let is_name = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    line.trim_start().strip_prefix("import ").is_some_and(|modules| {
        modules.split(',').all(|module| match module.split_whitespace().collect::<Vec<_>>()[..] {
            [name] => name.split('.').all(is_name),
            [name, "as", other] => name.split('.').all(is_name) && is_name(other),
            _ => false,
        })
    })
}

/// Source: the table of hook points, column output.
fn output_ignored(file: &File, files: &PointFiles) -> Option<Finding> {
    if files.point.output == Output::Used {
        return None;
    }
    let text = file.text();
    let word = ["write_domxml", "write_json"].into_iter().find(|w| text.contains(w)).or_else(|| {
        let variable = if files.point.payload == PayloadKind::Json { "_hook_json" } else { "_hook_domxml" };
        let writes = text.lines().any(|line| {
            let mut targets = line.split('>').skip(1);
            targets.any(|to| to.trim_start_matches(['|', ' ', '"', '$', '{']).starts_with(variable))
        });
        writes.then_some(variable)
    })?;
    Some(
        Finding::new(Severity::Hint, Kind::OutputIgnored, &file.path)
            .what(format!("writes the payload ({word}), but nobody uses it at this point"))
            .why("the document is only shown to hooks here: what they change is without effect")
            .mend("virt-hooks points # shows at which points the output is used"),
    )
}
