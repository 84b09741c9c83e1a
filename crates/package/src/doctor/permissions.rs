// SPDX-License-Identifier: Apache-2.0
//! Permissions that keep a hook from running.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::layers;
use super::quote;
use super::runner::{EXECUTE, READ, Runner};
use super::survey::Survey;
use rustix::fs::StatVfsMountFlags;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use virt_hooks_engine::SkipReason;

pub(super) fn check(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    let mut closed = BTreeSet::new();
    for files in &survey.points {
        for file in &files.files {
            let judged = matches!(file.state, State::Runs | State::Skipped(SkipReason::NotExecutable));
            if !judged || layers::original(file, files.name(), survey).is_some() && !file.has_execute_bit() {
                continue;
            }
            if !file.has_execute_bit() {
                if file.looks_like_a_hook() && !files.imports(file) {
                    out.push(not_executable(file).at(files.name()));
                }
                continue;
            }
            out.extend(on_noexec(file).map(|f| f.at(files.name())));
            out.extend(not_for_user(file, &files.runner).map(|f| f.at(files.name())));
            out.extend(set_id(file).map(|f| f.at(files.name())));
            for dir in ancestors(&file.path) {
                let passes = std::fs::metadata(&dir).map_or(true, |m| files.runner.may(EXECUTE, &m));
                if !passes && closed.insert(dir.clone()) {
                    out.push(directory_closed(&dir, &files.runner));
                }
            }
        }
    }
}

/// Every directory on the way to a file, as it is written and where links lead, the nearest first.
pub(super) fn ancestors(path: &Path) -> Vec<PathBuf> {
    let written = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut dirs: Vec<PathBuf> = written.ancestors().skip(1).map(Path::to_owned).collect();
    if let Ok(real) = std::fs::canonicalize(path) {
        for dir in real.ancestors().skip(1) {
            if !dirs.iter().any(|d| d == dir) {
                dirs.push(dir.to_owned());
            }
        }
    }
    dirs
}

fn not_executable(file: &File) -> Finding {
    Finding::new(Severity::Broken, Kind::NotExecutable, &file.path)
        .what("does not run: it is not executable")
        .why("only executable files are taken for hooks")
        .mend(format!("chmod 755 {}", quote::path(&file.path)))
}

fn not_for_user(file: &File, runner: &Runner) -> Option<Finding> {
    let meta = file.regular()?;
    let uid = runner.uid();
    if !runner.may(EXECUTE, meta) {
        return Some(
            Finding::new(Severity::Broken, Kind::NotExecutableForUser, &file.path)
                .what(format!(
                    "does not run: mode {:04o}, owner {}, is not executable for user {uid}",
                    meta.mode() & 0o7777,
                    meta.uid()
                ))
                .why(format!("hooks of this point run as user {uid}, which may execute it neither as owner, nor as member of its group, nor as anybody"))
                .mend(format!("chmod 755 {}", quote::path(&file.path))),
        );
    }
    if file.is_script() && !runner.may(READ, meta) {
        return Some(
            Finding::new(Severity::Broken, Kind::UnreadableForUser, &file.path)
                .what(format!("cannot be read by user {uid}, who runs it"))
                .why("the interpreter of a script opens it as the user that runs it; only a binary needs no more than the permission to execute")
                .mend(format!("chmod 755 {}", quote::path(&file.path))),
        );
    }
    None
}

fn on_noexec(file: &File) -> Option<Finding> {
    let target = file.target();
    let flags = rustix::fs::statvfs(&target).ok()?.f_flag;
    if !flags.contains(StatVfsMountFlags::NOEXEC) {
        return None;
    }
    let mount = mount_point(&target);
    Some(
        Finding::new(Severity::Broken, Kind::NoexecMount, &file.path)
            .what(format!("does not run: {} is mounted noexec", mount.display()))
            .why("the kernel executes nothing from such a file system, whatever the permissions say")
            .mend(format!("mount -o remount,exec {} # and change it in /etc/fstab", quote::path(&mount))),
    )
}

/// The directory where the file system of `path` is mounted.
fn mount_point(path: &Path) -> PathBuf {
    let Ok(device) = std::fs::metadata(path).map(|m| m.dev()) else { return path.to_owned() };
    path.ancestors()
        .take_while(|p| std::fs::metadata(p).is_ok_and(|m| m.dev() == device))
        .last()
        .unwrap_or(path)
        .to_owned()
}

fn set_id(file: &File) -> Option<Finding> {
    let mode = file.regular()?.mode();
    if !file.is_script() || mode & 0o6000 == 0 {
        return None;
    }
    Some(
        Finding::new(Severity::Warning, Kind::SetIdScript, &file.path)
            .what("has a set-user-ID or set-group-ID bit, which has no effect on a script")
            .why("the kernel honours these bits on binaries only: the hook runs as its caller")
            .mend(format!("chmod u-s,g-s {}", quote::path(&file.path))),
    )
}

fn directory_closed(dir: &Path, runner: &Runner) -> Finding {
    Finding::new(Severity::Broken, Kind::DirectoryClosed, dir)
        .what(format!("cannot be passed by user {}, who runs the hooks below it", runner.uid()))
        .why("to execute a file, its user needs the execute permission of every directory on the way")
        .mend(format!("chmod a+x {}", quote::path(dir)))
}
