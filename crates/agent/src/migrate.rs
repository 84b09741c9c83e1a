// SPDX-License-Identifier: Apache-2.0
//! Moving a running VM to another host: the source's side (VDSM's sequence 4.9).
//!
//! # Theory of operation
//!
//! * The points before the migration are fired once, however often the destination says that it is busy (C24).
//! * The destination is made ready by its agent, where we are told where that listens; else libvirt's own hook
//!   script fires the points there, when libvirt begins.
//! * The transfer itself is between the two daemons: it goes on without us. What came of it is what libvirt tells.
//! * As long as the transfer is not done, the VM is the source's: a veto, a failure or a cancellation leaves it
//!   running here, and the destination cleans up.
//! * After the points of the migration come the destroy points, with `_hook_reason=migrate`: VDSM's client destroys
//!   what is left of the VM (C34), and here there is no client that could.

use crate::driver::Driver;
use crate::error::Error;
use crate::life::{Phase, Step};
use crate::occasion::{Occasion, set_devices};
use crate::pause::{Served, VmRequest};
use crate::remote::{Answered, Destination};
use crate::scene::Scene;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use virt_hooks_contract::Report;
use virt_hooks_engine::{Machine, Watch, is_readable};
use virt_hooks_libvirt::{Domain, MigrateFlags};

/// How often who waits for a busy destination looks whether to go on.
const SLICE: Duration = Duration::from_millis(100);

pub(crate) const OPERATION: &str = "migrate VM";

/// Where a VM is to go, and how.
#[derive(Clone, Debug)]
pub struct MigrateRequest<'a> {
    /// The VM, and how the operation is told.
    pub vm: VmRequest<'a>,
    /// The libvirt of the destination, as the daemon of this host reaches it.
    pub to: &'a str,
    /// Where the memory goes, such as `tcp://b.example:49152`; libvirt chooses where it is not given.
    pub uri: Option<&'a str>,
    /// Where the contents of disks go; libvirt chooses where it is not given.
    pub disks_uri: Option<&'a str>,
    /// The socket of the destination's agent.
    pub agent: Option<&'a Path>,
    /// Whether the contents of disks go along.
    pub copy_storage: bool,
    /// How often a busy destination is asked again, and after which time.
    pub retries: (u32, Duration),
    /// How long the transfer may take.
    pub limit: Option<Duration>,
}

/// Why a transfer was given up.
#[derive(Clone, Copy)]
enum GivenUp {
    Interrupted,
    Late(Duration),
}

impl Driver {
    /// Moves a running VM to another host. A stored definition goes along.
    ///
    /// # Errors
    /// A veto here or there, in the hook's own words (C35); a destination that stays busy; libvirt's refusal; it was
    /// given up, or took too long. The VM runs on here then, and the destination was told to clean up.
    pub fn migrate(
        &self,
        request: &MigrateRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Served, Error> {
        let names = (OPERATION, "migrate");
        self.with_running(&request.vm, names, watch, reports, |occasion, scene, domain, machine| {
            occasion.untouched = "the VM still runs here";
            occasion.before_migration(machine)?;
            let mut destination = occasion.make_ready(request, machine)?;
            match occasion.transfer(scene, domain, machine, request) {
                Ok(()) => {
                    scene.over();
                    let cancel = occasion.cancel.take();
                    occasion.has_left(scene, machine);
                    if let Some(destination) = &mut destination {
                        occasion.see_arrival(destination, cancel);
                    }
                    Ok(())
                }
                Err(error) => {
                    occasion.cancel = None;
                    if let Some(destination) = &mut destination {
                        occasion.give_up_destination(destination);
                    }
                    if !matches!(error, Error::Lost { .. }) {
                        if occasion.driver.runs(domain.uuid()) == Some(false) {
                            // It went while libvirt was at it, and libvirt says how.
                            occasion.has_left(scene, machine);
                        }
                        scene.step(Step::MigrateFailed);
                    }
                    Err(error)
                }
            }
        })
    }
}

impl Occasion<'_> {
    fn before_migration(&mut self, machine: &Machine) -> Result<(), Error> {
        for device in set_devices(machine) {
            let xml = machine.device_xml(&device);
            let outcome = self.fire_device("before_device_migrate_source", &xml, &device, None);
            self.settle(outcome, |_| {})?;
            self.check_interrupt()?;
        }
        let outcome = self.fire("before_vm_migrate_source", machine.xml());
        self.settle(outcome, |_| {})?;
        self.check_interrupt()
    }

    /// Has the destination's agent fire its points, and asks again where it is busy.
    fn make_ready(
        &mut self,
        request: &MigrateRequest<'_>,
        machine: &Machine,
    ) -> Result<Option<Destination>, Error> {
        let Some(socket) = request.agent else { return Ok(None) };
        let (retries, rest) = request.retries;
        let mut attempt = 1;
        loop {
            self.watch.step(&format!("prepare the destination at {}", socket.display()));
            let vm = self.vm_name();
            let asked =
                Destination::ask(socket, machine.xml(), attempt, self.timeout, self.cancel, self.watch);
            self.watch.step_done();
            let said = match asked {
                Ok(destination) => return Ok(Some(destination)),
                Err(Answered::Cancelled) => return Err(self.interrupted()),
                Err(Answered::Vetoed(said)) => return Err(Error::DestinationVeto { vm, said }),
                Err(Answered::Failed(said)) => return Err(Error::Destination { vm, said }),
                Err(Answered::Busy(said)) => said,
            };
            if attempt > retries {
                return Err(Error::DestinationBusy { vm, said, attempts: attempt });
            }
            attempt += 1;
            self.watch
                .warning(&format!("VM {vm}: the destination is busy ({said}): asked again in {rest:?}"));
            self.rest(rest)?;
        }
    }

    fn rest(&mut self, time: Duration) -> Result<(), Error> {
        self.watch.step("wait for the destination");
        let begun = Instant::now();
        let mut told = Duration::ZERO;
        let rested = loop {
            let elapsed = begun.elapsed();
            if elapsed >= time {
                break Ok(());
            }
            if let Err(interrupted) = self.check_interrupt() {
                break Err(interrupted);
            }
            if elapsed >= told + Duration::from_secs(1) {
                told = elapsed;
                self.watch.step_running(elapsed);
            }
            std::thread::sleep(SLICE.min(time.saturating_sub(elapsed)));
        };
        self.watch.step_done();
        rested
    }

    fn transfer(
        &mut self,
        scene: &Scene<'_>,
        domain: &Domain,
        machine: &Machine,
        request: &MigrateRequest<'_>,
    ) -> Result<(), Error> {
        self.check_interrupt()?;
        let mut flags = MigrateFlags::LIVE | MigrateFlags::PEER_TO_PEER;
        if domain.is_persistent().map_err(Error::Unreachable)? {
            flags = flags | MigrateFlags::PERSIST_DESTINATION | MigrateFlags::UNDEFINE_SOURCE;
        }
        if request.copy_storage {
            flags = flags | MigrateFlags::NON_SHARED_DISKS;
        }
        scene.step(Step::Migrate);
        scene.note(Phase::MigratingOut, Some(machine));
        let (cancel, limit) = (self.cancel, request.limit);
        let (mut given_up, mut told) = (None, false);
        let moved = self.step_while(
            &format!("migrate VM {} to {}", domain.name(), request.to),
            || domain.migrate(request.to, request.uri, request.disks_uri, flags),
            |elapsed, watch| {
                if cancel.is_some_and(is_readable) {
                    given_up = Some(GivenUp::Interrupted);
                } else if let Some(limit) = limit.filter(|limit| elapsed >= *limit) {
                    given_up = given_up.or(Some(GivenUp::Late(limit)));
                }
                // Refused until libvirt's job has begun; asked again until it ends.
                if given_up.is_some() && domain.abort_job().is_ok() && !told {
                    told = true;
                    watch
                        .warning(&format!("VM {}: libvirt was told to give the migration up", domain.name()));
                }
            },
        );
        match (moved, given_up) {
            // What was done when it was given up is done.
            (Ok(()), _) => Ok(()),
            (Err(source), given_up) => Err(match (self.refused_or_lost(source), given_up) {
                (lost @ Error::Lost { .. }, _) | (lost, None) => lost,
                (_, Some(GivenUp::Interrupted)) => self.interrupted(),
                (_, Some(GivenUp::Late(limit))) => Error::TooSlow { vm: self.vm_name(), limit },
            }),
        }
    }

    fn has_left(&mut self, scene: &mut Scene<'_>, machine: &Machine) {
        let Some(due) = scene.wait(self, "has left", "after_vm_migrate_source") else { return };
        scene.fire(due, self, machine);
        // Of the same event.
        while let Some(due) = scene.attendance.due() {
            scene.fire(due, self, machine);
        }
    }

    /// Waits until the destination's hooks were told, as long as whoever asked for the migration does. The VM is
    /// there: nothing here undoes that.
    fn see_arrival(&mut self, destination: &mut Destination, cancel: Option<BorrowedFd<'_>>) {
        self.watch.step("wait for the hooks of the destination");
        let arrived = destination.end(cancel, self.watch);
        self.watch.step_done();
        if let Err(said) = arrived {
            let vm = self.vm_name();
            self.watch.warning(&format!("VM {vm} is at its destination, whose agent says: {said}"));
        }
    }

    fn give_up_destination(&mut self, destination: &mut Destination) {
        self.watch.step("have the destination clean up");
        destination.give_up();
        // It answers once it has: with why the VM did not come, which we know.
        let _ = destination.end(None, self.watch);
        self.watch.step_done();
    }
}
