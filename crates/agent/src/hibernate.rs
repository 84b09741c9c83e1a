// SPDX-License-Identifier: Apache-2.0
//! Saving a VM to a file (VDSM's sequence 4.7).

use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Phase, Step};
use crate::occasion::Occasion;
use crate::pause::{Served, VmRequest};
use crate::scene::{Scene, stands_still};
use std::path::Path;
use virt_hooks_contract::Report;
use virt_hooks_engine::Machine;
use virt_hooks_engine::Watch;
use virt_hooks_libvirt::{Domain, SaveFlags};

impl Driver {
    /// Saves a VM to `file`, which must not exist, and ends it.
    ///
    /// After `after_vm_hibernate` come the destroy points, with `_hook_reason=hibernate`: VDSM's client destroys
    /// what is left of the VM (C34), and here there is no client that could.
    ///
    /// # Errors
    /// A veto or libvirt's refusal. The VM is as it was then: continued where it ran before, by way of
    /// `before_vm_cont`; left alone where it was never paused (C28). The veto's own words are in the error
    /// (C35).
    pub fn hibernate(
        &self,
        request: &VmRequest<'_>,
        file: &Path,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Served, Error> {
        if file.symlink_metadata().is_ok() {
            return Err(Error::FileTaken(file.to_owned()));
        }
        self.with_running(
            request,
            ("hibernate VM", "hibernate"),
            watch,
            reports,
            |occasion, scene, domain, machine| {
                occasion.untouched = "the VM was not saved";
                let ran = !stands_still(domain.state().map_err(Error::Unreachable)?.state);
                let fires = occasion.pause(scene, domain, machine)?;
                if fires && let Some(due) = scene.wait(occasion, "was paused", "after_vm_pause") {
                    let live = occasion.driver.live_or(domain, machine);
                    // As a step of a hibernation it has that reason.
                    scene.fire(due, occasion, &live);
                    occasion.reason = "hibernate";
                }
                match occasion.save(scene, domain, machine, file) {
                    Ok(saved) => {
                        scene.over();
                        occasion.cancel = None;
                        occasion.saved(scene, &saved);
                        Ok(())
                    }
                    Err(error) => {
                        occasion.roll_back(scene, domain, machine, ran);
                        Err(error)
                    }
                }
            },
        )
    }
}

impl Occasion<'_> {
    /// `before_vm_hibernate`, and the save. Gives the VM as it was last.
    fn save(
        &mut self,
        scene: &Scene<'_>,
        domain: &Domain,
        machine: &Machine,
        file: &Path,
    ) -> Result<Machine, Error> {
        let live = self.driver.live_or(domain, machine);
        let outcome = self.fire("before_vm_hibernate", live.xml());
        self.settle(outcome, |_| {})?;
        self.check_interrupt()?;
        scene.step(Step::Save);
        scene.note(Phase::Saving, Some(&live));
        let saved = self.step(&format!("save VM {} to {}", domain.name(), file.display()), || {
            domain.save(file, SaveFlags::PAUSED)
        });
        match saved {
            Ok(()) => Ok(live),
            // The destroy points come from what libvirt tells of its end, if it did end.
            Err(source) => {
                let error = self.refused_or_lost(source);
                if !matches!(error, Error::Lost { .. }) {
                    scene.step(Step::SaveFailed);
                    scene.note(Phase::Paused, None);
                }
                Err(error)
            }
        }
    }

    fn saved(&mut self, scene: &mut Scene<'_>, machine: &Machine) {
        let Some(due) = scene.wait(self, "was saved", "after_vm_hibernate") else { return };
        scene.fire(due, self, machine);
        // Of the same event.
        while let Some(due) = scene.attendance.due() {
            scene.fire(due, self, machine);
        }
    }

    /// The VM goes on. Nothing here can fail the operation a second time: it is told, and the VM stays paused.
    fn roll_back(&mut self, scene: &mut Scene<'_>, domain: &Domain, machine: &Machine, ran: bool) {
        let Ok(state) = domain.state() else { return };
        if !ran || !stands_still(state.state) {
            return;
        }
        self.cancel = None;
        match self.resume(domain, machine) {
            Ok(()) => {
                while let Some(due) = scene.wait(self, "was continued", "after_vm_cont") {
                    let live = self.driver.live_or(domain, machine);
                    let (after, reason) = (due.after, self.reason);
                    scene.fire(due, self, &live);
                    self.reason = reason;
                    // Before it may come the pause by libvirt that was part of the save, or an end after all.
                    if !matches!(after, After::Pause(_)) {
                        break;
                    }
                }
            }
            Err(error) => {
                let vm = self.vm_name();
                self.watch.warning(&format!("VM {vm} stays paused: {error}"));
            }
        }
    }
}
