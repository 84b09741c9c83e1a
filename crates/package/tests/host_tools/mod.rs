// SPDX-License-Identifier: Apache-2.0
//! rpm, dpkg and their linters in tests: calls of them, what they may say, and a root to install into.

use libtest_mimic::{Failed, Trial};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A test that needs these tools (`root`: to be root), ignored with the reason where one is missing.
pub(crate) fn trial(name: &str, tools: &[&str], test: fn() -> Result<(), Failed>) -> Trial {
    let missing = tools.iter().find(|t| !has(t));
    let why = match missing {
        Some(&"root") => " (skipped: this needs root)".to_owned(),
        Some(tool) => format!(" (skipped: {tool} is not installed)"),
        None => String::new(),
    };
    Trial::test(format!("{name}{why}"), test).with_ignored_flag(missing.is_some())
}

pub(crate) fn has(tool: &str) -> bool {
    if tool == "root" {
        return rustix::process::geteuid().is_root();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Not every user's path has what administrators run.
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.into_iter().any(|dir| dir.join(tool).is_file())
}

/// Runs a tool, and gives what it said where it ended well.
pub(crate) fn run(command: &mut Command) -> Result<String, Failed> {
    let Output { status, stdout, stderr } = command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output()?;
    let said = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(said);
    }
    Err(format!("{command:?}: {status}\n{said}{}", String::from_utf8_lossy(&stderr)).into())
}

/// That a package or a root has these places and no others.
pub(crate) fn same(
    listed: &BTreeSet<String>,
    expected: &BTreeSet<String>,
    file: &Path,
) -> Result<(), Failed> {
    let odd: Vec<&String> = listed.symmetric_difference(expected).take(9).collect();
    if odd.is_empty() { Ok(()) } else { Err(format!("{}: {odd:?}", file.display()).into()) }
}

/// That a text has this part.
pub(crate) fn holds(text: &str, part: &str) -> Result<(), Failed> {
    if text.contains(part) { Ok(()) } else { Err(format!("no \"{part}\" in:\n{text}").into()) }
}

/// Lines that begin a complaint which is not among those that are fine.
pub(crate) fn complaints(said: &str, fine: &[&str]) -> Result<(), Failed> {
    let is_complaint =
        |l: &&str| l.contains(": E: ") || l.contains(": W: ") || l.starts_with("E: ") || l.starts_with("W: ");
    let is_fine = |l: &&str| fine.iter().any(|f| l.split_whitespace().any(|w| w == *f));
    let wrong: Vec<&str> = said.lines().filter(is_complaint).filter(|l| !is_fine(l)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// A root for scripts to run in: a shell and what it needs.
pub(crate) fn root(dir: &Path) -> Result<PathBuf, Failed> {
    let root = dir.join("root");
    let mut files = vec![PathBuf::from("/bin/sh")];
    for word in run(Command::new("ldd").arg("/bin/sh"))?.split_whitespace().filter(|w| w.starts_with('/')) {
        files.push(PathBuf::from(word));
    }
    for file in files {
        let place = root.join(file.strip_prefix("/")?);
        fs::create_dir_all(place.parent().ok_or("a file has a directory")?)?;
        fs::copy(&file, place)?;
    }
    Ok(root)
}

/// Every place in a root but those of the tool's own records.
pub(crate) fn places(root: &Path, own: &[&str]) -> Result<BTreeSet<String>, Failed> {
    fn walk(root: &Path, dir: &Path, own: &[&str], found: &mut BTreeSet<String>) -> std::io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let place = format!("/{}", path.strip_prefix(root).unwrap_or(&path).display());
            if own.contains(&&*place) {
                continue;
            }
            found.insert(place);
            if path.symlink_metadata()?.is_dir() {
                walk(root, &path, own, found)?;
            }
        }
        Ok(())
    }
    let mut found = BTreeSet::new();
    walk(root, root, own, &mut found)?;
    Ok(found)
}

/// rpm, with its records in a root.
pub(crate) fn rpm(root: &Path) -> Command {
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm"]);
    rpm
}

/// dpkg, with its records in a root in which there is no more than packages under test.
pub(crate) fn dpkg(root: &Path) -> Command {
    let mut dpkg = Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.display())).args([
        "--force-depends",
        "--force-unsafe-io",
        "--force-bad-path",
    ]);
    dpkg
}
