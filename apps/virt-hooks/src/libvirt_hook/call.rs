// SPDX-License-Identifier: Apache-2.0
//! One call of libvirt's to its hook script, and what may be answered.
//!
//! libvirt's `docs/hooks.rst`: the arguments are an object, an operation, its phase, and one more word. What a
//! non-zero exit code does depends on the operation, and nothing but this table keeps a hook of a point that only
//! looks on from killing a running VM.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use virt_hooks_package::libvirt_script::FILE_NAME;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// `qemu`, `network`.
    pub(crate) driver: String,
    /// The name of the VM or network. libvirt takes any bytes.
    pub(crate) object: String,
    /// `prepare`, `started`.
    pub(crate) operation: String,
    /// `begin` or `end`.
    pub(crate) phase: String,
    /// Since libvirt 10.5.0 why a VM stopped, at its release; else `-`. Free text.
    pub(crate) extra: String,
}

impl Call {
    /// A call from its driver and the words libvirt gives; `None` where they are not four.
    pub(crate) fn new(driver: &str, words: &[OsString]) -> Option<Self> {
        let [object, operation, phase, extra] = words else { return None };
        let text = |word: &OsString| word.to_string_lossy().into_owned();
        Some(Self {
            driver: driver.to_owned(),
            object: text(object),
            operation: text(operation),
            phase: text(phase),
            extra: text(extra),
        })
    }

    /// The driver whose hook script this executable was called as: `qemu` for `…/qemu.d/50-virt-hooks`.
    pub(crate) fn driver_of(program: &OsStr) -> Option<String> {
        let path = Path::new(program);
        if path.file_name()? != FILE_NAME {
            return None;
        }
        let directory = path.parent()?.file_name()?.to_str()?;
        directory.strip_suffix(".d").map(str::to_owned)
    }

    pub(crate) fn is(&self, driver: &str, operation: &str) -> bool {
        self.driver == driver && self.operation == operation
    }

    /// Whether libvirt refuses the operation where the answer is a failure, and nothing worse happens.
    ///
    /// At `started` it would kill a running VM, or take down a running network; at `reconnect` kill a VM that has run
    /// all along; `stopped`, `release` and the like it ignores.
    pub(crate) fn may_refuse(&self) -> bool {
        match self.driver.as_str() {
            "network" => matches!(self.operation.as_str(), "start" | "port-created"),
            _ => matches!(self.operation.as_str(), "prepare" | "start" | "migrate" | "restore"),
        }
    }

    /// The point of this host's own, if there is one, for an operation that is none of VDSM's.
    pub(crate) fn host_point(&self) -> String {
        format!("libvirt_{}_{}", self.driver, self.operation).replace('-', "_")
    }

    /// Why a VM stopped, as one word.
    pub(crate) fn stop_reason(&self) -> String {
        match self.extra.as_str() {
            "" | "-" => "unknown".to_owned(),
            said => said.split_whitespace().collect::<Vec<_>>().join("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(driver: &str, words: &str) -> Call {
        let words: Vec<OsString> = words.split('|').map(Into::into).collect();
        Call::new(driver, &words).unwrap()
    }

    #[test]
    fn the_script_is_known_by_its_place() {
        let of = |path: &str| Call::driver_of(OsStr::new(path));
        assert_eq!(of("/etc/libvirt/hooks/qemu.d/50-virt-hooks").as_deref(), Some("qemu"));
        assert_eq!(of("/etc/libvirt/hooks/network.d/50-virt-hooks").as_deref(), Some("network"));
        for other in
            ["virt-hooks", "/usr/bin/virt-hooks", "50-virt-hooks", "/x/qemu/50-virt-hooks", "/qemu.d/a"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_that_runs_is_ended() {
        for operation in ["started", "reconnect", "stopped", "release", "attach"] {
            assert!(!call("qemu", &format!("a|{operation}|begin|-")).may_refuse(), "{operation}");
        }
        for operation in ["started", "stopped", "updated", "port-deleted"] {
            assert!(!call("network", &format!("a|{operation}|begin|-")).may_refuse(), "{operation}");
        }
        assert!(call("qemu", "a|prepare|begin|-").may_refuse());
        assert!(call("network", "a|port-created|begin|-").may_refuse());
    }

    #[test]
    fn words_are_free_text() {
        assert_eq!(call("qemu", "a|release|end|from snapshot").stop_reason(), "from-snapshot");
        assert_eq!(call("qemu", "a|release|end|-").stop_reason(), "unknown");
        assert_eq!(call("network", "n|port-created|begin|-").host_point(), "libvirt_network_port_created");
        assert_eq!(Call::new("qemu", &["a".into()]), None);
    }
}
