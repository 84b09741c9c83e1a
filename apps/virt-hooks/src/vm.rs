// SPDX-License-Identifier: Apache-2.0
//! `vm`: hands over to the executable that loads libvirt.
//!
//! `virt-hooks` itself is static and needs no C library. libvirt must be loaded at run time, so what needs it
//! is a program of its own, which gets the same arguments.

use crate::environ::Environ;
use crate::failure::Failure;
use rustix::fs::Access;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "virt-hooks-vm";
/// The prefix this was built for.
const PREFIX: &str = match option_env!("VIRT_HOOKS_PREFIX") {
    Some(prefix) => prefix,
    None => "/usr",
};

/// Becomes the other program; comes back only where that is not possible.
pub(crate) fn hand_over(environ: &Environ) -> Result<u8, Failure> {
    let beside = environ.executable().and_then(|e| e.parent().map(Path::to_owned));
    let program = find(beside.as_deref(), environ.path()).ok_or_else(|| missing(beside.as_deref()))?;
    let error = Command::new(&program).args(environ.arguments().iter().skip(1)).exec();
    Err(Failure::usage(format!("run {}: {error}", program.display())))
}

fn libexec() -> PathBuf {
    Path::new(PREFIX).join("libexec/virt-hooks")
}

fn find(beside: Option<&Path>, path: Vec<PathBuf>) -> Option<PathBuf> {
    let near = beside.map(|dir| [dir.to_owned(), dir.join("../libexec/virt-hooks")]).into_iter().flatten();
    near.chain([libexec()])
        .chain(path.into_iter().filter(|dir| dir.is_absolute()))
        .map(|dir| dir.join(PROGRAM))
        .find(|file| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok())
}

fn missing(beside: Option<&Path>) -> Failure {
    let beside = beside.map(|dir| format!("{}, ", dir.display())).unwrap_or_default();
    Failure::usage(format!(
        "vm: {PROGRAM} is missing, the part that needs libvirt: it is not in {beside}{} or PATH; \
         install the package {PROGRAM}, or put the file there",
        libexec().display()
    ))
}
