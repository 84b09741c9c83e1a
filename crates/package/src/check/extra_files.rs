// SPDX-License-Identifier: Apache-2.0
//! Files that are installed elsewhere: units, rules for sudo, programs.

use super::edit;
use crate::author::PackageDir;
use crate::doctor::{Finding, Kind, Severity, quote};
use crate::sudoers;
use crate::tool::{ask, find};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use virt_hooks_contract::ManifestFile;
use virt_hooks_engine::MANIFEST;

const UNITS: &[&str] = &["/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"];
/// Kinds of units that can be looked into by themselves.
const UNIT_KINDS: &[&str] = &["service", "timer", "socket", "path", "mount", "target"];
/// Where files of packages are not kept.
const VOLATILE: &[&str] = &["/run", "/var/run", "/tmp", "/var/tmp", "/proc", "/sys", "/dev"];
/// What belongs to the administrator of a host, or to its users.
const FOREIGN: &[&str] = &["/usr/local", "/home", "/root", "/mnt", "/media"];

pub(super) fn check(package: &PackageDir, out: &mut Vec<Finding>) {
    let manifest = package.dir.join(MANIFEST);
    let mut targets = BTreeSet::new();
    for file in &package.manifest.file {
        let source = package.dir.join(&file.source);
        let inside = !file.source.is_empty()
            && Path::new(&file.source).components().all(|c| matches!(c, Component::Normal(_)));
        if !inside || !source.is_file() {
            let what = if inside {
                format!("names the file {}, which is missing", file.source.escape_debug())
            } else {
                format!("names \"{}\", which is no file of the package", file.source.escape_debug())
            };
            out.push(
                Finding::new(Severity::Broken, Kind::FileMissing, &manifest)
                    .what(what)
                    .why("a package with it cannot be built or installed")
                    .mend(edit(&manifest)),
            );
            continue;
        }
        if !targets.insert(&file.target) {
            out.push(target_finding(&manifest, Severity::Broken, file, "is the target of two files"));
        }
        target(&manifest, file, out);
        mode(&manifest, file, out);
        sudoers(&source, file, out);
        unit(package, &source, file, out);
    }
}

fn is_below(target: &str, dirs: &[&str]) -> bool {
    dirs.iter().any(|dir| Path::new(target).starts_with(dir))
}

fn target_finding(manifest: &Path, severity: Severity, file: &ManifestFile, what: &str) -> Finding {
    Finding::new(severity, Kind::FileTarget, manifest)
        .what(format!("target {}: {what}", file.target.escape_debug()))
        .why("an installed file has one place, which is the package's own and stays after a restart")
        .mend(edit(manifest))
}

fn target(manifest: &Path, file: &ManifestFile, out: &mut Vec<Finding>) {
    let path = Path::new(&file.target);
    let mut add = |severity, what: &str| out.push(target_finding(manifest, severity, file, what));
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || file.target.ends_with('/') || file.target.contains(char::is_control) {
        add(Severity::Broken, "is not the absolute path of a file, without \"..\"");
    } else if is_below(&file.target, VOLATILE) {
        add(Severity::Broken, "is gone after a restart: have a file in /usr/lib/tmpfiles.d make it");
    } else if is_below(&file.target, FOREIGN) {
        add(Severity::Warning, "is where the administrator or users of a host keep what is theirs");
    } else if is_below(&file.target, &["/etc/systemd/system"]) {
        add(Severity::Hint, "is the administrator's: units of packages go to /usr/lib/systemd/system");
    }
}

fn mode(manifest: &Path, file: &ManifestFile, out: &mut Vec<Finding>) {
    let mut add = |severity, what: &str, why: &str| {
        out.push(
            Finding::new(severity, Kind::FileMode, manifest)
                .what(format!(
                    "mode \"{}\" of {}: {what}",
                    file.mode.escape_debug(),
                    file.source.escape_debug()
                ))
                .why(why)
                .mend(edit(manifest)),
        );
    };
    match u32::from_str_radix(&file.mode, 8) {
        Ok(mode) if mode <= 0o7777 => {
            if mode & 0o022 != 0 {
                add(
                    Severity::Warning,
                    "others than its owner may write to it",
                    "who may write to a file that root reads decides what root does",
                );
            }
            if mode & 0o6000 != 0 {
                add(
                    Severity::Warning,
                    "has a set-user-ID or set-group-ID bit",
                    "everybody who may run it runs it as its owner: a rule for sudo says who may",
                );
            }
        }
        _ => add(
            Severity::Broken,
            "is not a mode like \"0644\"",
            "a package with it cannot be built or installed",
        ),
    }
}

fn sudoers(source: &Path, file: &ManifestFile, out: &mut Vec<Finding>) {
    if !is_below(&file.target, &[sudoers::DIRECTORY]) {
        return;
    }
    let mut add = |what: String, why: &str, mend: String| {
        out.push(Finding::new(Severity::Broken, Kind::SudoersSyntax, source).what(what).why(why).mend(mend));
    };
    let name = Path::new(&file.target).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if sudoers::passed_over(&name).is_some() {
        add(
            format!("is installed as {name}, which sudo passes over"),
            "in /etc/sudoers.d names with a dot, or a tilde at the end, are not read",
            "sed -i 's/^target = .*/target = \"...\"/' hook.toml # a name without a dot".to_owned(),
        );
    }
    let mode = u32::from_str_radix(&file.mode, 8).unwrap_or(0);
    if mode & 0o337 != 0 {
        add(
            format!("is installed with mode {}", file.mode.escape_debug()),
            "sudo refuses rules that others than root may write or read: 0440 is its mode",
            "sed -i 's/^mode = .*/mode = \"0440\"/' hook.toml # of this file".to_owned(),
        );
    }
    let said = match (find("visudo"), fs::read(source)) {
        (Some(visudo), Ok(rules)) => sudoers::refusal(&rules, &name, None, &visudo),
        _ => Ok(None),
    };
    if let Ok(Some(said)) = said {
        add(
            format!("is not understood by sudo: {said}"),
            "with a mistake in one file of its rules sudo does not work at all",
            format!("visudo -c -f {}", quote::path(source)),
        );
    }
}

fn unit(package: &PackageDir, source: &Path, file: &ManifestFile, out: &mut Vec<Finding>) {
    let kind = Path::new(&file.target).extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !is_below(&file.target, UNITS) || !UNIT_KINDS.contains(&kind) {
        return;
    }
    // systemd takes a unit's name from its file's.
    let Ok(dir) = tempfile::tempdir() else { return };
    let name = Path::new(&file.target).file_name().unwrap_or_default();
    let copy: PathBuf = dir.path().join(name);
    if std::fs::copy(source, &copy).is_err() {
        return;
    }
    let Some(said) = ask("systemd-analyze", &["verify", "--man=no"], &copy) else { return };
    let targets: Vec<&str> = package.manifest.file.iter().map(|f| f.target.as_str()).collect();
    let place = format!("{}", copy.display());
    let shown = name.to_string_lossy();
    let mut told = BTreeSet::new();
    for line in said.text.lines() {
        let about = line.contains(&place) || line.starts_with(&*shown);
        // What the package installs is not installed yet.
        let comes_with_it = line.contains("is not executable") && targets.iter().any(|t| line.contains(t));
        if !about || comes_with_it || line.contains("Failed to create") {
            continue;
        }
        let line = line.replace(&format!("{place}:"), "line ").replace(&place, &shown);
        if told.insert(line.clone()) {
            out.push(
                Finding::new(Severity::Warning, Kind::UnitSyntax, source)
                    .what(format!("systemd says: {}", line.trim()))
                    .why("systemd ignores what it does not understand, or does not start the unit")
                    .mend(edit(source)),
            );
        }
    }
}
