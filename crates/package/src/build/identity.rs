// SPDX-License-Identifier: Apache-2.0
//! Names, versions and machines, as each format writes them.

use super::error::BuildError;

/// The name of a hook's package: Debian knows no `_` in names, and Fedora's habit is `-` too.
pub fn package_name(hook: &str) -> String {
    format!("virt-hook-{}", hook.replace('_', "-"))
}

/// The kind of machine that a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    /// Any: there is no compiled code inside.
    Any,
    /// One kind, by its number in ELF files.
    Elf(u16),
}

/// ELF's number, rpm's word, dpkg's word, rpm's number.
const MACHINES: &[(u16, &str, &str, u16)] = &[
    (62, "x86_64", "amd64", 1),
    (183, "aarch64", "arm64", 19),
    (21, "ppc64le", "ppc64el", 16),
    (22, "s390x", "s390x", 15),
    (243, "riscv64", "riscv64", 22),
];

impl Machine {
    /// The machine of a compiled file.
    pub(super) fn of_elf(number: u16, package: &str) -> Result<Self, BuildError> {
        if MACHINES.iter().any(|m| m.0 == number) {
            return Ok(Self::Elf(number));
        }
        let known: Vec<&str> = MACHINES.iter().map(|m| m.1).collect();
        Err(BuildError::Unfit {
            package: package.to_owned(),
            what: format!(
                "has an executable for a machine (ELF number {number}) other than {}",
                known.join(", ")
            ),
        })
    }

    fn row(self) -> Option<&'static (u16, &'static str, &'static str, u16)> {
        match self {
            Self::Any => None,
            Self::Elf(number) => MACHINES.iter().find(|m| m.0 == number),
        }
    }

    pub(super) fn rpm(self) -> &'static str {
        self.row().map_or("noarch", |m| m.1)
    }

    pub(super) fn deb(self) -> &'static str {
        self.row().map_or("all", |m| m.2)
    }

    /// The number in the lead of an rpm, which only `file` still looks at.
    pub(super) fn rpm_number(self) -> u16 {
        self.row().map_or(1, |m| m.3)
    }
}
