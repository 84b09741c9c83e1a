// SPDX-License-Identifier: Apache-2.0
//! Taking over a VM from another host: the destination's side (VDSM's sequence 4.10).
//!
//! One operation from the points before the arrival to those after it. It holds the VM's lock, so that libvirt's own
//! hook script leaves the points to it. libvirt takes the XML from the source: what hooks change in it here has no
//! effect, and they are told so (C13).

use crate::desk::{Due, Waited};
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Found, Phase, Step};
use crate::occasion::{About, Occasion, set_devices};
use crate::pause::{Served, served};
use crate::scene::{Scene, stands_still};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::{Machine, Watch};
use virt_hooks_libvirt::State;

/// How many may come at once, where nobody says (VDSM's `max_incoming_migrations`).
pub(crate) const INCOMING: u32 = 2;
/// How long is waited at a time. A migration may take hours.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for what is left of one that was given up.
const REST: Duration = Duration::from_millis(200);

/// A VM that is about to come.
#[derive(Clone, Debug)]
pub(crate) struct ReceiveRequest<'a> {
    /// Its XML, as it is at the source.
    pub(crate) xml: &'a str,
    /// Which attempt this is, from 1 (C24).
    pub(crate) attempt: u32,
    /// The deadline of each hook, before all other settings.
    pub(crate) timeout: Option<Duration>,
    pub(crate) with_diff: bool,
    /// Becomes readable when the source gave it up, or is gone.
    pub(crate) cancel: Option<BorrowedFd<'a>>,
}

/// Places for VMs that come.
#[derive(Debug)]
pub(crate) struct Arrivals {
    taken: AtomicU32,
    limit: u32,
}

impl Arrivals {
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), limit })
    }

    fn take(&self) -> Option<Arrival<'_>> {
        let more = |taken: u32| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Arrival(self))
    }
}

struct Arrival<'a>(&'a Arrivals);

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Driver {
    /// Makes ready for a VM, tells so, and waits for it.
    ///
    /// # Errors
    /// A veto; too many come already; the VM runs here, or its name is another's; it did not come. Where hooks were
    /// told that it would, the destroy points have been fired, with `_hook_reason=migrate-failed`.
    pub(crate) fn receive(
        &self,
        request: &ReceiveRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Served, Error> {
        let machine = Machine::read(request.xml.as_bytes())?;
        let _arrival = self.arrivals.take().ok_or(Error::TooManyArrive(self.arrivals.limit))?;
        let place = self.place(&machine.vm.id, machine.name(), request.cancel, watch, reports)?;
        self.check_free(&machine)?;
        let claims = |after: &After| matches!(after, After::MigrateDestination);
        let mut scene = place.begin("receive", &machine, Phase::MigratingIn, claims)?;
        scene.step(Step::Receive);
        let mut noting = scene.noting(watch);
        let mut occasion = Occasion {
            driver: self,
            operation: "take over VM",
            reason: "migrate",
            vm: machine.vm.clone(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "it did not come",
            with_diff: request.with_diff,
            reports,
            watch: &mut noting,
        };
        let arrived = occasion.before_arrival(&machine, request.attempt).and_then(|()| {
            occasion.watch.ready();
            occasion.arrival(&scene, &machine)
        });
        match arrived {
            Ok(due) => {
                scene.over();
                occasion.cancel = None;
                let domain = match self.connection.lookup(&machine.vm.id) {
                    Ok(domain) => domain,
                    // It came, and perhaps went: whoever finds out fires what is due.
                    Err(source) => {
                        scene.leave();
                        return Err(Error::Unreachable(source));
                    }
                };
                let live = self.live_or(&domain, &machine);
                scene.note(Phase::MigratingIn, Some(&live));
                occasion.vm = live.vm.clone();
                scene.fire(due, &mut occasion, &live);
                scene.end(&mut occasion, &machine);
                Ok(served(&domain))
            }
            Err(error) => {
                if matches!(error, Error::Lost { .. }) {
                    // Who finds out cleans up, or fires what comes after an arrival.
                    scene.leave();
                    return Err(error);
                }
                occasion.cancel = None;
                // Nobody can give a clean-up up.
                occasion.fire_after(
                    After::Destroy { reason: "migrate-failed", with_before: true },
                    &machine,
                    None,
                );
                scene.step(Step::ReceiveFailed);
                scene.end(&mut occasion, &machine);
                Err(error)
            }
        }
    }
}

impl Occasion<'_> {
    fn before_arrival(&mut self, machine: &Machine, attempt: u32) -> Result<(), Error> {
        // What hooks make of the disks is for a VM that boots.
        self.prepare_disks(&mut Machine::read(machine.xml().as_bytes())?, "migration")?;
        for device in set_devices(machine) {
            let about = About {
                device: Some(&device.label),
                parameters: Some(device.properties()),
                attempt: Some(attempt),
                ..About::default()
            };
            self.ask("before_device_migrate_destination", &machine.device_xml(&device), about)?;
        }
        let about = About { attempt: Some(attempt), ..About::default() };
        self.ask("before_vm_migrate_destination", machine.xml(), about)
    }

    fn ask(&mut self, point: &str, payload: &str, about: About<'_>) -> Result<(), Error> {
        let outcome = self.fire_about(point, payload, about);
        let changed = outcome.changed;
        self.settle(outcome, |_| {})?;
        if changed {
            let vm = self.vm_name();
            self.watch.warning(&format!(
                "VM {vm}: what hooks changed at {point} has no effect: libvirt takes the XML from the source (change it there)"
            ));
        }
        self.check_interrupt()
    }

    /// Waits for the VM.
    fn arrival(&mut self, scene: &Scene<'_>, machine: &Machine) -> Result<Due, Error> {
        self.watch.step(&format!("wait for VM {} to arrive", machine.name()));
        let mut cancel = self.cancel;
        let arrived = loop {
            let limit = if self.cancel.is_some() && cancel.is_none() { REST } else { PATIENCE };
            match scene.attendance.wait(limit, cancel, self.watch) {
                Waited::Due(due) => break Ok(due),
                Waited::Lost => break Err(self.interrupted()),
                // What libvirt tells may be lost with a connection, so that it is asked as well. Where the source is
                // gone, or gave it up, what is on its way between the daemons may come all the same, and libvirt
                // ends what does not.
                waited @ (Waited::Cancelled | Waited::TimedOut) => {
                    let given_up = limit == REST || matches!(waited, Waited::Cancelled);
                    match self.driver.found(&machine.vm.id) {
                        Ok((Found::Gone, _)) if given_up => break Err(self.interrupted()),
                        Ok((found, _))
                            if (found == Found::Running || found == Found::Paused && given_up)
                                && self.is_whole(&machine.vm.id) =>
                        {
                            scene.step(Step::Found(found));
                        }
                        Err(Error::Unreachable(source)) if given_up => match self.driver.runs(&machine.vm.id)
                        {
                            Some(false) => break Err(self.interrupted()),
                            // The source waits for an answer, with the VM on hold there.
                            None => break Err(self.lost_at_arrival(source)),
                            Some(true) => {}
                        },
                        _ => {}
                    }
                    if given_up {
                        cancel = None;
                    }
                }
            }
        };
        self.watch.step_done();
        arrived
    }

    /// Whether all of a VM is here. Where its source was lost in the midst of the transfer libvirt takes away again what
    /// there is of it.
    fn is_whole(&self, uuid: &str) -> bool {
        let state = self.driver.connection.lookup(uuid).and_then(|domain| domain.state());
        state.is_ok_and(|now| match now.state {
            State::Running | State::Blocked => true,
            state => stands_still(state) && !now.is_migrating() && !now.is_starting_up(),
        })
    }

    fn lost_at_arrival(&self, source: virt_hooks_libvirt::Error) -> Error {
        Error::Lost {
            operation: self.operation,
            vm: self.vm_name(),
            left: "nobody knows whether it came, so nothing was cleaned up",
            source: Box::new(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_come_and_no_more() {
        let arrivals = Arrivals::new(2);
        let first = arrivals.take().unwrap();
        let second = arrivals.take().unwrap();
        assert!(arrivals.take().is_none());
        drop(first);
        let third = arrivals.take();
        assert!(third.is_some() && arrivals.take().is_none());
        drop((second, third));
        assert!(Arrivals::new(0).take().is_none());
    }
}
