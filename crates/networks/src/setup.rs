// SPDX-License-Identifier: Apache-2.0
//! One request from its reading to its end (VDSM sequence 4.20).

use crate::backend::Backend;
use crate::error::{ApplyError, Error};
use crate::iproute::{Ip, Iproute, restore};
use crate::known::Known;
use crate::nmstate::Nmstate;
use crate::pending::Pending;
use crate::plan::{Observe, Plan, gateways, plan};
use crate::reach::wait_for_gateways;
use crate::record;
use crate::request::{Ipv4, Request};
use serde_json::Value;
use std::fs::{File, TryLockError};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use virt_hooks_contract::{Catalogue, Failure, Point, Report, Verdict};
use virt_hooks_engine::{Engine, Event, Outcome, Trouble, Watch, make_run_dir};

/// Who changes the host's devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// nmstate where the host has it and NetworkManager runs, else `ip`.
    #[default]
    Auto,
    /// `nmstatectl`, with NetworkManager's checkpoint.
    Nmstate,
    /// `ip`, with a roll-back of our own, until the next boot.
    Ip,
}

/// Sets up networks of this host.
pub struct Setup<'a> {
    /// Runs the hooks.
    pub engine: &'a Engine,
    /// The hook points.
    pub catalogue: &'a Catalogue,
    /// Where it is recorded what was set up.
    pub state_dir: &'a Path,
    /// Who changes the devices.
    pub way: Way,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Gives it up while it is readable: what was begun is rolled back.
    pub cancel: Option<BorrowedFd<'a>>,
    /// Whether records have what each hook changed.
    pub with_diff: bool,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Done {
    /// The request as it was carried out, every default filled in: an object with the key `request`.
    pub document: Value,
    /// Whether it is there after the next boot.
    pub outlives_boot: bool,
    /// Who changed the devices: `nmstate` or `ip`.
    pub way: &'static str,
}

/// A request that was found good, and what it means.
struct Checked {
    request: Request,
    plan: Plan,
}

/// One run: how its hooks are told, and what becomes of them.
struct Course<'a, 'b> {
    setup: &'a Setup<'b>,
    reports: &'a mut Vec<Report>,
    watch: &'a mut dyn Watch,
}

impl Setup<'_> {
    /// Carries out a request in VDSM's shape: an object with `networks`, `bondings` and `options`, or one with
    /// these in the key `request`.
    ///
    /// `before_network_setup` may refuse and edit it; what it leaves is checked as the request was (C17), is what is
    /// carried out, and is what the points after it see (C14). Whatever fails is rolled back, with events of its
    /// own (C16), and then `after_network_setup_fail` is fired. A request that is refused before any hook has
    /// run fires nothing: each `before_network_setup` has one point after it, and none comes without (C15).
    ///
    /// # Errors
    /// See [`Error`]; except for [`Error::Stuck`] the host is as it was.
    pub fn carry_out(
        &self,
        request: &[u8],
        reports: &mut Vec<Report>,
        watch: &mut dyn Watch,
    ) -> Result<Done, Error> {
        let run_dir = &self.engine.settings().run_dir;
        let _lock = lock(run_dir)?;
        let document: Value = serde_json::from_slice(request).map_err(Error::Json)?;
        let mut course = Course { setup: self, reports, watch };
        course.recover(run_dir)?;
        let known = record::read(self.state_dir)?;
        let mut backend = self.backend();
        // Hooks' payloads have it in "request", VDSM's clients send what is in it.
        let inner = document.get("request").unwrap_or(&document);
        let checked = self.check(inner, false, &known, &*backend)?.map_err(Error::Invalid)?;
        let payload = checked.request.to_payload();
        let before = course.fire("before_network_setup", "setup-networks", &payload, None, self.cancel);
        let left = serde_json::from_slice(before.payload.bytes()).unwrap_or_else(|_| payload.clone());
        if let Some(error) = refused(&before) {
            course.fire("after_network_setup_fail", "setup-networks", &left, None, None);
            return Err(error);
        }
        let checked = if before.changed {
            let checked = match self.check(&left["request"], true, &known, &*backend) {
                Ok(Ok(checked)) => Ok(checked),
                Ok(Err(problems)) => Err(Error::Edited(problems)),
                Err(e) => Err(e),
            };
            match checked {
                Ok(checked) => checked,
                Err(error) => {
                    course.fire("after_network_setup_fail", "setup-networks", &left, None, None);
                    return Err(error);
                }
            }
        } else {
            checked
        };
        let effective = checked.request.to_payload();
        if checked.request.options.commit == Some(true) && !backend.outlives_boot() {
            course
                .watch
                .warning("commitOnSuccess: without nmstate the networks are there until the next boot only");
        }
        let rollback = known.undo(&checked.request).to_payload();
        if backend.stays_half_done() {
            let noted = record::Former::read(self.state_dir).and_then(|record| {
                let (before, document) = (checked.plan.everything_before(), effective.clone());
                Pending { before, record, document, rollback: rollback.clone() }.write(run_dir)
            });
            if let Err(error) = noted {
                course.fire("after_network_setup_fail", "setup-networks", &effective, None, None);
                return Err(error);
            }
        }
        course.watch.step("set up networks");
        let applied = self.apply(&checked, &mut *backend);
        course.watch.step_done();
        if let Err(failed) = applied {
            let error = course.roll_back(failed, &checked, &rollback, &mut *backend);
            // Else the next request tries again.
            if !matches!(error, Error::Stuck { .. }) {
                course.forget(run_dir);
            }
            course.fire("after_network_setup_fail", "setup-networks", &effective, None, None);
            return Err(error);
        }
        // The networks are there; that they cannot be recorded is told, and does not undo them.
        if let Err(e) = record::write(self.state_dir, &checked.plan.after, backend.outlives_boot()) {
            course.watch.warning(&format!("{e}: they cannot be removed by name later"));
        }
        // Last: without a record nobody could take apart what there is.
        course.forget(run_dir);
        course.fire("after_network_setup", "setup-networks", &effective, None, None);
        Ok(Done { document: effective, outlives_boot: backend.outlives_boot(), way: backend.name() })
    }

    fn backend(&self) -> Box<dyn Backend + '_> {
        let nmstate = match self.way {
            Way::Auto => in_path("nmstatectl") && Path::new("/run/NetworkManager").is_dir(),
            Way::Nmstate => true,
            Way::Ip => false,
        };
        if nmstate { Box::new(Nmstate) } else { Box::new(Iproute { cancel: self.cancel }) }
    }

    /// Reads, normalises and checks; the inner error is what is wrong with the request.
    fn check(
        &self,
        document: &Value,
        whole: bool,
        known: &Known,
        backend: &dyn Backend,
    ) -> Result<Result<Checked, Vec<String>>, Error> {
        let mut problems = Vec::new();
        let mut request = Request::read(document, whole, &mut problems);
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        known.complete(&mut request);
        problems.extend(backend.refuses(&request));
        let plan = plan(&request, known, &Ip, &mut problems).map_err(Error::Observe)?;
        if request.options.connectivity.is_some() {
            let mut networks = plan.after.networks.values();
            let coming = networks.any(|n| {
                n.default_route
                    && (gateways(n).next().is_some() || n.ipv4 == Ipv4::Dhcp || n.ipv6_autoconf || n.dhcpv6)
            });
            if !coming && Ip.default_routes().map_err(Error::Observe)?.is_empty() {
                problems.push(
                    "options: \"connectivityCheck\" asks the default gateway, and this host would have none: \
                     give a network with \"defaultRoute\", or leave it out"
                        .to_owned(),
                );
            }
        }
        Ok(if problems.is_empty() { Ok(Checked { request, plan }) } else { Err(problems) })
    }

    fn apply(&self, checked: &Checked, backend: &mut dyn Backend) -> Result<(), ApplyError> {
        backend.apply(&checked.plan, &checked.request)?;
        if let Some(within) = checked.request.options.connectivity {
            wait_for_gateways(within, self.cancel)?;
        }
        backend.commit()
    }
}

impl Course<'_, '_> {
    /// Fires a point. `failure` is what a failing hook does, where not what the point says.
    fn fire(
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

    /// The way back: a set-up of its own, with its points (C16). No hook can stop it, and it leads to what was
    /// there, whatever hooks make of its request.
    fn roll_back(
        &mut self,
        failed: ApplyError,
        checked: &Checked,
        payload: &Value,
        backend: &mut dyn Backend,
    ) -> Error {
        if !backend.needs_roll_back(&failed) {
            return Error::RolledBack(failed);
        }
        match self.go_back(payload, || backend.roll_back(&checked.plan)) {
            Ok(()) => Error::RolledBack(failed),
            Err(rollback) => Error::Stuck { failed: Box::new(failed), rollback: Box::new(rollback) },
        }
    }
}

impl Course<'_, '_> {
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

    /// Rolls back what was left half-done: the process was killed, or its own way back failed.
    fn recover(&mut self, run_dir: &Path) -> Result<(), Error> {
        let Some(pending) = Pending::read(run_dir)? else { return Ok(()) };
        self.watch.warning("an earlier request did not get to its end: it is rolled back first");
        let recovered = self.go_back(&pending.rollback, || restore(&pending.before));
        let recovered = recovered
            .map_err(|source| Error::Recover { path: Pending::path(run_dir), source })
            .and_then(|()| pending.record.put_back(self.setup.state_dir));
        self.fire("after_network_setup_fail", "setup-networks", &pending.document, None, None);
        recovered?;
        Pending::forget(run_dir)
    }

    /// What was being done is over; that this cannot be noted is told, because the next request would undo it.
    fn forget(&mut self, run_dir: &Path) {
        if let Err(e) = Pending::forget(run_dir) {
            self.watch.warning(&format!("{e}: remove it, or the next request undoes this one"));
        }
    }
}

fn refused(outcome: &Outcome) -> Option<Error> {
    match &outcome.trouble {
        Some(Trouble::Cancelled) => return Some(Error::Interrupted),
        Some(other) => return Some(Error::Trouble(other.line())),
        None => {}
    }
    (outcome.verdict == Verdict::Veto).then(|| Error::Veto(outcome.hook_error()))
}

fn in_path(program: &str) -> bool {
    // The search itself is left to whoever runs it; here only whether it would find something.
    let dirs = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];
    dirs.iter().any(|dir| Path::new(dir).join(program).is_file())
}

/// Held as long as a request is carried out; the kernel frees it when the process dies.
fn lock(run_dir: &Path) -> Result<File, Error> {
    let path: PathBuf = run_dir.join("networks.lock");
    let failed = |source| Error::File { doing: "lock", path: path.clone(), source };
    make_run_dir(run_dir).map_err(failed)?;
    // It stays: a file that is removed could be locked twice. Private: who may read a file may lock it.
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}
