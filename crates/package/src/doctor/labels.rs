// SPDX-License-Identifier: Apache-2.0
//! SELinux and AppArmor, where they are active.

use super::file::{File, State};
use super::finding::{Finding, Kind, Severity};
use super::machine::Machine;
use super::quote;
use super::survey::Survey;
use std::path::Path;

pub(super) fn check(survey: &Survey<'_>, machine: &Machine, out: &mut Vec<Finding>) {
    let selinux = std::fs::read_to_string(&machine.selinux_enforce).ok();
    let profiles = std::fs::read_to_string(&machine.apparmor_profiles).unwrap_or_default();
    for files in &survey.points {
        for file in files.files.iter().filter(|f| f.state == State::Runs) {
            let label = selinux.as_deref().and_then(|mode| selinux_label(file, mode.trim() == "1"));
            let profile = apparmor_profile(file, &profiles);
            out.extend(label.into_iter().chain(profile).map(|f| f.at(files.name())));
        }
    }
}

/// Types of files that services may execute: programs, their own, and what virtualization services run.
fn is_executable_type(name: &str) -> bool {
    name == "bin_t"
        || name == "lib_t"
        || name == "usr_t"
        || name.ends_with("_exec_t")
        || name.contains("virt")
        || name.contains("vdsm")
}

fn selinux_label(file: &File, enforcing: bool) -> Option<Finding> {
    let target = file.target();
    let mut buffer = vec![0u8; 512];
    let n = rustix::fs::getxattr(&target, "security.selinux", &mut buffer).ok()?;
    let label = String::from_utf8_lossy(buffer.get(..n)?).trim_end_matches('\0').to_owned();
    let kind = label.split(':').nth(2)?;
    if is_executable_type(kind) {
        return None;
    }
    let policy = if enforcing { "refuse" } else { "complain about" };
    // The policy knows programs below /usr; what lies elsewhere has to be told to it first.
    let mend = if target.starts_with("/usr") {
        format!("restorecon -v {}", quote::path(&target))
    } else {
        let root = target.parent().and_then(Path::parent).unwrap_or(&target);
        let pattern = quote::word(format!("{}(/.*)?", root.display()).as_bytes());
        format!("semanage fcontext -a -t bin_t {pattern} && restorecon -Rv {}", quote::path(root))
    };
    Some(
        Finding::new(Severity::Hint, Kind::SelinuxLabel, &file.path)
            .what(format!("has the SELinux type {kind}, not bin_t"))
            .why(format!("SELinux may {policy} its execution by a confined service; a file that was moved here keeps the label of where it was made"))
            .mend(mend),
    )
}

fn apparmor_profile(file: &File, profiles: &str) -> Option<Finding> {
    let target = file.target();
    let target = target.to_string_lossy();
    let profile =
        profiles.lines().filter_map(|l| l.strip_suffix(" (enforce)")).find(|name| matches(name, &target))?;
    Some(
        Finding::new(Severity::Hint, Kind::ApparmorProfile, &file.path)
            .what(format!("is confined by the AppArmor profile {profile}"))
            .why("what the profile does not allow fails inside the hook with \"Permission denied\", whoever runs it")
            .mend(format!("aa-complain {} # to see what it would refuse: journalctl -k -g apparmor", quote::word(profile.as_bytes()))),
    )
}

/// Whether a profile attaches to a path: its name is the path, or a pattern whose fixed part leads there.
fn matches(profile: &str, path: &str) -> bool {
    match profile.find(['*', '?', '[', '{']) {
        None => profile == path,
        Some(end) => profile.starts_with('/') && end > 1 && path.starts_with(&profile[..end]),
    }
}
