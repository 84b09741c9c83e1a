// SPDX-License-Identifier: Apache-2.0
//! Names for what lies beside a file of a package: for moments, while packages are changed, or until an administrator
//! has looked at it.
//!
//! Many of these directories are read by programs that take every file in them, so each name is one that all of them
//! pass over:
//!
//! * `/etc/logrotate.d`: everything but the endings of its taboo list; `.rpmnew` and `.rpmsave` are in all versions of it
//! * `/etc/sudoers.d`: names without a dot that do not end in a tilde
//! * udev, modprobe.d, modules-load.d, sysctl.d, sysusers.d, tmpfiles.d, units and their drop-ins, points.d, vdsm's
//!   configuration: `.rules`, `.conf`, `.toml` and the kinds of units only
//! * the hook points: neither we, nor VDSM, take names that begin with a dot; we take none that end so either
//!
//! For a moment a name begins with a dot too, so that `virt-hooks` and people see what it is.

use std::path::{Path, PathBuf};

/// The end of a new file's name, where the one of that name was changed on the host and stays.
const NEW: &str = ".virt-hooks.rpmnew";
/// The end of the name that a file changed on the host gets when its package no longer has it.
const SAVED: &str = ".virt-hooks.rpmsave";

/// Where the package's file goes that must not replace the administrator's.
pub(super) fn beside_new(target: &Path) -> PathBuf {
    with_end(target, "", NEW)
}

/// Where an administrator's file goes whose package goes.
pub(super) fn beside_saved(target: &Path) -> PathBuf {
    with_end(target, "", SAVED)
}

/// Where a file is written before it gets its name.
pub(super) fn staged(place: &Path) -> PathBuf {
    with_end(place, ".", NEW)
}

/// The second name of a former file, as long as it may have to come back.
pub(super) fn kept(place: &Path) -> PathBuf {
    with_end(place, ".", SAVED)
}

fn with_end(place: &Path, front: &str, end: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(front);
    name.push(place.file_name().unwrap_or_default());
    name.push(end);
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    fn all(place: &Path) -> [PathBuf; 4] {
        [beside_new(place), beside_saved(place), staged(place), kept(place)]
    }

    /// As the readers document it.
    #[test]
    fn no_reader_takes_them() {
        // logrotate(8), tabooext, as of 3.8.6.
        const TABOO: &[&str] = &[
            ",v", ".cfsaved", ".disabled", ".dpkg-dist", ".dpkg-new", ".dpkg-old", ".rpmnew", ".rpmorig",
            ".rpmsave", ".swp", ".ucf-dist", ".ucf-new", ".ucf-old", "~",
        ];
        let read_by_end = [".conf", ".rules", ".toml", ".service", ".timer", ".socket", ".path", ".hwdb", ".link"];
        for name in ["mine", "50_mine", "mine.conf", "90-mine.rules", "mine.service"] {
            for path in all(&Path::new("/etc/x").join(name)) {
                let file = path.file_name().unwrap().to_str().unwrap();
                assert!(path.starts_with("/etc/x"), "{file}");
                assert!(TABOO.iter().any(|end| file.ends_with(end)), "logrotate reads {file}");
                assert!(file.contains('.') || file.ends_with('~'), "sudo reads {file}");
                assert!(!read_by_end.iter().any(|end| file.ends_with(end)), "{file} is read");
                assert!(virt_hooks_engine::is_backup(file.as_bytes()), "{file} runs as a hook");
            }
        }
        for path in [staged(Path::new("/p/50_a")), kept(Path::new("/p/50_a"))] {
            assert!(path.file_name().unwrap().to_str().unwrap().starts_with(".50_a"));
        }
    }

    #[test]
    fn logrotate_itself_passes_over_them() {
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules.d");
        fs::create_dir(&rules).unwrap();
        let log = dir.path().join("mine.log");
        let rule = format!("{} {{\n  weekly\n  missingok\n}}\n", log.display());
        let real = rules.join("mine");
        fs::write(&real, &rule).unwrap();
        for path in all(&real) {
            fs::write(path, &rule).unwrap();
        }
        let main = dir.path().join("main.conf");
        fs::write(&main, format!("include {}\n", rules.display())).unwrap();
        let run = || {
            Command::new(crate::tool::find("logrotate")?)
                .args(["-d", "-s"])
                .arg(dir.path().join("state"))
                .arg(&main)
                .output()
                .ok()
                .map(|out| String::from_utf8_lossy(&out.stderr).into_owned())
        };
        let Some(said) = run() else {
            eprintln!("not run: logrotate is not installed");
            return;
        };
        assert!(said.contains("mine.log") && !said.contains("duplicate"), "{said}");
        // And it would complain: a name without such an end is read.
        fs::write(rules.join(".mine.virt-hooks-new"), &rule).unwrap();
        let said = run().unwrap_or_default();
        assert!(said.contains("duplicate log entry"), "{said}");
    }
}
