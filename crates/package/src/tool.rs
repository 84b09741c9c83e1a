// SPDX-License-Identifier: Apache-2.0
//! Programs of this host that know more of a file.

use rustix::fs::Access;
use std::path::{Path, PathBuf};
use std::time::Duration;
use virt_hooks_sdk::Command;

/// How long one look at a file may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Where administrators' commands are, which not every `PATH` has.
const ADMIN: &[&str] = &["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Where a command is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let runs = |file: &PathBuf| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(runs);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(ADMIN.iter().map(PathBuf::from));
    dirs.filter(|d| d.is_absolute()).map(|dir| dir.join(name)).find(runs)
}

/// What a program says of a file.
#[derive(Debug)]
pub(crate) struct Said {
    /// Whether it finds it good.
    pub(crate) good: bool,
    /// Its words, both streams.
    pub(crate) text: String,
}

/// Asks a program; `None` where it is not here, cannot be started, or gives no answer.
pub(crate) fn ask(program: &str, arguments: &[&str], file: &Path) -> Option<Said> {
    ask_at(&find(program)?, arguments, file)
}

/// As [`ask`], of the program in a place.
pub(crate) fn ask_at(program: &Path, arguments: &[&str], file: &Path) -> Option<Said> {
    // A name that starts with a dash is no option.
    let file = std::path::absolute(file).ok()?;
    let command = Command::new(program).args(arguments.iter().copied()).arg(file).deadline(DEADLINE);
    let output = command.run().ok()?;
    let text = format!("{}{}", output.stdout.text(), output.stderr.text());
    Some(Said { good: output.status.success(), text })
}

impl Said {
    /// Its first line.
    pub(crate) fn first_line(&self) -> &str {
        self.text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("it does not say why")
    }

    /// Its last line.
    pub(crate) fn last_line(&self) -> &str {
        self.text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or("it does not say why")
    }
}
