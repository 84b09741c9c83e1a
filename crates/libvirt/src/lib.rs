// SPDX-License-Identifier: Apache-2.0
//! The libvirt calls and events virt-hooks needs, loaded at run time.
//!
//! `libvirt.so.0` is opened with `dlopen` when the first connection is made, so a program that
//! links this crate starts on a host without libvirt and can say which package is missing.
//!
//! ```no_run
//! use virt_hooks_libvirt::{Connection, CreateFlags};
//!
//! # fn main() -> Result<(), virt_hooks_libvirt::Error> {
//! let connection = Connection::open(Some("qemu:///system"))?;
//! let events = connection.lifecycle_events()?;
//! let vm = connection.lookup("web1")?;
//! vm.create(CreateFlags::START_PAUSED)?;
//! for event in &events {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Theory of operation
//!
//! * [`Libvirt::load`] resolves one table of function pointers for the life of the process. It
//!   silences libvirt's habit of printing each error to stderr, and starts **one** thread that
//!   turns libvirt's event loop. This happens before the first connection, because the embedded
//!   QEMU driver refuses to open without an event loop.
//! * A [`Connection`] is a counted handle; [`Domain`]s and [`Subscription`]s keep it open.
//! * Events are copied to owned values on the event thread and sent over a channel. Nothing else
//!   happens on that thread: a call into libvirt from there could wait for itself.
//! * What libvirt gets as the opaque argument of a callback is a number, never a pointer. A late
//!   event for a dropped subscription or connection finds nobody under its number and is discarded.

mod connection;
mod devices;
mod domain;
mod error;
mod events;
mod ffi;
mod library;
mod migrate;
mod node;
mod registry;
mod saving;
mod types;

pub use connection::{Connection, DomainInfo};
pub use devices::{DeviceChange, DeviceEvent};
pub use domain::Domain;
pub use error::{Error, ErrorKind};
pub use events::{
    CloseReason, Event, Lifecycle, LifecycleEvent, ResumeReason, ShutdownReason, StartReason, StopReason,
    Subscription, SuspendReason,
};
pub use library::Libvirt;
pub use migrate::MigrateFlags;
pub use node::{Control, DomainStats, NodeDevice, StatValue};
pub use saving::SaveFlags;
pub use types::{Affect, CreateFlags, State, StateInfo, Version, XmlFlags};
