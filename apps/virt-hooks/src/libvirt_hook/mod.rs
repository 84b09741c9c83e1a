// SPDX-License-Identifier: Apache-2.0
//! libvirt's own hook script: fires hook points from inside libvirt's operations.
//!
//! # What fires when
//!
//! | libvirt's call | hook points | a failure | the XML |
//! |---|---|---|---|
//! | `prepare` of a start | `before_device_create`, `before_vm_start` | no start | edits are without effect |
//! | `started` of a start | `after_vm_start`, `after_device_create` | logged | – |
//! | `restore` | `before_vm_dehibernate` | no restore | edited |
//! | `started` of a restore | `after_vm_dehibernate` | logged | – |
//! | `migrate` (destination) | `before_device_migrate_destination`, `before_vm_migrate_destination` | refused | edited |
//! | `release`, reason `migrated` | `after_vm_migrate_source`, `after_device_migrate_source`, then as below | logged | – |
//! | `release`, reason `saved` | `after_vm_hibernate`, then as below | logged | – |
//! | `release` | `after_vm_destroy`, `after_device_destroy` | logged | – |
//! | any other, `reconnect` and those of networks too | `libvirt_<driver>_<operation>`, where this host has it | see [`Call::may_refuse`] | – |
//!
//! `stopped` always comes with a `release`, which knows the reason (libvirt 10.5.0 and later), so that the one fires for
//! both. `started` of an arriving VM comes before its memory does: `after_vm_migrate_destination` takes an agent.
//!
//! # Who fires
//!
//! Every event is fired once. While a driver holds the VM's lock, its operation is what libvirt calls about, and it fires
//! all points itself. While an agent answers on its socket it sees what happens by libvirt's events, and fires the
//! `after_` points; the `before_` points it cannot see coming, so they are fired here.
//!
//! libvirt is never called back: it holds the VM's lock while it waits for the answer.

mod answer;
mod call;
mod deadline;
mod log;
mod refusal;
mod setup;
mod stage;

pub(crate) use answer::answer;
pub(crate) use call::Call;

use crate::cli::{LibvirtHook, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::streams::Streams;

/// The verb: a call that was written out, or the set-up.
pub(crate) fn run(
    hook: &LibvirtHook,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    if let Some(command) = &hook.command {
        return setup::run(command, locations, environ, streams);
    }
    match Call::new(&hook.driver, &hook.call) {
        Some(call) => Ok(answer(&call, locations, environ, streams)),
        None => Err(Failure::usage("libvirt-hook takes four words: OBJECT OPERATION SUBOP EXTRA")),
    }
}
