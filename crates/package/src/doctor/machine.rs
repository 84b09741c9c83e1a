// SPDX-License-Identifier: Apache-2.0
//! What the doctor asks the machine itself, by path, so that tests can answer.

use std::path::PathBuf;

/// The places to ask.
pub(super) struct Machine {
    /// Holds `1` where SELinux enforces its policy, `0` where it only tells; missing where it is off.
    pub(super) selinux_enforce: PathBuf,
    /// The AppArmor profiles that are loaded.
    pub(super) apparmor_profiles: PathBuf,
    /// Processors that are emulated.
    pub(super) binfmt: PathBuf,
    /// In front of libvirt's places; `None`: this host.
    pub(super) root: Option<PathBuf>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            selinux_enforce: "/sys/fs/selinux/enforce".into(),
            apparmor_profiles: "/sys/kernel/security/apparmor/profiles".into(),
            binfmt: "/proc/sys/fs/binfmt_misc".into(),
            root: None,
        }
    }
}
