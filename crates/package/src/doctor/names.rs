// SPDX-License-Identifier: Apache-2.0
//! Names: those that keep a file from running, and those that make it run when it should not.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::quote;
use super::survey::{PointFiles, Survey};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use virt_hooks_engine::SkipReason;

pub(super) fn check(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    for files in &survey.points {
        let found = files.files.iter().filter_map(|f| match f.state {
            State::Hidden => hidden(f),
            State::Skipped(SkipReason::Backup) => backup(f, files),
            State::Runs => helper(f, files),
            _ => None,
        });
        out.extend(found.map(|f| f.at(files.name())));
        out.extend(order(files));
    }
}

fn hidden(file: &File) -> Option<Finding> {
    if !file.has_execute_bit() {
        return None;
    }
    let name = file.name();
    let plain = &name[name.iter().take_while(|&&b| b == b'.').count()..];
    // What an editor that died left behind is not worth taking into use.
    let mend = if plain.is_empty() || plain.ends_with(b".swp") {
        format!("rm {}", quote::path(&file.path))
    } else {
        format!(
            "mv {} {}",
            quote::path(&file.path),
            quote::path(&file.path.with_file_name(OsStr::from_bytes(plain)))
        )
    };
    Some(
        Finding::new(Severity::Warning, Kind::HiddenName, &file.path)
            .what("does not run: its name starts with a dot")
            .why("hidden files are never taken for hooks")
            .mend(mend),
    )
}

fn backup(file: &File, files: &PointFiles) -> Option<Finding> {
    if !file.has_execute_bit() {
        return None;
    }
    let name = file.name();
    let plain = match name.strip_suffix(b"~") {
        Some(plain) => plain,
        None => &name[..name.iter().rposition(|&b| b == b'.').unwrap_or(name.len())],
    };
    let beside = files.files.iter().any(|f| f.name() == plain);
    let (severity, mend) = if beside {
        (Severity::Hint, format!("rm {}", quote::path(&file.path)))
    } else {
        let to = file.path.with_file_name(OsStr::from_bytes(plain));
        (Severity::Warning, format!("mv {} {}", quote::path(&file.path), quote::path(&to)))
    };
    Some(
        Finding::new(severity, Kind::BackupName, &file.path)
            .what("does not run: its name is that of a backup copy")
            .why("copies that editors and package managers leave keep the permission to run; VDSM runs them, virt-hooks does not")
            .mend(mend),
    )
}

fn helper(file: &File, files: &PointFiles) -> Option<Finding> {
    let what = if file.is_helper_by_name() {
        "is named like a module that hooks share, but runs as a hook itself"
    } else if files.imports(file) {
        "is imported by a hook beside it, but runs as a hook itself"
    } else {
        return None;
    };
    Some(
        Finding::new(Severity::Warning, Kind::HelperExecutable, &file.path)
            .what(what)
            .why("every executable file of a hook point is run at each event")
            .mend(format!("chmod 644 {}", quote::path(&file.path))),
    )
}

/// The number in front of a name.
fn number(name: &[u8]) -> Option<(u64, usize)> {
    let digits = name.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = std::str::from_utf8(&name[..digits]).ok()?.parse().ok()?;
    Some((number, digits))
}

fn order(files: &PointFiles) -> Vec<Finding> {
    let running: Vec<&File> = files.files.iter().filter(|f| f.state == State::Runs).collect();
    let mut found = Vec::new();
    for (at, late) in running.iter().enumerate() {
        let Some((small, digits)) = number(late.name()) else { continue };
        let larger = running[..at].iter().find(|f| number(f.name()).is_some_and(|(n, _)| n > small));
        let Some(early) = larger else { continue };
        let Some((_, wide)) = number(early.name()) else { continue };
        let mut padded = vec![b'0'; wide.saturating_sub(digits)];
        padded.extend_from_slice(late.name());
        let to = late.path.with_file_name(OsStr::from_bytes(&padded));
        found.push(
            Finding::new(Severity::Hint, Kind::OrderSurprise, &late.path)
                .at(files.name())
                .what(format!("runs after {}", early.shown_name()))
                .why("names are compared byte by byte, not as numbers")
                .mend(format!("mv {} {}", quote::path(&late.path), quote::path(&to))),
        );
    }
    found
}
