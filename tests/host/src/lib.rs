// SPDX-License-Identifier: Apache-2.0
//! A throw-away libvirt host: real QEMU processes under a private directory, nothing of the host's own
//! libvirt touched, nothing left behind.
//!
//! ```no_run
//! use std::time::Duration;
//! use virt_hooks_libvirt::{Connection, CreateFlags};
//! use virt_hooks_testhost::{GuestOptions, Host};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::create(None)?;
//! let connection = Connection::open(Some(&host.uri()))?;
//! let vm = connection.create_xml(&host.domain_xml("demo", &GuestOptions::default()), CreateFlags::NONE)?;
//! host.wait_for_guest("demo", Duration::from_secs(10))?;
//! vm.destroy()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Theory of operation
//!
//! * libvirt's `qemu:///embed` driver runs inside the calling process and keeps all its state under
//!   one directory. It is half a host: no hook scripts of libvirt's own, no autodestroy, no incoming
//!   migration. **One process can use one such directory in its life**; two processes can use the same
//!   one, one after the other.
//! * The first use of a QEMU binary makes libvirt ask it what it can do, which takes seconds. The
//!   answers are kept in a directory of the caller's choice and given to the next host; libvirt checks
//!   by itself whether they still fit.
//! * QEMU is a daemon: once started it is an orphan, and libvirt considers it alive until its parent
//!   has reaped it. Where process 1 is slow at that, each stop of a VM takes seconds. So this process
//!   adopts the orphans of its descendants and reaps them at once, see [`become_subreaper`].
//! * The guest is 1.5 KiB of real mode code, which is up in a tenth of a second without KVM.

#![forbid(unsafe_code)]

mod capabilities;
mod daemon;
mod guest;
mod host;
pub mod load;
mod process;
mod reaper;
mod requirements;

pub use daemon::Daemon;
pub use guest::{Guest, GuestOptions};
pub use host::{Cleanup, Host, HostError, Qemu};
pub use reaper::become_subreaper;
pub use requirements::{Missing, MissingThing, requirements};
