// SPDX-License-Identifier: Apache-2.0
//! Driver: the life of VMs over libvirt, event by event.
//!
//! # Theory of operation
//!
//! A [`Driver`] holds a libvirt connection and an engine. Each verb is a sequence of steps; between
//! libvirt's calls it fires the hook points of that sequence (VDSM's sequences, `spec` section 4), and acts
//! on their verdicts. One VM has one operation at a time: a lock file in the run directory keeps a second
//! one out, also from another process.
//!
//! Custom properties live in the domain XML itself, so that whatever happens to a VM later finds them:
//! the engine's `Machine` reads VDSM's metadata and our own, and writes our own.
//!
//! What changes a VM that runs, and its devices, is in `devices`; what hooks may make of the disks of one that is
//! about to run is in `disks`.
//!
//! To add a verb: a module beside `start` and `destroy` with one function of [`Driver`], made of the steps
//! that `occasion` and the engine's `Machine` offer.
#![forbid(unsafe_code)]

mod afters;
mod agent;
mod apply;
mod desk;
mod desks;
mod destroy;
mod devices;
mod disks;
mod driver;
mod error;
mod hibernate;
mod host;
mod life;
mod list;
mod migrate;
mod occasion;
mod pause;
mod perform;
pub mod protocol;
mod receive;
mod reconcile;
mod record;
mod remote;
mod restore;
mod scene;
mod set;
mod show;
mod shutdown;
mod start;
mod telling;
pub mod varlink;
mod vm_stats;

pub use agent::{Agent, Chronicler};
pub use apply::{ApplyRequest, Defined};
pub use destroy::{DestroyRequest, Destroyed};
pub use devices::{
    Changed, CpusRequest, Graphics, MemoryModule, NicChange, NicUpdate, PlugRequest, Ticket, TicketRequest,
    UnplugRequest, WhenConnected,
};
pub use driver::Driver;
pub use error::{Error, Kind};
pub use host::{Inquiry, Sampling};
pub use life::Phase;
pub use list::Listed;
pub use migrate::MigrateRequest;
pub use pause::{Served, VmRequest};
pub use perform::operations;
pub use restore::RestoreRequest;
pub use set::SetRequest;
pub use show::{Shown, ShownDevice};
pub use start::{Source, StartRequest, Started};
pub use telling::{Progress, Teller};
pub use virt_hooks_engine::NAMESPACE;
pub use virt_hooks_engine::{Quiet, Watch};
