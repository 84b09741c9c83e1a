// SPDX-License-Identifier: Apache-2.0
//! A connection, an engine, and where things lie.

use crate::Error;
use std::path::PathBuf;
use virt_hooks_contract::Catalogue;
use virt_hooks_engine::{Engine, Host};
use virt_hooks_libvirt::{Connection, ErrorKind};

/// Drives VMs over one libvirt connection.
pub struct Driver {
    pub(crate) connection: Connection,
    pub(crate) engine: Engine,
    pub(crate) catalogue: Catalogue,
    pub(crate) launch_flags_dir: PathBuf,
}

impl Driver {
    /// Connects; `uri` as libvirt takes it, `None` for the default, `qemu:///system` for root on most hosts.
    ///
    /// # Errors
    /// libvirt cannot be loaded or reached.
    pub fn connect(uri: Option<&str>, host: Host) -> Result<Self, Error> {
        Ok(Self {
            connection: Connection::open(uri).map_err(Error::Unreachable)?,
            engine: Engine::new(host.settings),
            catalogue: host.catalogue,
            launch_flags_dir: host.launch_flags_dir,
        })
    }

    /// Whether the VM runs, or nobody can say: a libvirt that was lost in the middle of a start may have
    /// started it.
    pub(crate) fn may_run(&self, uuid: &str) -> bool {
        match self.connection.lookup(uuid).and_then(|domain| domain.is_active()) {
            Ok(active) => active,
            Err(e) => e.kind != ErrorKind::NoDomain,
        }
    }
}
