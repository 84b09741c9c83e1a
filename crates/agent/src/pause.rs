// SPDX-License-Identifier: Apache-2.0
//! Stopping a VM's processors and letting them run again (VDSM's sequences 4.5 and 4.6).

use crate::destroy::Destroyed;
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Step};
use crate::occasion::Occasion;
use crate::scene::{Scene, stands_still};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::Machine;
use virt_hooks_engine::Watch;
use virt_hooks_libvirt::{Domain, ErrorKind};

/// Which VM an operation is about, and how it is told.
#[derive(Clone, Debug)]
pub struct VmRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the operation is given up, as long as it has not happened.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// A VM that an operation was done to.
pub type Served = Destroyed;

pub(crate) fn served(domain: &Domain) -> Served {
    Served { name: domain.name().to_owned(), uuid: domain.uuid().to_owned() }
}

impl Driver {
    /// Makes a VM's processors stand still. `reports` gets the record of each event.
    ///
    /// # Errors
    /// A veto, with the VM running on; libvirt's refusal; there is no such VM, or it does not run.
    pub fn pause(
        &self,
        request: &VmRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Served, Error> {
        self.with_running(
            request,
            ("pause VM", "pause"),
            watch,
            reports,
            |occasion, scene, domain, machine| {
                occasion.untouched = "the VM was not paused";
                let fires = occasion.pause(scene, domain, machine)?;
                scene.over();
                occasion.cancel = None;
                if fires && let Some(due) = scene.wait(occasion, "was paused", "after_vm_pause") {
                    let live = occasion.driver.live_or(domain, machine);
                    scene.fire(due, occasion, &live);
                }
                Ok(())
            },
        )
    }

    /// Lets a VM's processors run again.
    ///
    /// # Errors
    /// A veto, with the VM paused still; libvirt's refusal, such as of a VM that runs; there is no such VM, or it
    /// does not run at all.
    pub fn cont(
        &self,
        request: &VmRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Served, Error> {
        self.with_running(
            request,
            ("continue VM", "cont"),
            watch,
            reports,
            |occasion, scene, domain, machine| {
                occasion.untouched = "the VM was not continued";
                occasion.resume(domain, machine)?;
                scene.over();
                occasion.cancel = None;
                if let Some(due) = scene.wait(occasion, "was continued", "after_vm_cont") {
                    let live = occasion.driver.live_or(domain, machine);
                    scene.fire(due, occasion, &live);
                }
                Ok(())
            },
        )
    }

    /// What operations on a running VM have in common: the scene around `act`.
    pub(crate) fn with_running(
        &self,
        request: &VmRequest<'_>,
        (operation, reason): (&'static str, &'static str),
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
        act: impl FnOnce(&mut Occasion<'_>, &mut Scene<'_>, &Domain, &Machine) -> Result<(), Error>,
    ) -> Result<Served, Error> {
        let domain = self.connection.lookup(request.vm).map_err(Error::Unreachable)?;
        let place = self.place(domain.uuid(), domain.name(), request.cancel, watch, reports)?;
        if !domain.is_active().map_err(Error::Unreachable)? {
            return Err(self.not_running(domain.uuid(), domain.name()));
        }
        let machine = self.machine_of(&domain)?;
        let phase = place.phase();
        let claims: fn(&After) -> bool = match reason {
            "pause" => |after| matches!(after, After::Pause(_)),
            "cont" => |after| matches!(after, After::Cont),
            "shutdown" => |after| matches!(after, After::Destroy { .. }),
            "migrate" => |after| matches!(after, After::MigrateSource | After::Destroy { .. }),
            _ => |after| {
                matches!(after, After::Pause(_) | After::Cont | After::Hibernate | After::Destroy { .. })
            },
        };
        let mut scene = place.begin(reason, &machine, phase, claims)?;
        let mut noting = scene.noting(watch);
        let mut occasion = Occasion {
            driver: self,
            operation,
            reason,
            vm: machine.vm.clone(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "nothing was done",
            with_diff: request.with_diff,
            reports,
            watch: &mut noting,
        };
        let done = act(&mut occasion, &mut scene, &domain, &machine);
        if done.is_err() && !self.connection.is_alive() {
            // Nobody knows what came of it until there is a new connection.
            scene.leave();
        } else {
            scene.end(&mut occasion, &machine);
        }
        done.map(|()| served(&domain))
    }
}

impl Occasion<'_> {
    /// `before_vm_pause`, and the pause. Says whether libvirt will tell of it: not where the VM stood still
    /// already.
    pub(crate) fn pause(
        &mut self,
        scene: &Scene<'_>,
        domain: &Domain,
        machine: &Machine,
    ) -> Result<bool, Error> {
        let outcome = self.fire("before_vm_pause", machine.xml());
        self.settle(outcome, |_| {})?;
        self.check_interrupt()?;
        let still = domain.state().map_err(Error::Unreachable)?;
        scene.step(Step::Pause);
        let paused = self.step(&format!("pause VM {}", domain.name()), || domain.suspend());
        if let Err(source) = paused {
            scene.step(Step::PauseFailed);
            return Err(self.refused_or_lost(source));
        }
        Ok(!stands_still(still.state))
    }

    /// `before_vm_cont`, and libvirt's resume.
    pub(crate) fn resume(&mut self, domain: &Domain, machine: &Machine) -> Result<(), Error> {
        let outcome = self.fire("before_vm_cont", machine.xml());
        self.settle(outcome, |_| {})?;
        self.check_interrupt()?;
        let resumed = self.step(&format!("continue VM {}", domain.name()), || domain.resume());
        resumed.map_err(|source| self.refused_or_lost(source))
    }

    /// libvirt's refusal; or, where the connection to it is gone, that nobody knows.
    pub(crate) fn refused_or_lost(&self, source: virt_hooks_libvirt::Error) -> Error {
        if source.kind == ErrorKind::Unreachable && !self.driver.connection.is_alive() {
            return Error::Lost {
                operation: self.operation,
                vm: self.vm_name(),
                left: "nobody knows whether it was done",
                source: Box::new(source),
            };
        }
        self.refused(source)
    }
}
