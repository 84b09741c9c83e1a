// SPDX-License-Identifier: Apache-2.0
//! What has to be installed before a host can be made, and how.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use virt_hooks_libvirt::Libvirt;

/// The emulator of the guests.
const EMULATOR: &str = "qemu-system-x86_64";
const DRIVER: &str = "libvirt_driver_qemu.so";

/// One thing that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingThing {
    /// Its name: a file, a user, a right.
    pub what: &'static str,
    /// The Debian package that brings it; empty if no package does.
    pub apt: &'static str,
    /// The Fedora package that brings it; empty if no package does.
    pub dnf: &'static str,
}

/// Everything that is not there. Displays as one line with the commands that install it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Missing {
    /// At least one.
    pub things: Vec<MissingThing>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |part: fn(&MissingThing) -> &str, between: &str| {
            let parts = self.things.iter().map(part).filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join(between)
        };
        write!(f, "missing: {}", join(|thing| thing.what, ", "))?;
        let (apt, dnf) = (join(|thing| thing.apt, " "), join(|thing| thing.dnf, " "));
        if apt.is_empty() { Ok(()) } else { write!(f, "; `apt install {apt}` or `dnf install {dnf}`") }
    }
}

/// Checks that a host can be made here.
///
/// # Errors
/// Every missing thing, with its packages.
pub fn requirements() -> Result<(), Missing> {
    let checks = [
        (
            MissingThing { what: "libvirt.so.0", apt: "libvirt0", dnf: "libvirt-libs" },
            Libvirt::load().is_ok(),
        ),
        (
            MissingThing {
                what: DRIVER,
                apt: "libvirt-daemon-driver-qemu",
                dnf: "libvirt-daemon-driver-qemu",
            },
            driver_directories(env::var_os("LIBVIRT_DRIVER_DIR")).iter().any(|dir| dir.join(DRIVER).exists()),
        ),
        (
            MissingThing { what: EMULATOR, apt: "qemu-system-x86", dnf: "qemu-system-x86-core" },
            emulator().is_some(),
        ),
        (
            MissingThing {
                what: "user libvirt-qemu (Debian) or qemu (Fedora)",
                apt: "libvirt-daemon-system",
                dnf: "libvirt-daemon-driver-qemu",
            },
            // libvirt looks its default user up even if the configuration names another.
            !rustix::process::geteuid().is_root()
                || fs::read_to_string("/etc/passwd").is_ok_and(|users| has_qemu_user(&users)),
        ),
    ];
    let things: Vec<_> = checks.into_iter().filter(|(_, there)| !there).map(|(thing, _)| thing).collect();
    if things.is_empty() { Ok(()) } else { Err(Missing { things }) }
}

/// The emulator's path.
pub(crate) fn emulator() -> Option<PathBuf> {
    find_program(EMULATOR)
}

/// A program's path, from `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Where libvirt looks for its drivers: Fedora's place, Debian's places, or the one it was told.
fn driver_directories(told: Option<OsString>) -> Vec<PathBuf> {
    const BELOW_LIB: &str = "libvirt/connection-driver";
    if let Some(told) = told {
        return vec![told.into()];
    }
    let mut directories =
        vec![Path::new("/usr/lib64").join(BELOW_LIB), Path::new("/usr/lib").join(BELOW_LIB)];
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    directories.extend(multiarch.map(|entry| entry.path().join(BELOW_LIB)));
    directories
}

fn has_qemu_user(passwd: &str) -> bool {
    passwd.lines().any(|line| line.starts_with("libvirt-qemu:") || line.starts_with("qemu:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_commands() {
        let things = vec![
            MissingThing { what: "a.so", apt: "liba", dnf: "a-libs" },
            MissingThing { what: "b", apt: "b-bin", dnf: "b" },
        ];
        assert_eq!(
            Missing { things }.to_string(),
            "missing: a.so, b; `apt install liba b-bin` or `dnf install a-libs b`"
        );
        let rights = MissingThing { what: "root rights", apt: "", dnf: "" };
        assert_eq!(Missing { things: vec![rights] }.to_string(), "missing: root rights");
    }

    #[test]
    fn a_driver_directory_by_environment_is_the_only_one() {
        assert_eq!(driver_directories(Some("/x".into())), [Path::new("/x")]);
        let found = driver_directories(None);
        assert!(found.contains(&PathBuf::from("/usr/lib64/libvirt/connection-driver")));
    }

    #[test]
    fn users_are_matched_whole() {
        assert!(has_qemu_user("root:x:0:0::/:/bin/sh\nlibvirt-qemu:x:64055:\n"));
        assert!(!has_qemu_user("myqemu:x:1:1::/:\nqemu2:x:2:2\n"));
    }
}
