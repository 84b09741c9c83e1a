// SPDX-License-Identifier: Apache-2.0
//! Scripts: do their interpreters understand them? They are read, not run.

use super::edit;
use crate::author::PackageDir;
use crate::doctor::{Finding, Kind, Severity};
use crate::tool::{Said, ask, find};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use virt_hooks_contract::Point;

/// How many of shellcheck's findings are told for one script.
const TOLD: usize = 20;
/// Reads a script as Python would, and writes nothing down.
const COMPILE: &str = "import sys
try:
    with open(sys.argv[1], 'rb') as f:
        compile(f.read(), sys.argv[1], 'exec', dont_inherit=True)
except (SyntaxError, ValueError) as e:
    sys.exit('line %s: %s' % (getattr(e, 'lineno', '?'), getattr(e, 'msg', None) or e))
";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Shell(&'static str),
    /// With the interpreter its first line names.
    Python(String),
    Perl,
    Other,
}

pub(super) fn check(
    package: &PackageDir,
    hooks: &[(Point, PathBuf, Vec<PathBuf>)],
    own: bool,
    out: &mut Vec<Finding>,
) {
    let elsewhere = package.manifest.file.iter().map(|f| package.dir.join(&f.source));
    let mut files: Vec<PathBuf> = hooks.iter().map(|(_, path, _)| path.clone()).collect();
    files.extend(package.helpers());
    files.extend(elsewhere);
    files.sort();
    files.dedup();
    for path in files.iter().filter(|p| p.is_file()) {
        match language(path) {
            Script::Shell(shell) => {
                let bad = syntax(path, shell, &["-n"]);
                // A script that cannot be read is told of once.
                if bad.is_none() {
                    shellcheck(path, shell, out);
                }
                out.extend(bad);
            }
            Script::Python(interpreter) => {
                let interpreter =
                    find(&interpreter).map_or("python3".into(), |p| p.to_string_lossy().into_owned());
                out.extend(syntax(path, &interpreter, &["-I", "-B", "-c", COMPILE]));
            }
            // Not a reader as the others are: `BEGIN` blocks and modules run. No list of what may stand in a script
            // keeps that out, and people check packages of others before they install them.
            Script::Perl if own => {
                let said = ask("perl", &["-c"], path);
                out.extend(syntax_of(path, "perl", said, Said::first_line));
            }
            Script::Perl | Script::Other => {}
        }
    }
    // Sources, which are built elsewhere: parsed, and neither built nor loaded.
    for path in package.files().iter().filter(|p| p.extension().is_some_and(|e| e == "go")) {
        out.extend(syntax_of(path, "gofmt", ask("gofmt", &["-e", "-l"], path), Said::first_line));
    }
}

fn syntax(path: &Path, interpreter: &str, arguments: &[&str]) -> Option<Finding> {
    let name = interpreter.rsplit('/').next().unwrap_or(interpreter);
    syntax_of(path, name, ask(interpreter, arguments, path), Said::last_line)
}

/// `line`: which of its lines says what is wrong.
fn syntax_of(path: &Path, name: &str, said: Option<Said>, line: fn(&Said) -> &str) -> Option<Finding> {
    let said = said?;
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let line = line(&said).replace(&format!("{}: ", whole.display()), "");
    let line = line
        .replace(&format!("{}:", whole.display()), "line ")
        .replace(&format!(" at {}", whole.display()), " at");
    (!said.good).then(|| {
        Finding::new(Severity::Broken, Kind::ScriptSyntax, path)
            .what(format!("is not understood by {name}: {line}"))
            .why("the hook fails at every event, or in the middle of its work")
            .mend(edit(path))
    })
}

fn shellcheck(path: &Path, shell: &str, out: &mut Vec<Finding>) {
    let Some(said) = ask("shellcheck", &["-f", "gcc", "-s", shell, "-S", "info"], path) else { return };
    if said.good {
        return;
    }
    // FILE:LINE:COLUMN: LEVEL: MESSAGE [SCnnnn]
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let prefix = format!("{}:", whole.display());
    let found: Vec<(&str, &str, &str)> = said
        .text
        .lines()
        .filter_map(|line| {
            let (place, rest) = line.strip_prefix(&prefix)?.split_once(": ")?;
            let (level, message) = rest.split_once(": ")?;
            Some((place.split(':').next()?, level, message))
        })
        .collect();
    for (line, level, message) in found.iter().take(TOLD) {
        let severity = if *level == "note" { Severity::Hint } else { Severity::Warning };
        out.push(
            Finding::new(severity, Kind::Shellcheck, path)
                .what(format!("line {line}: {message}"))
                .why("shellcheck finds here what a shell may take in another way than meant")
                .mend(format!("{} # at line {line}", edit(path))),
        );
    }
}

/// What a script is written in: as its first line says, else as its name does.
pub(super) fn language(path: &Path) -> Script {
    let mut head = [0; 256];
    let read = File::open(path).and_then(|mut f| f.read(&mut head)).unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..read]);
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let Some(line) = head.strip_prefix("#!").and_then(|rest| rest.lines().next()) else {
        // Without such a line it is a module, or something to be sourced.
        return match extension {
            "py" => Script::Python("python3".to_owned()),
            "sh" => Script::Shell("sh"),
            "bash" => Script::Shell("bash"),
            _ => Script::Other,
        };
    };
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let by_env = first.ends_with("/env");
    let interpreter = if by_env { words.find(|w| !w.starts_with('-')).unwrap_or_default() } else { first };
    let name = interpreter.rsplit('/').next().unwrap_or_default();
    match name {
        "sh" | "dash" => Script::Shell(if name == "dash" { "dash" } else { "sh" }),
        "bash" => Script::Shell("bash"),
        "ksh" => Script::Shell("ksh"),
        "perl" => Script::Perl,
        _ if name.starts_with("python") => Script::Python(interpreter.to_owned()),
        _ => Script::Other,
    }
}
