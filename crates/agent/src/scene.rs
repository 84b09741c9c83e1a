// SPDX-License-Identifier: Apache-2.0
//! What every operation on a VM has around it: its turn, its lock, its record, and libvirt's events.
//!
//! # Theory of operation
//!
//! * With an agent, after-points that the operation does not claim are fired by the agent.
//! * Without one the operation fires those too, at its end: of all that happened to the VM while it kept others out,
//!   libvirt's script included. What happens once it does not, while hooks after the operation run, is told to hooks
//!   by that script, as where there is no operation at all.

use crate::desk::{Attendance, Desk, Due, Observer as Observing, Turn, Waited};
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Found, Life, Phase, Step};
use crate::occasion::Occasion;
use crate::record::Notes;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use virt_hooks_contract::{Point, Report};
use virt_hooks_engine::{
    Hook, LockError, Machine, Observer, Outcome, Run, VmLock, Watch, hooks_lock, is_readable,
};
use virt_hooks_libvirt::{Domain, ErrorKind, State, XmlFlags};

/// A VM that nobody else works on.
pub(crate) struct Place<'d> {
    driver: &'d Driver,
    desk: Arc<Desk>,
    /// Without an agent: after-points that nobody claims.
    unclaimed: Option<Receiver<Due>>,
    // In the order they must go: who is next takes the lock at once.
    lock: Option<VmLock>,
    turn: Option<Turn>,
    /// Without an agent: held until the last hook ran, so that a hook's own operation on the VM does not take what this
    /// one is at for something that was left behind.
    _hooks: Option<VmLock>,
}

/// An operation on it.
pub(crate) struct Scene<'d> {
    place: Place<'d>,
    pub(crate) attendance: Attendance,
    notes: Notes,
    pub(crate) events: &'d Driver,
    /// Without an agent: what happened beside the operation, to be told at its end.
    beside: Vec<Due>,
}

impl Driver {
    /// Waits for the VM to be free, and keeps others out. Without an agent a VM that is not free is an error.
    pub(crate) fn place(
        &self,
        uuid: &str,
        name: &str,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Place<'_>, Error> {
        self.place_with(VmLock::take, (uuid, name), cancel, watch, reports)
    }

    /// As [`Driver::place`], for a change that neither begins nor ends the VM's life: what happens to it meanwhile is
    /// others' doing, and libvirt's script tells of it where there is no agent.
    pub(crate) fn place_beside(
        &self,
        uuid: &str,
        name: &str,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Place<'_>, Error> {
        self.place_with(VmLock::take_beside, (uuid, name), cancel, watch, reports)
    }

    fn place_with(
        &self,
        take: fn(&Path, &str, &str) -> Result<VmLock, LockError>,
        (uuid, name): (&str, &str),
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Place<'_>, Error> {
        let (desk, turn, unclaimed) = match &self.desks {
            Some(desks) => {
                let desk = desks.of(uuid);
                let turn = desk.operations.turn();
                wait_for_turn(&turn, name, cancel, watch)?;
                (desk, Some(turn), None)
            }
            None => {
                self.refuse_beside_an_agent()?;
                let (sender, unclaimed) = mpsc::channel();
                let keep: Observing = Box::new(move |_, due| drop(sender.send(due)));
                (Desk::new(uuid, Life::new(self.connection.uri()), Some(keep)), None, Some(unclaimed))
            }
        };
        let run_dir = &self.engine.settings().run_dir;
        let lock = take(run_dir, uuid, name)?;
        if turn.is_none() {
            // One that came since looks at the locks after it said so, and leaves to us what we had by then.
            self.refuse_beside_an_agent()?;
        }
        let mut hooks = None;
        if turn.is_none() {
            hooks = match VmLock::take(run_dir, &hooks_lock(uuid), name) {
                Ok(lock) => Some(lock),
                Err(LockError::Busy(_)) => None,
                Err(error) => return Err(error.into()),
            };
            // A command or an agent that was killed left work behind.
            if hooks.is_some()
                && let Some(record) = self.records.load_or_say(uuid, &mut |line| watch.warning(line))?
            {
                let assessed = self.assess(&record)?;
                // While libvirt did not answer, its hook script may have told of the end.
                if self.records.load(uuid)?.is_some() {
                    self.catch_up(&record, assessed, watch, reports)?;
                }
            }
            desk.reset(Life::resumed(self.connection.uri(), self.phase_in_libvirt(uuid)?));
        }
        Ok(Place { driver: self, desk, unclaimed, lock: Some(lock), turn, _hooks: hooks })
    }

    /// Where libvirt says a VM is.
    pub(crate) fn phase_in_libvirt(&self, uuid: &str) -> Result<Phase, Error> {
        match self.connection.lookup(uuid).and_then(|d| Ok((d.is_active()?, d.state()?))) {
            Ok((false, _)) => Ok(Phase::Down),
            Ok((true, info)) if stands_still(info.state) => Ok(Phase::Paused),
            Ok((true, _)) => Ok(Phase::Up),
            Err(e) if e.kind == ErrorKind::NoDomain => Ok(Phase::Down),
            Err(e) => Err(Error::Unreachable(e)),
        }
    }

    /// The VM as it runs; where libvirt does not answer just now, as it was known last.
    pub(crate) fn live_or(&self, domain: &Domain, known: &Machine) -> Machine {
        let live = domain.xml(XmlFlags::default()).ok();
        live.and_then(|xml| Machine::read(xml.as_bytes()).ok()).unwrap_or_else(|| known.clone())
    }
}

/// Whether a state is one in which processors stand still.
pub(crate) fn stands_still(state: State) -> bool {
    matches!(state, State::Paused | State::PmSuspended | State::Crashed)
}

/// Waits for a turn, and says so. Whoever gives up meanwhile is told that the VM is busy.
pub(crate) fn wait_for_turn(
    turn: &Turn,
    name: &str,
    cancel: Option<BorrowedFd<'_>>,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    if turn.is_up() {
        return Ok(());
    }
    watch.step(&format!("wait for another operation on VM {name}"));
    let begun = std::time::Instant::now();
    let done = loop {
        if turn.wait_a_moment() {
            break Ok(());
        }
        if cancel.is_some_and(is_readable) {
            break Err(Error::Busy(name.to_owned()));
        }
        watch.step_running(begun.elapsed());
    };
    watch.step_done();
    done
}

impl<'d> Place<'d> {
    /// Where the VM is.
    pub(crate) fn phase(&self) -> Phase {
        self.desk.phase()
    }

    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Begins an operation: from here on its hooks are on record, and libvirt's events about it are heard.
    pub(crate) fn begin(
        self,
        operation: &str,
        machine: &Machine,
        phase: Phase,
        claims: fn(&After) -> bool,
    ) -> Result<Scene<'d>, Error> {
        let driver = self.driver;
        // Before the record: a subscription that fails leaves nothing.
        let events = match driver.desks {
            Some(_) => None,
            None => Some(driver.connection.lifecycle_events().map_err(Error::Unreachable)?),
        };
        let vm = (machine.vm.id.as_str(), machine.name());
        let notes = driver.records.begin(vm, operation, phase, machine.xml())?;
        let attendance = Attendance::new(self.desk.clone(), events, claims);
        Ok(Scene { place: self, attendance, notes, events: driver, beside: Vec::new() })
    }
}

impl Scene<'_> {
    /// What is told of the operation, with the record kept beside.
    pub(crate) fn noting<'w>(&self, watch: &'w mut dyn Watch) -> Noting<'w> {
        Noting { watch, notes: self.notes.clone(), point: String::new(), device: None }
    }

    /// The VM's life goes on.
    pub(crate) fn step(&self, step: Step) {
        self.attendance.step(step);
    }

    /// The record says so too, and has the VM as it is now.
    pub(crate) fn note(&self, phase: Phase, machine: Option<&Machine>) {
        self.notes.phase(phase, machine.map(Machine::xml));
    }

    /// The operation happened. Its after-points remain; a hook of theirs may ask for the next operation on this
    /// VM, and wait for it.
    pub(crate) fn over(&mut self) {
        self.hear_out();
        self.place.lock = None;
        self.place.turn = None;
    }

    /// Without an agent: hears what happened to the VM up to now, its end in any case.
    fn hear_out(&mut self) {
        // Once only: after that it is libvirt's script that tells.
        if self.place.lock.is_none() || self.attendance.is_fed() {
            return;
        }
        let desk = self.attendance.desk.clone();
        let here = || desk.phase() != Phase::Down;
        while self.attendance.hear(Duration::ZERO) {}
        if here() && matches!(self.events.phase_in_libvirt(&desk.uuid), Ok(Phase::Down)) {
            let deadline = Instant::now() + self.events.event_wait;
            while here() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() || (!self.attendance.hear(left) && !self.events.connection.is_alive()) {
                    break;
                }
            }
            // That it is gone is sure; why was not told.
            if here() {
                desk.step(Step::Found(Found::Gone));
            }
        }
        self.collect();
    }

    /// What came once others were let in again is theirs: its turn ends here.
    fn collect(&mut self) {
        let came = self.place.unclaimed.iter().flat_map(Receiver::try_iter);
        if self.place.lock.is_some() {
            self.beside.extend(came);
        } else {
            came.for_each(drop);
        }
    }

    /// Fires what happened beside the operation, in turn. `until` is to be fired by the operation itself, after what
    /// came before it.
    fn fire_beside(&mut self, until: Option<&Due>, occasion: &mut Occasion<'_>, machine: &Machine) {
        self.collect();
        while until.is_none_or(|due| !due.is_up())
            && let Some(next) = self.beside.iter().position(Due::is_up)
        {
            let due = self.beside.remove(next);
            let reason = std::mem::replace(&mut occasion.reason, due.after.reason());
            // Of a VM that is gone the last that was known.
            let live = self.events.found(&self.attendance.desk.uuid).ok().and_then(|(_, live)| live);
            occasion.fire_after(due.after, live.as_ref().unwrap_or(machine), None);
            occasion.reason = reason;
        }
    }

    /// Waits until libvirt tells of what was done. `None`, and a warning, where it does not in time.
    pub(crate) fn wait(&self, occasion: &mut Occasion<'_>, what: &str, point: &str) -> Option<Due> {
        let limit = self.events.event_wait;
        match self.attendance.wait(limit, None, occasion.watch) {
            Waited::Due(due) => Some(due),
            Waited::Lost => {
                occasion.watch.warning(&format!(
                    "VM {}: the connection to libvirt was lost: {point} was not fired",
                    occasion.vm_name()
                ));
                None
            }
            Waited::TimedOut | Waited::Cancelled => {
                let later = if self.attendance.is_fed() {
                    "it will be once libvirt does"
                } else {
                    "it was not fired"
                };
                occasion.watch.warning(&format!(
                    "VM {}: libvirt did not tell within {limit:?} that it {what}, of which {point} is fired: {later}",
                    occasion.vm_name()
                ));
                None
            }
        }
    }

    /// Fires after-points that are due. Where the hooks of earlier ones still run, an agent fires them after
    /// those: one of those hooks may be who waits for this operation.
    pub(crate) fn fire(&mut self, due: Due, occasion: &mut Occasion<'_>, machine: &Machine) {
        self.fire_beside(Some(&due), occasion, machine);
        if due.is_up() || !self.attendance.is_fed() {
            due.wait();
            occasion.fire_after(due.after, machine, None);
        } else {
            self.attendance.desk.leave(due);
        }
    }

    /// The end, with all hooks run; `machine` is the VM as it was last.
    pub(crate) fn end(mut self, occasion: &mut Occasion<'_>, machine: &Machine) {
        self.hear_out();
        if !self.attendance.is_fed() {
            // What the operation claimed and did not wait for is told too.
            self.beside.extend(std::iter::from_fn(|| self.attendance.due()));
            occasion.cancel = None;
            occasion.launch_flags = None;
            self.fire_beside(None, occasion, machine);
        }
        let keep = self.attendance.is_fed() || self.notes.existed();
        self.notes.end(self.attendance.desk.phase(), keep);
    }

    /// The end of an operation of which nobody knows what came: its record stays, for who finds out.
    pub(crate) fn leave(self) {
        self.attendance.desk.unsettle();
    }
}

/// Tells on, and keeps the record.
pub(crate) struct Noting<'w> {
    watch: &'w mut dyn Watch,
    notes: Notes,
    point: String,
    device: Option<String>,
}

impl<'w> Noting<'w> {
    pub(crate) fn new(watch: &'w mut dyn Watch, notes: Notes) -> Self {
        Self { watch, notes, point: String::new(), device: None }
    }
}

impl Observer for Noting<'_> {
    fn every(&self) -> Option<Duration> {
        self.watch.every()
    }

    fn started(&mut self, hook: &Hook) {
        self.watch.started(hook);
    }

    fn running(&mut self, hook: &Hook, elapsed: Duration) {
        self.watch.running(hook, elapsed);
    }

    fn finished(&mut self, run: &Run) {
        let hook: &Path = &run.hook.path;
        self.notes.completed(&self.point, self.device.as_deref(), hook);
        self.watch.finished(run);
    }
}

impl Watch for Noting<'_> {
    fn event(&mut self, point: &Point, device: Option<&str>) {
        self.point = point.name.to_string();
        self.device = device.map(str::to_owned);
        self.watch.event(point, device);
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.watch.outcome(outcome);
    }

    fn step(&mut self, what: &str) {
        self.watch.step(what);
    }

    fn step_running(&mut self, elapsed: Duration) {
        self.watch.step_running(elapsed);
    }

    fn step_done(&mut self) {
        self.watch.step_done();
    }

    fn ready(&mut self) {
        self.watch.ready();
    }

    fn warning(&mut self, text: &str) {
        self.watch.warning(text);
    }
}
