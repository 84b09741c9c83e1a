// SPDX-License-Identifier: Apache-2.0
//! The user that hooks of a point run as, and what the mode of a file lets it do.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use virt_hooks_contract::Point;
use virt_hooks_engine::Host;
use virt_hooks_spawn::Credentials;

/// Who runs a hook. What it may do is read from mode bits, not asked of the kernel: the doctor is often
/// root, for whom nearly everything works, while the hooks' user is not.
#[derive(Clone, Debug)]
pub(super) struct Runner(Credentials);

pub(super) const READ: u32 = 0o4;
pub(super) const EXECUTE: u32 = 0o1;

impl Runner {
    pub(super) fn of(host: &Host, point: &Point) -> Self {
        Self(host.settings.user_of(point).cloned().unwrap_or_else(|| {
            Credentials {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                groups: rustix::process::getgroups()
                    .unwrap_or_default()
                    .into_iter()
                    .map(rustix::process::Gid::as_raw)
                    .collect(),
            }
        }))
    }

    pub(super) fn uid(&self) -> u32 {
        self.0.uid
    }

    /// Whether a mode gives the access named by one bit ([`READ`], [`EXECUTE`]).
    pub(super) fn may(&self, access: u32, meta: &Metadata) -> bool {
        if self.0.uid == 0 {
            return access != EXECUTE || meta.is_dir() || meta.mode() & 0o111 != 0;
        }
        let shift = if self.0.uid == meta.uid() {
            6
        } else if self.0.gid == meta.gid() || self.0.groups.contains(&meta.gid()) {
            3
        } else {
            0
        };
        meta.mode() & (access << shift) != 0
    }
}
