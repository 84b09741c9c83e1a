// SPDX-License-Identifier: Apache-2.0
//! What the host is, and what it pretends to be.

use virt_hooks_sdk::VdsmConf;
use virt_hooks_sdk::{Context, Failure};

/// An architecture that VDSM knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arch {
    X86,
    Ppc64,
    Ppc64Le,
    Aarch64,
    S390x,
}

impl Arch {
    /// By the kernel's name for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "x86_64" => Self::X86,
            "ppc64" => Self::Ppc64,
            "ppc64le" => Self::Ppc64Le,
            "aarch64" => Self::Aarch64,
            "s390x" => Self::S390x,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Ppc64 => "ppc64",
            Self::Ppc64Le => "ppc64le",
            Self::Aarch64 => "aarch64",
            Self::S390x => "s390x",
        }
    }

    /// The host's: this program runs on no other one than it was built for.
    pub(super) fn of_the_host() -> Result<Self, Failure> {
        let name = match (std::env::consts::ARCH, cfg!(target_endian = "little")) {
            ("powerpc64", true) => "ppc64le",
            ("powerpc64", false) => "ppc64",
            (name, _) => name,
        };
        Self::named(name)
            .ok_or_else(|| Failure::go_on(format_args!("fake_kvm_support: not for a host of {name}")))
    }
}

/// What the configuration of VDSM asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pretence {
    /// The architecture pretended.
    pub(super) arch: Arch,
    /// The memory each VM gets, in the unit its domain states; none: what it asks for.
    pub(super) memory: Option<String>,
}

/// What to pretend; none if the switch is off.
pub(super) fn pretence(hook: &Context) -> Result<Option<Pretence>, Failure> {
    let conf = VdsmConf::read(hook);
    if !conf.is_on("fake_kvm_support")? {
        return Ok(None);
    }
    let name = conf.text("fake_kvm_architecture").unwrap_or("x86_64");
    let arch = Arch::named(name).ok_or_else(|| {
        Failure::go_on("fake_kvm_architecture: expected x86_64, ppc64, ppc64le, aarch64 or s390x")
    })?;
    let memory = conf.text("fake_kvm_memory").filter(|memory| *memory != "0").map(str::to_owned);
    Ok(Some(Pretence { arch, memory }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_name_that_is_known() {
        let arch = Arch::of_the_host().unwrap();
        assert_eq!(Arch::named(arch.name()), Some(arch));
    }

    #[test]
    fn the_configuration_decides() {
        let with = |text: &str| {
            let host = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(host.path().join("etc/vdsm")).unwrap();
            std::fs::write(host.path().join("etc/vdsm/vdsm.conf"), text).unwrap();
            pretence(&Context::for_test().with_host(host.path()))
        };
        assert_eq!(with("[vars]\nfake_kvm_architecture = nonsense\n").unwrap(), None);
        let on = |rest: &str| with(&format!("[vars]\nfake_kvm_support = on\n{rest}"));
        assert_eq!(on("").unwrap(), Some(Pretence { arch: Arch::X86, memory: None }));
        assert_eq!(on("fake_kvm_memory = 0\n").unwrap().unwrap().memory, None);
        assert_eq!(on("fake_kvm_memory = 00\n").unwrap().unwrap().memory.as_deref(), Some("00"));
        for bad in ["X86_64", ""] {
            let failure = on(&format!("fake_kvm_architecture = {bad}\n")).unwrap_err();
            assert!(failure.message().starts_with("fake_kvm_architecture") && !failure.stops());
        }
    }
}
