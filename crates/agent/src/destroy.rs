// SPDX-License-Identifier: Apache-2.0
//! Destroying a VM (VDSM's sequence 4.11).

use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Step};
use crate::occasion::Occasion;

use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::{Machine, Watch};
use virt_hooks_libvirt::{Domain, XmlFlags};

/// What to destroy, and how.
#[derive(Clone, Debug)]
pub struct DestroyRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the destroy is given up, as long as the VM runs.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// A VM that was destroyed.
#[derive(Clone, Debug)]
pub struct Destroyed {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
}

impl Driver {
    /// Ends a running VM at once, as pulling the plug would. `reports` gets the record of each event.
    ///
    /// # Errors
    /// There is no such VM, it does not run, libvirt refuses, or it was given up; no hook can stop it, except one at
    /// `before_vm_destroy` whose package says that it vetoes: the VM runs on then.
    pub fn destroy(
        &self,
        request: &DestroyRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Destroyed, Error> {
        let domain = self.connection.lookup(request.vm).map_err(Error::Unreachable)?;
        let place = self.place(domain.uuid(), domain.name(), request.cancel, watch, reports)?;
        if !domain.is_active().map_err(Error::Unreachable)? {
            return Err(self.not_running(domain.uuid(), domain.name()));
        }
        let machine = self.machine_of(&domain)?;
        let phase = place.phase();
        let mut scene =
            place.begin("destroy", &machine, phase, |after| matches!(after, After::Destroy { .. }))?;
        let mut noting = scene.noting(watch);
        let mut occasion = Occasion {
            driver: self,
            operation: "destroy VM",
            reason: "destroy",
            vm: machine.vm.clone(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "the VM still runs",
            with_diff: request.with_diff,
            reports,
            watch: &mut noting,
        };
        scene.step(Step::Destroy);
        let done = occasion.before_destroy(&machine).and_then(|()| {
            occasion.cancel = None;
            let destroyed = occasion.step(&format!("destroy VM {}", domain.name()), || domain.destroy());
            match destroyed {
                // It may have gone by itself while hooks ran: what they are to clean up after is gone all the
                // same.
                Err(source) if self.runs(domain.uuid()) != Some(false) => Err(occasion.refused(source)),
                _ => Ok(()),
            }
        });
        scene.step(if done.is_ok() { Step::Destroyed } else { Step::DestroyFailed });
        scene.over();
        occasion.cancel = None;
        while let Some(due) = scene.attendance.due() {
            scene.fire(due, &mut occasion, &machine);
        }
        let unknown = done.is_err() && self.runs(domain.uuid()).is_none();
        if unknown {
            scene.leave();
        } else {
            scene.end(&mut occasion, &machine);
        }
        done?;
        Ok(Destroyed { name: domain.name().to_owned(), uuid: domain.uuid().to_owned() })
    }

    /// The running VM as it is.
    pub(crate) fn machine_of(&self, domain: &Domain) -> Result<Machine, Error> {
        Ok(Machine::read(domain.xml(XmlFlags::default()).map_err(Error::Unreachable)?.as_bytes())?)
    }

    /// Why there is nothing to be done to a VM that is down.
    pub(crate) fn not_running(&self, uuid: &str, name: &str) -> Error {
        match self.desks.as_ref().and_then(|desks| desks.ended(uuid)) {
            Some(reason) => Error::WentBefore { vm: name.to_owned(), reason: reason.to_owned() },
            None => Error::NotRunning(name.to_owned()),
        }
    }
}
