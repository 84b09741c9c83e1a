// SPDX-License-Identifier: Apache-2.0
//! The end of a VM's former life, before the next one begins.
//!
//! Somebody ends a VM, and somebody asks an agent to start it in the same breath: libvirt's word of the end may still be
//! on its way, or its hooks still run. They are to be done with the former life, and to see its XML, before the first
//! hook hears of the next one. Without an agent there is nothing to wait for: who takes the VM's lock has told what was
//! left, or libvirt's hook script did within the call that ended the VM.

use crate::desk::{Attendance, Desk, Waited};
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Phase, Step};
use crate::scene::Place;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use virt_hooks_contract::Report;
use virt_hooks_engine::{Watch, is_readable};

/// How long hooks of the former life may take before the next one begins beside them. One of them may be who asks for
/// it, and waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for libvirt at a time: what it tells may have no after-points.
const SLICE: Duration = Duration::from_millis(200);

/// How long to wait for the end of what hooks do not know to be there.
const MOMENT: Duration = Duration::from_secs(1);

/// Who waits, for whom.
pub(crate) struct Waiting<'a> {
    /// What is to be begun, and what there is where that is given up.
    pub(crate) operation: (&'static str, &'static str),
    /// The VM, for people.
    pub(crate) name: &'a str,
    /// The first step of what is to be begun, and that of its failure.
    pub(crate) steps: (Step, Step),
    /// When this becomes readable it is given up.
    pub(crate) cancel: Option<BorrowedFd<'a>>,
}

impl Place<'_> {
    /// Waits until hooks know of the end of a VM that libvirt says does not run.
    ///
    /// # Errors
    /// It was given up.
    pub(crate) fn part_from_former_life(
        &self,
        driver: &Driver,
        waiting: &Waiting<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<(), Error> {
        if driver.desks.is_none() {
            return Ok(());
        }
        let desk = self.desk();
        if desk.is_unsettled() {
            // Nobody looks at a VM that somebody attends to: what an operation left there is ours to tell.
            let _attendance = Attendance::new(desk.clone(), None, |_| false);
            if let Some(record) = driver.records.load(&desk.uuid)? {
                let assessed = driver.assess(&record)?;
                desk.reset(assessed.life.clone());
                waiting.wait_for_hooks(desk, watch)?;
                driver.catch_up(&record, assessed, watch, reports)?;
            }
            desk.settled();
        }
        let told = desk.phase() == Phase::Down;
        let turn = desk.afters_turn();
        if told && turn.is_up() {
            return Ok(());
        }
        drop(turn);
        watch.step(&format!("wait for the hooks of the end of VM {}", waiting.name));
        let done = waiting.wait(desk, driver.event_wait, watch);
        watch.step_done();
        done
    }
}

impl Waiting<'_> {
    fn wait(&self, desk: &Arc<Desk>, event_wait: Duration, watch: &mut dyn Watch) -> Result<(), Error> {
        let forced = self.hear_of_the_end(desk, event_wait, watch)?;
        let waited = self.wait_for_hooks(desk, watch);
        if forced && waited.is_err() {
            desk.step(self.steps.1);
        }
        waited
    }

    /// Waits until after-points that are due were fired, for as long as that is reasonable.
    fn wait_for_hooks(&self, desk: &Arc<Desk>, watch: &mut dyn Watch) -> Result<(), Error> {
        let begun = Instant::now();
        let turn = desk.afters_turn();
        while !turn.wait_a_moment() {
            self.check()?;
            if begun.elapsed() > PATIENCE {
                watch.warning(&format!(
                    "VM {}: hooks of its end still run after {PATIENCE:?}: it begins beside them",
                    self.name
                ));
                break;
            }
            watch.step_running(begun.elapsed());
        }
        Ok(())
    }

    /// Waits until libvirt tells, and says whether the end was taken for granted because it did not.
    fn hear_of_the_end(
        &self,
        desk: &Arc<Desk>,
        limit: Duration,
        watch: &mut dyn Watch,
    ) -> Result<bool, Error> {
        // What is claimed and not taken goes to the observer at its end, in the order it came.
        let attendance = Attendance::new(desk.clone(), None, |after: &After| after.ends_life());
        let begun = Instant::now();
        // An operation that was broken off leaves a VM that hooks know nothing of, or were told of by libvirt's script:
        // then no word comes any more.
        let limit = match desk.phase() {
            Phase::Starting | Phase::MigratingIn => limit.min(MOMENT),
            _ => limit,
        };
        while desk.phase() != Phase::Down {
            if begun.elapsed() > limit {
                // Its first step knows how to take it, and that the word of it may still come.
                desk.step(self.steps.0);
                return Ok(true);
            }
            match attendance.wait(SLICE, self.cancel, watch) {
                Waited::Due(due) => desk.leave(due),
                Waited::Cancelled => self.check()?,
                Waited::TimedOut | Waited::Lost => {}
            }
        }
        Ok(false)
    }

    fn check(&self) -> Result<(), Error> {
        let (operation, left) = self.operation;
        match self.cancel {
            Some(cancel) if is_readable(cancel) => {
                Err(Error::Interrupted { operation, vm: self.name.to_owned(), left })
            }
            _ => Ok(()),
        }
    }
}
