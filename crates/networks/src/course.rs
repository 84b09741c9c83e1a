// SPDX-License-Identifier: Apache-2.0
//! One run: how its hooks are told, and how it ends, be it in another process.

use crate::backend::Backend;
use crate::error::{ApplyError, Error};
use crate::iproute::restore;
use crate::pending::{Pending, Undo};
use crate::plan::Plan;
use crate::setup::Setup;
use serde_json::Value;
use std::os::fd::BorrowedFd;
use std::path::Path;
use virt_hooks_contract::{Failure, Point, Report};
use virt_hooks_engine::{Event, Outcome, Watch};

/// One run.
pub(crate) struct Course<'a, 'b> {
    pub(crate) setup: &'a Setup<'b>,
    pub(crate) run_dir: &'a Path,
    /// What becomes of its hooks.
    pub(crate) reports: &'a mut Vec<Report>,
    pub(crate) watch: &'a mut dyn Watch,
}

impl Course<'_, '_> {
    /// Fires a point. `failure` is what a failing hook does, where not what the point says.
    pub(crate) fn fire(
        &mut self,
        name: &str,
        reason: &str,
        payload: &Value,
        failure: Option<Failure>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Outcome {
        let unknown;
        let point = match self.setup.catalogue.get(name) {
            Some(point) => point,
            // Not to be: the table holds every name used here, which the tests show.
            None => {
                unknown = Point::unknown(name);
                &unknown
            }
        };
        let event = Event {
            reason: Some(reason),
            timeout: self.setup.timeout,
            failure,
            cancel,
            ..Event::new(point, payload.to_string())
        };
        self.watch.event(point, None);
        let outcome = self.setup.engine.fire_observed(&event, self.watch);
        self.watch.outcome(&outcome);
        self.reports.push(outcome.report(self.setup.with_diff));
        outcome
    }

    /// The request is over, and devices are as they are to be: its last point.
    pub(crate) fn conclude(&mut self, done: bool, document: &Value) {
        // Where this cannot be noted what was noted before stands, which is no worse.
        let _ = Pending::Tell { done, document: document.clone() }.write(self.run_dir);
        self.tell(done, document);
        if let Err(e) = Pending::forget(self.run_dir) {
            self.watch.warning(&format!("{e}: remove it, or the next request ends this one again"));
        }
    }

    fn tell(&mut self, done: bool, document: &Value) {
        let point = if done { "after_network_setup" } else { "after_network_setup_fail" };
        self.fire(point, "setup-networks", document, None, None);
    }

    /// The way back: a set-up of its own, with its points (C16). No hook can stop it, and it leads to what was
    /// there, whatever hooks make of its request.
    pub(crate) fn roll_back(
        &mut self,
        failed: ApplyError,
        plan: &Plan,
        payload: &Value,
        document: &Value,
        backend: &mut dyn Backend,
    ) -> Error {
        let rolled_back = if backend.needs_roll_back(&failed) {
            self.go_back(payload, || backend.roll_back(plan))
        } else {
            Ok(())
        };
        match rolled_back {
            Ok(()) => {
                self.conclude(false, document);
                Error::RolledBack(failed)
            }
            Err(rollback) => {
                self.tell(false, document);
                self.told();
                Error::Stuck { failed: Box::new(failed), rollback: Box::new(rollback) }
            }
        }
    }

    /// Hooks know that the request failed; the way back remains, where it is ours.
    fn told(&mut self) {
        let noted = match Pending::read(self.run_dir) {
            Ok(Some(Pending::Undo(undo))) => Undo { told: true, ..undo }.write(self.run_dir),
            Ok(_) => Pending::forget(self.run_dir),
            Err(e) => Err(e),
        };
        if let Err(e) = noted {
            self.watch.warning(&format!("{e}: the next request fires after_network_setup_fail again"));
        }
    }

    /// A rollback with its points.
    fn go_back(
        &mut self,
        payload: &Value,
        back: impl FnOnce() -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        self.fire("before_network_setup", "rollback", payload, Some(Failure::Advisory), None);
        self.watch.step("roll back");
        let rolled_back = back();
        self.watch.step_done();
        let point = if rolled_back.is_ok() { "after_network_setup" } else { "after_network_setup_fail" };
        self.fire(point, "rollback", payload, None, None);
        rolled_back
    }

    /// Brings to its end what another process did not: it was killed, or its way back failed.
    pub(crate) fn recover(&mut self) -> Result<(), Error> {
        let undo = match Pending::read(self.run_dir)? {
            None => return Ok(()),
            Some(Pending::Tell { done, document }) => {
                self.watch.warning("an earlier request did not get to its end: its hooks are told first");
                self.conclude(done, &document);
                return Ok(());
            }
            Some(Pending::Undo(undo)) => undo,
        };
        self.watch.warning("an earlier request did not get to its end: it is rolled back first");
        let recovered = self
            .go_back(&undo.rollback, || restore(&undo.before))
            .map_err(|source| Error::Recover { path: Pending::path(self.run_dir), source })
            .and_then(|()| undo.record.put_back(self.setup.state_dir));
        match recovered {
            Ok(()) if undo.told => Pending::forget(self.run_dir),
            Ok(()) => {
                self.conclude(false, &undo.document);
                Ok(())
            }
            Err(error) => {
                if !undo.told {
                    self.tell(false, &undo.document);
                    self.told();
                }
                Err(error)
            }
        }
    }
}
