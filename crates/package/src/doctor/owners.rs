// SPDX-License-Identifier: Apache-2.0
//! Who else may change what runs: the hook, and each directory on the way to it.

use super::file::State;
use super::finding::{Finding, Kind, Severity};
use super::permissions::ancestors;
use super::quote;
use super::survey::Survey;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use virt_hooks_contract::User;

pub(super) fn check(survey: &Survey<'_>, out: &mut Vec<Finding>) {
    let own = rustix::process::geteuid().as_raw();
    // By directory: whose it may be, if the strictest of the hooks below is asked.
    let mut directories: BTreeMap<PathBuf, Vec<u32>> = BTreeMap::new();
    for files in &survey.points {
        let mut trusted = vec![0, own];
        // It may change what runs as itself, not what runs as root.
        if files.point.user == User::Agent {
            trusted.push(files.runner.uid());
        }
        for file in files.files.iter().filter(|f| f.state == State::Runs) {
            let target = file.target();
            if let Some(meta) = file.regular() {
                out.extend(
                    judge(&target, meta, &trusted, false)
                        .map(|f| Finding { path: file.path.clone(), ..f.at(files.name()) }),
                );
            }
            for dir in ancestors(&file.path) {
                directories
                    .entry(dir)
                    .and_modify(|t| t.retain(|uid| trusted.contains(uid)))
                    .or_insert_with(|| trusted.clone());
            }
        }
    }
    for (dir, trusted) in directories {
        if let Ok(meta) = std::fs::metadata(&dir) {
            out.extend(judge(&dir, &meta, &trusted, true));
        }
    }
}

fn judge(path: &Path, meta: &Metadata, trusted: &[u32], is_dir: bool) -> Option<Finding> {
    if !trusted.contains(&meta.uid()) {
        return Some(
            Finding::new(Severity::Warning, Kind::ForeignOwner, path)
                .what(format!("belongs to user {}, neither to root nor to who runs the hooks", meta.uid()))
                .why(if is_dir {
                    "its owner may put anything at the place of the hooks below it"
                } else {
                    "its owner may change what the host runs at every event"
                })
                .mend(format!("chown root: {}", quote::path(path))),
        );
    }
    // In a sticky directory nobody may replace what belongs to another.
    let open = meta.mode() & 0o022 != 0 && !(is_dir && meta.mode() & 0o1000 != 0);
    let who = if meta.mode() & 0o002 != 0 { "anybody" } else { "its group" };
    open.then(|| {
        if is_dir {
            Finding::new(Severity::Warning, Kind::WritableDirectory, path)
                .what(format!("can be written to by {who} (mode {:04o})", meta.mode() & 0o7777))
                .why("who may write to a directory may replace the hooks below it")
        } else {
            Finding::new(Severity::Warning, Kind::WritableByOthers, path)
                .what(format!("can be changed by {who} (mode {:04o})", meta.mode() & 0o7777))
                .why("who may write to a hook decides what the host runs at every event")
        }
        .mend(format!("chmod go-w {}", quote::path(path)))
    })
}
