// SPDX-License-Identifier: Apache-2.0
//! The `#!` line: does it name an interpreter that is there?

use super::content::first_line;
use super::file::File;
use super::finding::{Finding, Kind, Severity};
use super::quote;
use super::runner::{EXECUTE, Runner};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use virt_hooks_engine::Host;

/// What a service finds on its `PATH` (systemd's default).
const SERVICE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the kernel reads of the line, `#!` and end included (`BINPRM_BUF_SIZE`).
const LONGEST: usize = 255;

/// Looks interpreters up for the hooks of one point.
pub(super) struct Interpreters<'a> {
    runner: &'a Runner,
    path: Vec<PathBuf>,
    service_path: Vec<PathBuf>,
}

impl<'a> Interpreters<'a> {
    pub(super) fn of(host: &Host, runner: &'a Runner) -> Self {
        let path = host.settings.environment.iter().find(|(name, _)| name == b"PATH");
        let path = path.map_or(b"/bin:/usr/bin".as_slice(), |(_, value)| value);
        Self {
            runner,
            path: std::env::split_paths(OsStr::from_bytes(path)).collect(),
            service_path: std::env::split_paths(SERVICE_PATH).collect(),
        }
    }

    pub(super) fn judge(&self, file: &File, out: &mut Vec<Finding>) {
        let line = first_line(&file.content.head);
        // The carriage return has a finding of its own, and the rest of the line is judged without it.
        let written = line.strip_suffix(b"\r").unwrap_or(line);
        if written.len() > LONGEST {
            out.push(
                Finding::new(Severity::Broken, Kind::InterpreterLineTooLong, &file.path)
                    .what(format!("has a #! line of {} bytes; the kernel reads {LONGEST}", written.len()))
                    .why("what stands beyond is cut off: another interpreter or other options are used, or none")
                    .mend(format!("{} # a short path, such as a link", quote::first_line("#!/path/to/interpreter", &file.target()))),
            );
            return;
        }
        let text = trim(&written[2..]);
        let end = text.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(text.len());
        let (interpreter, argument) = (&text[..end], trim(&text[end..]));
        let path = Path::new(OsStr::from_bytes(interpreter));
        if interpreter.is_empty() {
            out.push(self.missing(file, "", "has a #! line that names no interpreter".to_owned(), argument));
        } else if !path.is_absolute() {
            let base = base_name(interpreter);
            let full = self.instead_of(&base);
            out.push(
                Finding::new(Severity::Broken, Kind::InterpreterRelative, &file.path)
                    .what(format!("names the interpreter {:?} without a full path", path.display().to_string()))
                    .why("the kernel does not search PATH: it looks in the working directory of whoever runs the hook")
                    .mend(quote::first_line(&with_argument(&full.to_string_lossy(), argument), &file.target())),
            );
        } else if path.file_name() == Some(OsStr::new("env")) && self.present(file, path, argument, out) {
            self.judge_env(file, path, argument, out);
        } else if path.file_name() != Some(OsStr::new("env")) {
            self.present(file, path, argument, out);
        }
    }

    /// Whether the interpreter is there; if not, says so.
    fn present(&self, file: &File, path: &Path, argument: &[u8], out: &mut Vec<Finding>) -> bool {
        let base = base_name(path.as_os_str().as_bytes());
        match std::fs::metadata(path) {
            Err(_) => {
                out.push(self.missing(
                    file,
                    &base,
                    format!("needs {}, which is not installed", path.display()),
                    argument,
                ));
                false
            }
            Ok(m) if !m.is_file() || !self.runner.may(EXECUTE, &m) => {
                let what = if m.is_dir() {
                    format!("names {} as its interpreter, which is a directory", path.display())
                } else {
                    format!(
                        "names {} as its interpreter, which user {} may not execute",
                        path.display(),
                        self.runner.uid()
                    )
                };
                let mend = if m.is_file() {
                    format!("chmod a+rx {}", quote::path(path))
                } else {
                    quote::first_line(
                        &with_argument(&self.instead_of(&base).to_string_lossy(), argument),
                        &file.target(),
                    )
                };
                out.push(
                    Finding::new(Severity::Broken, Kind::InterpreterNotExecutable, &file.path)
                        .what(what)
                        .why("the kernel refuses to run the hook (\"Permission denied\"), and it fails at every event")
                        .mend(mend),
                );
                false
            }
            Ok(_) => true,
        }
    }

    /// `#!/usr/bin/env PROGRAM`: all that follows `env` reaches it as one word.
    fn judge_env(&self, file: &File, env: &Path, argument: &[u8], out: &mut Vec<Finding>) {
        let text = String::from_utf8_lossy(argument).into_owned();
        let split = text.strip_prefix("-S").or_else(|| text.strip_prefix("--split-string="));
        let program = match split {
            Some(words) => {
                words.split_whitespace().find(|w| !w.starts_with('-') && !w.contains('=')).unwrap_or("")
            }
            None => text.as_str(),
        };
        let arguments = |what: String, why: &str, mend: String| {
            Finding::new(Severity::Broken, Kind::InterpreterArguments, &file.path)
                .what(what)
                .why(why)
                .mend(mend)
        };
        if program.is_empty() || (split.is_none() && program.starts_with('-')) {
            out.push(arguments(
                "runs env without the name of a program".to_owned(),
                "env then runs the hook itself, again and again, or nothing at all",
                quote::first_line("#!/bin/sh", &file.target()),
            ));
            return;
        }
        if split.is_none() && program.contains([' ', '\t']) {
            out.push(arguments(
                format!("passes {program:?} to env, which takes it for the name of one program"),
                "the kernel passes everything after the interpreter on as a single word",
                quote::first_line(&format!("#!{} -S {program}", env.display()), &file.target()),
            ));
            return;
        }
        if program.contains('/') {
            self.present(file, Path::new(program), b"", out);
            return;
        }
        let in_service = self.find(program, &self.service_path);
        match self.find(program, &self.path) {
            None if in_service.is_none() => {
                out.push(self.missing(file, program, format!("needs {program}, which is not on PATH"), b""));
            }
            Some(here) if in_service.is_none() => out.push(
                Finding::new(Severity::Warning, Kind::InterpreterOnlyHere, &file.path)
                    .what(format!("needs {program}, found only at {}", here.display()))
                    .why(format!(
                        "the PATH of this session leads there, that of a service ({SERVICE_PATH}) does not"
                    ))
                    .mend(quote::first_line(
                        &format!("#!{}", self.instead_of(program).display()),
                        &file.target(),
                    )),
            ),
            _ => {}
        }
    }

    fn find(&self, program: &str, path: &[PathBuf]) -> Option<PathBuf> {
        path.iter()
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .find(|p| std::fs::metadata(p).is_ok_and(|m| m.is_file() && self.runner.may(EXECUTE, &m)))
    }

    /// An interpreter that does the same and is there, else where one would be.
    fn instead_of(&self, name: &str) -> PathBuf {
        let name = if is_python(name) {
            "python3"
        } else if name.is_empty() {
            "sh"
        } else {
            name
        };
        let found = self.find(name, &self.service_path).or_else(|| self.find(name, &self.path));
        found.unwrap_or_else(|| Path::new("/usr/bin").join(name))
    }

    fn missing(&self, file: &File, name: &str, what: String, argument: &[u8]) -> Finding {
        let instead = self.instead_of(name);
        let line = quote::first_line(&with_argument(&instead.to_string_lossy(), argument), &file.target());
        let finding = Finding::new(Severity::Broken, Kind::InterpreterMissing, &file.path).what(what);
        let (why, mend) = match name {
            "python" => ("systems of today have no \"python\" any more, only python3".to_owned(), line),
            _ if name.starts_with("python2") => (
                "Python 2 has left the distributions: port the hook to Python 3, then let it name python3"
                    .to_owned(),
                line,
            ),
            _ if is_python(name) => (
                "the hook is tied to one release of Python, and breaks with each update of the system"
                    .to_owned(),
                line,
            ),
            _ => {
                let why =
                    "the kernel says \"No such file or directory\" of the hook, and it fails at every event"
                        .to_owned();
                let mend = if instead.exists() {
                    line
                } else {
                    format!("{} {}", installer(), quote::word(name.as_bytes()))
                };
                (why, mend)
            }
        };
        finding.why(why).mend(mend)
    }
}

fn is_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

fn installer() -> &'static str {
    if Path::new("/usr/bin/apt-get").exists() { "apt-get install" } else { "dnf install" }
}

fn base_name(path: &[u8]) -> String {
    Path::new(OsStr::from_bytes(path)).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn with_argument(interpreter: &str, argument: &[u8]) -> String {
    let argument = String::from_utf8_lossy(argument);
    format!("#!{interpreter} {argument}").trim_end().to_owned()
}

/// Blanks as the kernel sees them.
fn trim(text: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !blank(b)).map_or(start, |n| n + 1);
    &text[start..end]
}
