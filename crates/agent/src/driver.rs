// SPDX-License-Identifier: Apache-2.0
//! A connection, an engine, and where things lie.

use crate::Error;
use crate::desks::Desks;
use crate::devices::PendingRemovals;
use crate::receive::{Arrivals, INCOMING};
use crate::record::Records;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use virt_hooks_contract::Catalogue;
use virt_hooks_engine::{Engine, Handover, Host, agent_of};
use virt_hooks_libvirt::Connection;

/// How long libvirt may take to tell of what it was asked to do.
const EVENT_WAIT: Duration = Duration::from_secs(30);

/// Drives VMs over one libvirt connection.
///
/// By itself it is complete: an operation hears libvirt's events as long as it lasts. An
/// [`Agent`](crate::Agent) has one that hears them all the time; the operations are the same.
pub struct Driver {
    pub(crate) connection: Connection,
    pub(crate) engine: Arc<Engine>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) launch_flags_dir: PathBuf,
    pub(crate) records: Records,
    /// The agent's, where there is one.
    pub(crate) desks: Option<Arc<Desks>>,
    pub(crate) event_wait: Duration,
    pub(crate) state_dir: PathBuf,
    pub(crate) removals: Arc<PendingRemovals>,
    pub(crate) arrivals: Arc<Arrivals>,
}

impl Driver {
    /// Connects; `uri` as libvirt takes it, `None` for the default, `qemu:///system` for root on most hosts.
    ///
    /// # Errors
    /// libvirt cannot be loaded or reached.
    pub fn connect(uri: Option<&str>, host: Host) -> Result<Self, Error> {
        Ok(Self::new(Connection::open(uri).map_err(Error::Unreachable)?, host, None))
    }

    /// An agent's.
    pub(crate) fn of_agent(connection: Connection, host: Host, desks: Arc<Desks>) -> Self {
        Self::new(connection, host, Some(desks))
    }

    fn new(connection: Connection, host: Host, desks: Option<Arc<Desks>>) -> Self {
        let engine = Engine::new(host.settings);
        engine.remove_stale();
        Self {
            connection,
            engine: Arc::new(engine),
            catalogue: Arc::new(host.catalogue),
            launch_flags_dir: host.launch_flags_dir,
            records: Records::new(&host.state_dir),
            state_dir: host.state_dir,
            desks,
            event_wait: EVENT_WAIT,
            removals: Arc::default(),
            arrivals: Arrivals::new(host.agent.incoming.unwrap_or(INCOMING)),
        }
    }

    /// The same over a new connection.
    pub(crate) fn over(&self, connection: Connection) -> Self {
        Self {
            connection,
            engine: self.engine.clone(),
            catalogue: self.catalogue.clone(),
            launch_flags_dir: self.launch_flags_dir.clone(),
            records: self.records.clone(),
            state_dir: self.state_dir.clone(),
            desks: self.desks.clone(),
            event_wait: self.event_wait,
            removals: self.removals.clone(),
            arrivals: self.arrivals.clone(),
        }
    }

    /// Waits this long for libvirt to tell of what it was asked to do, in place of half a minute.
    #[must_use]
    pub fn with_event_wait(mut self, wait: Duration) -> Self {
        self.event_wait = wait;
        self
    }

    /// What libvirt's hook script says of a VM's start.
    pub(crate) fn handover(&self, uuid: &str) -> Handover {
        Handover::of(&self.engine.settings().run_dir, &self.state_dir, uuid)
    }

    /// An agent fires the after-points of all VMs of its libvirt. Beside it we would fire them again.
    pub(crate) fn refuse_beside_an_agent(&self) -> Result<(), Error> {
        match agent_of(&self.engine.settings().run_dir) {
            Some(uri) if uri == self.connection.uri() => Err(Error::AgentServes(uri)),
            _ => Ok(()),
        }
    }
}
