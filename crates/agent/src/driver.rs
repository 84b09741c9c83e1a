// SPDX-License-Identifier: Apache-2.0
//! A connection, an engine, and where things lie.

use crate::Error;
use crate::devices::PendingRemovals;
use std::path::PathBuf;
use std::sync::Arc;
use virt_hooks_contract::Catalogue;
use virt_hooks_engine::{Engine, Host};
use virt_hooks_libvirt::Connection;

/// Drives VMs over one libvirt connection.
pub struct Driver {
    pub(crate) connection: Connection,
    pub(crate) engine: Engine,
    pub(crate) catalogue: Catalogue,
    pub(crate) launch_flags_dir: PathBuf,
    pub(crate) removals: Arc<PendingRemovals>,
}

impl Driver {
    /// Connects; `uri` as libvirt takes it, `None` for the default, `qemu:///system` for root on most hosts.
    ///
    /// # Errors
    /// libvirt cannot be loaded or reached.
    pub fn connect(uri: Option<&str>, host: Host) -> Result<Self, Error> {
        let engine = Engine::new(host.settings);
        engine.remove_stale();
        Ok(Self {
            connection: Connection::open(uri).map_err(Error::Unreachable)?,
            engine,
            catalogue: host.catalogue,
            launch_flags_dir: host.launch_flags_dir,
            removals: Arc::default(),
        })
    }
}
