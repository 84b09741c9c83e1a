// SPDX-License-Identifier: Apache-2.0
//! Names for what lies beside a file of a package: for moments, while packages are changed, or until an administrator
//! has looked at it.
//!
//! Many of these directories are read by programs that take every file in them, so each name is one that all of them
//! pass over:
//!
//! * `/etc/logrotate.d`: everything but the endings of its taboo list, which has `.rpmnew` and `.rpmsave` in all
//!   versions; with a dot in front it reads even those, as its patterns do not match one
//! * `/etc/sudoers.d`: names without a dot that do not end in a tilde
//! * udev, modprobe.d, modules-load.d, sysctl.d, sysusers.d, tmpfiles.d, units and their drop-ins, points.d:
//!   `.rules`, `.conf`, `.toml` and the kinds of units only
//! * the hook points: we take no name that ends so, and VDSM takes every executable file whose name does not begin
//!   with a dot; so a dot is in front there, and nowhere else

use crate::build::layout::HOOKS;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the package's file goes that must not replace the administrator's.
pub fn beside_new(target: &Path) -> PathBuf {
    with_end(target, ".virt-hooks.rpmnew")
}

/// Where an administrator's file goes whose package goes.
pub fn beside_saved(target: &Path) -> PathBuf {
    with_end(target, ".virt-hooks.rpmsave")
}

/// Where a file is written before it gets its name.
pub fn staged(place: &Path) -> PathBuf {
    with_end(place, ".virt-hooks-next.rpmnew")
}

/// The second name of a former file, as long as it may have to come back.
pub fn kept(place: &Path) -> PathBuf {
    with_end(place, ".virt-hooks-former.rpmsave")
}

fn with_end(place: &Path, end: &str) -> PathBuf {
    // Whatever root the place is below.
    let hooks = Path::new(HOOKS.trim_start_matches('/'));
    let is_hook = place.ancestors().skip(1).any(|dir| dir.ends_with(hooks));
    let mut name = OsString::from(if is_hook { "." } else { "" });
    name.push(place.file_name().unwrap_or_default());
    name.push(end);
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(place: &Path) -> [PathBuf; 4] {
        [beside_new(place), beside_saved(place), staged(place), kept(place)]
    }

    /// As the readers document it.
    #[test]
    fn no_reader_takes_them() {
        // logrotate(8), tabooext, as of 3.8.6.
        const TABOO: &[&str] = &[
            ",v",
            ".cfsaved",
            ".disabled",
            ".dpkg-dist",
            ".dpkg-new",
            ".dpkg-old",
            ".rpmnew",
            ".rpmorig",
            ".rpmsave",
            ".swp",
            ".ucf-dist",
            ".ucf-new",
            ".ucf-old",
            "~",
        ];
        let read_by_end =
            [".conf", ".rules", ".toml", ".service", ".timer", ".socket", ".path", ".hwdb", ".link"];
        for name in ["mine", "50_mine", "mine.conf", "90-mine.rules", "mine.service"] {
            for path in all(&Path::new("/etc/x").join(name)) {
                let file = path.file_name().unwrap().to_str().unwrap();
                assert!(path.starts_with("/etc/x") && !file.starts_with('.'), "{file}");
                assert!(TABOO.iter().any(|end| file.ends_with(end)), "logrotate reads {file}");
                assert!(file.contains('.') || file.ends_with('~'), "sudo reads {file}");
                assert!(!read_by_end.iter().any(|end| file.ends_with(end)), "{file} is read");
                assert!(virt_hooks_engine::is_backup(file.as_bytes()), "{file} runs as a hook");
            }
        }
        // By VDSM neither.
        for path in all(&Path::new("/image").join(HOOKS.trim_start_matches('/')).join("before_vm_start/50_a"))
        {
            assert!(path.file_name().unwrap().to_str().unwrap().starts_with(".50_a."), "{}", path.display());
        }
    }
}
