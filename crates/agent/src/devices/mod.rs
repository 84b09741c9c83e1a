// SPDX-License-Identifier: Apache-2.0
//! Devices, processors and console passwords of a running VM (VDSM's sequences 4.12 to 4.18).
//!
//! # Theory of operation
//!
//! * A verb changes the running VM only; a stored definition stays as it is.
//! * The hooks before a change get the XML that libvirt would get, and where the point says so, libvirt gets what
//!   they make of it. A veto leaves the VM as it was, because nothing was asked of libvirt before.
//! * Once the point before a change went well, every failure fires the `_fail` point, where there is one (C20).
//!   Disks, memory and processors have none, and nothing is prepared for them that would have to be released (C18).
//! * Custom properties of a device that comes with a request are kept in the VM's live metadata until the device
//!   goes, so that later events about it find them (C03).
//! * An unplug is over when libvirt says that the device is gone, never before: most guests must consent. Other
//!   operations on the VM do not wait for the guest.
//!
//! VDSM has no hook points for memory that is unplugged, host devices, leases, a medium that is changed or a snapshot,
//! so there are no verbs for these here either (C33).

mod aside;
mod cpus;
mod given;
mod live;
mod metadata;
mod perform;
mod plug;
mod removals;
mod ticket;
mod unplug;
mod update;

pub use cpus::CpusRequest;
pub use given::MemoryModule;
pub(crate) use perform::CHANGES;
pub use plug::PlugRequest;
pub(crate) use removals::PendingRemovals;
pub use ticket::{Graphics, Ticket, TicketRequest, WhenConnected};
pub use unplug::UnplugRequest;
pub use update::{NicChange, NicUpdate};

/// A VM that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// What was changed: `interface net1`, `2 CPUs`.
    pub what: String,
    /// Whether it happened after its time was over, when the operation already counted as failed (C32).
    pub late: bool,
    /// What did not go as it should, in a line each, though the change was made.
    pub warnings: Vec<String>,
}
