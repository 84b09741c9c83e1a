// SPDX-License-Identifier: Apache-2.0
//! Bringing a saved VM back (VDSM's sequences 4.3 and 4.4).

use crate::afters::from_snapshot;
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Phase, Step};
use crate::occasion::{About, Occasion};
use crate::pause::Served;
use crate::scene::Scene;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::Machine;
use virt_hooks_engine::Watch;
use virt_hooks_libvirt::{Domain, SaveFlags};

/// What to restore, and how.
#[derive(Clone, Debug)]
pub struct RestoreRequest<'a> {
    /// The file of the saved VM, which stays.
    pub file: &'a Path,
    /// The VM's XML in place of that in the file: a VM goes back to a snapshot with the files that its disks have now (VDSM
    /// sequence 4.4).
    pub xml: Option<&'a str>,
    /// Whether it is the memory of a snapshot, as hooks see in `FROM_SNAPSHOT`.
    pub from_snapshot: bool,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the restore is given up, as long as the VM is not there.
    pub cancel: Option<BorrowedFd<'a>>,
}

impl Driver {
    /// Restores a VM and continues it.
    ///
    /// `before_device_create`, `before_vm_start` and `before_vm_dehibernate` get the XML that is restored, and
    /// what they make of it is restored (C12, C13). libvirt refuses what a guest would notice.
    ///
    /// # Errors
    /// A veto, or libvirt's refusal. The VM does not run then: where it was there already, as at a veto of
    /// `before_vm_cont`, it was ended again (C31). The clean-up points have been fired.
    pub fn restore(
        &self,
        request: &RestoreRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Served, Error> {
        let saved = self.connection.saved_xml(request.file, true).map_err(Error::Unreachable)?;
        let mut machine = Machine::read(saved.as_bytes())?;
        if let Some(xml) = request.xml {
            let given = Machine::read(xml.as_bytes())?;
            // libvirt says so too, but not before hooks ran for a VM that is not the one.
            if given.vm.id != machine.vm.id {
                return Err(Error::Xml(format!(
                    "it is of the VM with UUID {}, and {} has the memory of {}",
                    given.vm.id,
                    request.file.display(),
                    machine.vm.id
                )));
            }
            machine = given;
        }
        let place = self.place(&machine.vm.id, machine.name(), request.cancel, watch, reports)?;
        self.check_free(&machine)?;
        let (operation, name) = if request.from_snapshot {
            ("restore snapshot of VM", RESTORE_SNAPSHOT)
        } else {
            ("restore VM", RESTORE)
        };
        let mut scene = place.begin(name, &machine, Phase::Starting, |after| matches!(after, After::Cont))?;
        scene.step(Step::Start);
        let mut noting = scene.noting(watch);
        let mut occasion = Occasion {
            driver: self,
            operation,
            reason: name,
            vm: machine.vm.clone(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "nothing was restored",
            with_diff: request.with_diff,
            reports,
            watch: &mut noting,
        };
        let done = occasion.bring_back(&mut machine, request, &scene).and_then(|domain| {
            scene.step(Step::Restored);
            occasion.vm = machine.vm.clone();
            occasion.resume(&domain, &self.live_or(&domain, &machine)).map(|()| domain)
        });
        match done {
            Ok(domain) => {
                scene.over();
                occasion.restored(request, &domain, &machine, &mut scene);
                scene.end(&mut occasion, &machine);
                Ok(Served { name: domain.name().to_owned(), uuid: domain.uuid().to_owned() })
            }
            Err(error) => {
                if matches!(error, Error::Lost { .. }) && self.runs(&machine.vm.id).is_none() {
                    scene.leave();
                    return Err(error);
                }
                occasion.cancel = None;
                occasion.undo(&machine, &scene);
                scene.end(&mut occasion, &machine);
                Err(error)
            }
        }
    }
}

/// The names of the operations on record, and their reasons for hooks.
pub(crate) const RESTORE: &str = "dehibernate";
pub(crate) const RESTORE_SNAPSHOT: &str = "restore-snapshot";

impl Occasion<'_> {
    /// Up to the VM that is there, and stands still.
    fn bring_back(
        &mut self,
        machine: &mut Machine,
        request: &RestoreRequest<'_>,
        scene: &Scene<'_>,
    ) -> Result<Domain, Error> {
        self.prepare_disks(machine, "restore")?;
        self.edit(machine)?;
        let parameters = from_snapshot(request.from_snapshot);
        let about = About { parameters: Some(&parameters), ..About::default() };
        let outcome = self.fire_about("before_vm_dehibernate", machine.xml(), about);
        let mut kept = Ok(());
        self.settle(outcome, |xml| kept = machine.replace(xml.bytes()))?;
        kept?;
        self.check_interrupt()?;
        scene.note(Phase::Starting, Some(machine));
        let connection = &self.driver.connection;
        let what = format!("restore VM {} from {}", machine.name(), request.file.display());
        let restored = self
            .step(&what, || connection.restore(request.file, Some(machine.xml()), SaveFlags::PAUSED))
            .and_then(|()| connection.lookup(&machine.vm.id));
        restored.map_err(|source| self.refused_or_lost(source))
    }

    fn restored(
        &mut self,
        request: &RestoreRequest<'_>,
        domain: &Domain,
        machine: &Machine,
        scene: &mut Scene<'_>,
    ) {
        self.cancel = None;
        if let Some(due) = scene.wait(self, "was continued", "after_vm_cont") {
            let live = self.driver.live_or(domain, machine);
            scene.fire(due, self, &live);
        }
        let live = self.driver.live_or(domain, machine);
        scene.note(Phase::Starting, Some(&live));
        let after = After::Dehibernate { from_snapshot: request.from_snapshot };
        scene.fire(scene.attendance.desk.due(after), self, &live);
    }

    /// Ends a VM that came back and must not stay, and cleans up after it (C31).
    fn undo(&mut self, machine: &Machine, scene: &Scene<'_>) {
        if let Ok(domain) = self.driver.connection.lookup(&machine.vm.id)
            && domain.is_active().unwrap_or(false)
            && scene.attendance.desk.phase() != Phase::Starting
        {
            let ended = self.step(&format!("destroy VM {}", domain.name()), || domain.destroy());
            if let Err(source) = ended
                && self.driver.runs(domain.uuid()) != Some(false)
            {
                let vm = self.vm_name();
                self.watch.warning(&format!("VM {vm} is still there, paused: {source}"));
                return;
            }
        }
        self.clean_up(machine);
        scene.step(Step::StartFailed);
    }
}
