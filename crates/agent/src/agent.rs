// SPDX-License-Identifier: Apache-2.0
//! The agent: a driver that is there all the time.
//!
//! # Theory of operation
//!
//! * One libvirt connection. A thread reads what libvirt tells and gives it to the VM's desk; it runs no hook
//!   and makes no call that waits for a VM. libvirt's own event thread only fills the channel.
//! * After-points that no operation claims are fired by a thread of their own, in turn with the others of that
//!   VM: VMs never wait for each other (C09).
//! * Operations run on their callers' threads, in the order they came for each VM, by the same functions of
//!   [`Driver`] that work without an agent.
//! * After a start of this process, and after each loss of the connection, every VM on record is compared with
//!   libvirt, and hooks are told what they missed.
//!
//! # Who tells of what others do
//!
//! Beside the agent libvirt's hook script sees VMs start and end, and a command may be at an operation of its own that
//! it began before the agent was there. Each event is told once:
//!
//! * The script leaves VMs to an agent that watches, which this one says after its first look, and takes back when it
//!   loses the connection or is to stop. Otherwise it tells itself, and leaves a note ([`Handover`](virt_hooks_engine::Handover)): a VM with such a
//!   note is taken over in silence, however it came to be known here; a record that the script removed has nothing
//!   left to be told.
//! * A VM without a record or a note that is there at the first look was there before the agent, and is taken over in
//!   silence. At a later look it was started while the connection was lost, and its start is told, as is that of a VM
//!   that the script left to an agent which was killed.
//! * A command refuses to work beside an agent, and asks again once it has the VM's lock; the agent says which libvirt
//!   it serves before it looks at the locks. So each operation either finds the agent, or is found by it; the VM is
//!   then only followed until the operation and its hooks are done, and looked at again.

use crate::desk::{Desk, Due};
use crate::desks::Desks;
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Life, Phase, Step};
use crate::occasion::Occasion;
use crate::record::{OBSERVE, Record};
use crate::scene::Noting;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};
use virt_hooks_contract::Report;
use virt_hooks_engine::{Host, Machine, Presence, Teller, Watch, taken_locks};
use virt_hooks_libvirt::{Connection, DeviceChange, Event, Lifecycle, StopReason, Subscription};

/// How long to wait before libvirt is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long an operation waits for libvirt to come back.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits while VMs are looked at, of which there may be hundreds.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// How many VMs a processor waits for at once; they wait for libvirt, most of the time.
const LOOKS: usize = 4;
/// How often, where libvirt tells nothing, VMs are looked at of which nobody knows where they are.
const SLICE: Duration = Duration::from_millis(200);
/// How often what was left behind is looked for.
const TIDY: Duration = Duration::from_secs(60);

/// What an agent has to say beside the answers to its operations.
pub trait Chronicler: Send + Sync {
    /// Events were fired that no operation asked for.
    fn fired(&self, reports: &[Report]);
    /// Something went wrong, or is worth a line in the log.
    fn say(&self, line: &str);
}

/// Looks after the VMs of one libvirt.
pub struct Agent {
    uri: Option<String>,
    state: Mutex<State>,
    changed: Condvar,
    chronicler: Box<dyn Chronicler>,
    /// Until [`Agent::leave`].
    presence: Mutex<Option<Presence>>,
}

struct State {
    /// Until libvirt was reached for the first time.
    host: Option<Host>,
    driver: Option<Arc<Driver>>,
    /// Whether the connection of `driver` is worth a try.
    connected: bool,
    /// A connection is being made, and VMs are being looked at.
    looking: bool,
    /// Every VM was looked at once.
    looked: bool,
    /// Nothing new is taken.
    stopping: bool,
    /// Nobody needs events any more.
    over: bool,
    /// The thread that hears libvirt's events is there.
    hearing: bool,
    /// Threads that fire after-points.
    busy: usize,
}

impl Agent {
    /// Begins. libvirt need not be there yet: it is tried until it is.
    ///
    /// # Errors
    /// Another agent has this run directory, or the system gives no thread.
    pub fn start(uri: Option<&str>, host: Host, chronicler: Box<dyn Chronicler>) -> Result<Arc<Self>, Error> {
        let run_dir = host.settings.run_dir.clone();
        let presence = Presence::take(&run_dir)?;
        virt_hooks_engine::sweep_locks(&run_dir);
        let agent = Arc::new(Self {
            uri: uri.map(str::to_owned),
            state: Mutex::new(State {
                host: Some(host),
                driver: None,
                connected: false,
                looking: true,
                looked: false,
                stopping: false,
                over: false,
                hearing: true,
                busy: 0,
            }),
            changed: Condvar::new(),
            chronicler,
            presence: Mutex::new(Some(presence)),
        });
        let thread = |source| Error::File { doing: "start a thread for", path: run_dir.clone(), source };
        let (events, tidy) = (agent.clone(), agent.clone());
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(thread)
        };
        spawn(
            "events",
            Box::new(move || {
                let _hearing = Hearing(events.clone());
                events.run();
            }),
        )?;
        spawn("tidy", Box::new(move || tidy.tidy()))?;
        Ok(agent)
    }

    /// The driver, over the connection there is now.
    ///
    /// # Errors
    /// libvirt is not there, or the agent is about to end.
    pub fn driver(&self) -> Result<Arc<Driver>, Error> {
        let begun = Instant::now();
        let mut state = self.state();
        loop {
            if state.stopping {
                return Err(Error::Stopping);
            }
            if let Some(driver) = state.driver.as_ref().filter(|_| state.connected) {
                return Ok(driver.clone());
            }
            // One that was just restarted is there again in a moment, and so are we.
            let limit = if state.looking { FIRST_LOOK } else { PATIENCE };
            let Some(left) = limit.checked_sub(begun.elapsed()) else { return Err(Error::Away) };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until libvirt was reached and every VM was looked at, or until `limit`; says which.
    pub fn wait_until_ready(&self, limit: Duration) -> bool {
        let state = self.state();
        let waiting = |state: &mut State| !state.connected && !state.stopping;
        let (state, _) =
            self.changed.wait_timeout_while(state, limit, waiting).unwrap_or_else(PoisonError::into_inner);
        state.connected
    }

    /// Makes room for another agent. For the very end: threads of this one may still run.
    pub fn leave(&self) {
        let mut state = self.state();
        (state.stopping, state.over) = (true, true);
        self.changed.notify_all();
        // A thread within libvirt while this process ends would crash it; one that libvirt holds up is left.
        let hears = |state: &mut State| state.hearing;
        drop(self.changed.wait_timeout_while(state, PATIENCE, hears).unwrap_or_else(PoisonError::into_inner));
        drop(self.presence.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Takes no more: what others start and end from now on is libvirt's hook script's to tell. Operations under way
    /// go on, and hear of libvirt's events until [`Agent::leave`].
    pub fn close(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
        let uri = self.state().driver.as_ref().map(|driver| driver.connection.uri().to_owned());
        if let Some(uri) = uri
            && let Err(error) = self.present(&uri, false)
        {
            self.chronicler.say(&error.to_string());
        }
    }

    /// Takes no more, and waits until the after-points under way are done, for at most `limit`. Says whether
    /// they are.
    pub fn stop(&self, limit: Duration) -> bool {
        self.close();
        let busy = |state: &mut State| state.busy > 0;
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), limit, busy)
            .unwrap_or_else(PoisonError::into_inner);
        state.busy == 0
    }

    /// Says which libvirt is served, and whether what happens there is heard.
    fn present(&self, uri: &str, watching: bool) -> Result<(), Error> {
        let presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(presence) = &*presence else { return Ok(()) };
        // Asked under the lock: who stops says so after it set this.
        match watching && !self.stopping() {
            true => presence.watches(uri)?,
            false => presence.serves(uri)?,
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.state().stopping
    }

    /// Waits, unless the agent is to end; says whether it is.
    fn rest(&self, time: Duration) -> bool {
        let running = |state: &mut State| !state.stopping;
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), time, running)
            .unwrap_or_else(PoisonError::into_inner);
        state.stopping
    }

    /// Connects, looks at what was missed, passes on what is told, and begins again once the connection is lost.
    fn run(self: Arc<Self>) {
        let mut said = String::new();
        while !self.stopping() {
            let connected = self.connect();
            self.state().looking = false;
            self.changed.notify_all();
            match connected {
                Ok((driver, events)) => {
                    said.clear();
                    self.chronicler.say(&format!("connected to {}", driver.connection.uri()));
                    self.listen(&driver, &events);
                    if !self.stopping() {
                        self.chronicler.say("the connection to libvirt is lost");
                    }
                    self.state().connected = false;
                    if let Err(error) = self.present(driver.connection.uri(), false) {
                        self.chronicler.say(&error.to_string());
                    }
                }
                Err(error) => {
                    let line = error.to_string();
                    // Once, not every second.
                    if line != said {
                        self.chronicler.say(&format!("{line}; trying again until it works"));
                        said = line;
                    }
                    if self.rest(RETRY) {
                        return;
                    }
                }
            }
        }
    }

    fn listen(self: &Arc<Self>, driver: &Arc<Driver>, events: &Subscription) {
        let Some(desks) = &driver.desks else { return };
        let mut unread = HashSet::new();
        // Operations that are under way wait for events.
        while !self.state().over {
            self.look_again(driver, &mut unread);
            match events.recv_timeout(SLICE) {
                Ok(Event::Lifecycle(event)) => {
                    if let Lifecycle::Stopped(reason) = event.lifecycle {
                        driver.removals.forget(&event.uuid);
                        note_end(desks, &event.uuid, reason);
                    }
                    desks.of(&event.uuid).event(event.lifecycle);
                }
                Ok(Event::Device(event)) if event.change == DeviceChange::Removed => {
                    self.removed(driver, &event.uuid, &event.alias);
                }
                Ok(Event::Closed(_)) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
                Ok(_) | Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// A device is gone: where its unplug is over already, the point after it is fired by a thread of its own, in
    /// turn with the VM's operations (C32).
    fn removed(self: &Arc<Self>, driver: &Arc<Driver>, uuid: &str, alias: &str) {
        if !driver.awaits_removal(uuid, alias) {
            return;
        }
        let (agent, driver) = (self.clone(), driver.clone());
        let (uuid, alias) = (uuid.to_owned(), alias.to_owned());
        self.in_background(move || {
            let mut reports = Vec::new();
            let mut watch = Complaining { agent: &agent };
            match driver.late_removal(&uuid, &alias, &mut watch, &mut reports) {
                Ok(Some(done)) => {
                    agent.chronicler.say(&format!("VM {}: {} is gone after all", done.name, done.what));
                    done.warnings.iter().for_each(|warning| agent.chronicler.say(warning));
                }
                // Who unplugs took it.
                Ok(None) => {}
                Err(error) => agent.chronicler.say(&format!("VM {uuid}: {alias} is gone: {error}")),
            }
            agent.chronicler.fired(&reports);
        });
    }

    /// A driver over a new connection, with every VM looked at.
    fn connect(self: &Arc<Self>) -> Result<(Arc<Driver>, Subscription), Error> {
        let connection = Connection::open(self.uri.as_deref()).map_err(Error::Unreachable)?;
        self.state().looking = true;
        let driver = Arc::new(self.driver_over(connection)?);
        // What the look finds is fired over this connection.
        self.state().driver = Some(driver.clone());
        self.present(driver.connection.uri(), false)?;
        // What runs before we listen was there; what comes after was begun while we began.
        let there: HashSet<String> = driver.running()?.into_iter().collect();
        let events = driver.connection.lifecycle_events().map_err(Error::Unreachable)?;
        self.look(&driver, &there)?;
        for (uuid, alias) in driver.removed_unheard() {
            self.removed(&driver, &uuid, &alias);
        }
        {
            let mut state = self.state();
            state.connected = true;
            state.looked = true;
        }
        self.present(driver.connection.uri(), true)?;
        Ok((driver, events))
    }

    fn driver_over(self: &Arc<Self>, connection: Connection) -> Result<Driver, Error> {
        let mut state = self.state();
        if let Some(driver) = &state.driver {
            return Ok(driver.over(connection));
        }
        let host = state.host.take().ok_or(Error::Stopping)?;
        let weak = Arc::downgrade(self);
        let desks =
            Desks::new(connection.uri(), Arc::new(move |desk: &Arc<Desk>, due| observe(&weak, desk, due)));
        let driver = Driver::of_agent(connection, host, desks);
        state.driver = Some(Arc::new(driver.over(driver.connection.clone())));
        Ok(driver)
    }

    /// Compares all VMs with their records, before the first event is passed on: what events tell of that time
    /// again changes nothing.
    fn look(self: &Arc<Self>, driver: &Arc<Driver>, there: &HashSet<String>) -> Result<(), Error> {
        let Some(desks) = &driver.desks else { return Ok(()) };
        desks.reconnected();
        // A daemon that was just started takes up running VMs in the background.
        let there: Vec<&String> = there.iter().collect();
        let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for_each(&there, cpus.saturating_mul(LOOKS), |uuid| {
            drop(driver.connection.lookup(uuid).map(|domain| domain.settle()));
        });
        let first = !self.state().looked;
        // After that others are kept out.
        let mut known: HashSet<String> = HashSet::new();
        if first {
            known.extend(taken_locks(&driver.engine.settings().run_dir));
        }
        for uuid in &known {
            let desk = desks.of(uuid);
            desk.set_elsewhere(true);
            let phase = driver
                .phase_in_libvirt(uuid)
                .or_else(|error| self.pass_over(driver, uuid, error).map(|()| Phase::Down))?;
            desk.reset(Life::resumed(driver.connection.uri(), phase));
        }
        for uuid in driver.records.uuids()? {
            if known.contains(&uuid) {
                continue;
            }
            let desk = desks.of(&uuid);
            let record = match self.record(driver, &uuid) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) => {
                    // Not to be taken for a VM without one; it is looked at again until it can be read.
                    if !desk.attended() {
                        desk.reset(Life::resumed(driver.connection.uri(), driver.phase_in_libvirt(&uuid)?));
                    }
                    desk.unsettle();
                    self.pass_over(driver, &uuid, error)?;
                    known.insert(uuid);
                    continue;
                }
            };
            known.insert(uuid);
            // What an operation is at is its own to end.
            if desk.attended() {
                // But what was told of the VM meanwhile is lost.
                desk.unsettle();
            } else {
                // Until it is known better.
                desk.reset(Life::resumed(driver.connection.uri(), record.phase));
                let name = record.name.clone();
                self.look_at(driver, &desk, record).or_else(|error| self.pass_over(driver, &name, error))?;
            }
        }
        for uuid in driver.running()?.into_iter().filter(|uuid| !known.contains(uuid)) {
            let (found, machine) = match driver.found(&uuid) {
                Ok((found, Some(machine))) => (found, machine),
                Ok((_, None)) => continue,
                Err(error) => {
                    self.pass_over(driver, &uuid, error)?;
                    continue;
                }
            };
            let desk = desks.of(&uuid);
            let was_there = there.contains(&&uuid) && (first || desk.phase() != Phase::Down);
            let before = match driver.handover(&uuid).teller(&machine.life()) {
                Some(Teller::Script) => Phase::Down,
                // Somebody's VM: from now on it is ours to look after.
                None if was_there => Phase::Down,
                // It was left to an agent, or started while nobody listened.
                Some(Teller::Agent) | None => Phase::Starting,
            };
            let mut life = Life::resumed(driver.connection.uri(), before);
            let afters = life.step(Step::Found(found));
            if afters.is_empty() {
                driver.adopt(&machine, life.phase())?;
            }
            desk.reset(life);
            afters.into_iter().for_each(|after| desk.leave(desk.due(after)));
        }
        Ok(())
    }

    /// What is on record of a VM. A damaged record is told of, and is none.
    fn record(&self, driver: &Driver, uuid: &str) -> Result<Option<Record>, Error> {
        driver.records.load_or_say(uuid, &mut |line| self.chronicler.say(line))
    }

    /// One VM that cannot be looked at keeps nobody from the others; a connection that is lost does.
    fn pass_over(&self, driver: &Driver, vm: &str, error: Error) -> Result<(), Error> {
        if !driver.connection.is_alive() {
            return Err(error);
        }
        self.chronicler.say(&format!("VM {vm}: {error}: what happened to it before is not known"));
        Ok(())
    }

    /// Compares one VM with its record; what follows is fired by a thread of its own.
    fn look_at(
        self: &Arc<Self>,
        driver: &Arc<Driver>,
        desk: &Arc<Desk>,
        record: Record,
    ) -> Result<(), Error> {
        let assessed = driver.assess(&record)?;
        desk.reset(assessed.life.clone());
        let turns: Vec<Due> = assessed.afters.iter().map(|after| desk.due(*after)).collect();
        let operation = desk.operations.turn();
        // Most VMs have nothing to tell: hundreds of them need no threads.
        if turns.is_empty() && operation.is_up() {
            return driver.catch_up(&record, assessed, &mut Complaining { agent: self }, &mut Vec::new());
        }
        let (agent, driver, desk) = (self.clone(), driver.clone(), desk.clone());
        self.in_background(move || {
            operation.wait();
            // One after the other they would wait for each other: the first one's turn ends with the last one's.
            turns.iter().take(1).for_each(Due::wait);
            // Hooks may know by now: from a look before this one, over a connection that did not last, or from what
            // was told of the VM since.
            let record = match agent.record(&driver, &record.uuid) {
                Ok(Some(now)) if now.phase == record.phase => now,
                Ok(_) => return,
                Err(error) => {
                    agent.chronicler.say(&format!("VM {}: {error}", record.name));
                    desk.unsettle();
                    return;
                }
            };
            let mut reports = Vec::new();
            let mut watch = Complaining { agent: &agent };
            if let Err(error) = driver.catch_up(&record, assessed, &mut watch, &mut reports) {
                agent.chronicler.say(&format!("VM {}: {error}", record.name));
            }
            agent.chronicler.fired(&reports);
            drop((turns, operation, desk));
        });
        Ok(())
    }

    /// Looks at VMs whose operation ended without knowing how.
    /// `unread` has those whose record could not be read, which was said once.
    fn look_again(self: &Arc<Self>, driver: &Arc<Driver>, unread: &mut HashSet<String>) {
        let Some(desks) = &driver.desks else { return };
        self.look_where_others_were(driver, desks);
        for desk in desks.unsettled() {
            if desk.attended() {
                continue;
            }
            let record = match self.record(driver, &desk.uuid) {
                Ok(record) => record,
                Err(error) => {
                    if unread.insert(desk.uuid.clone()) {
                        self.chronicler
                            .say(&format!("VM {}: {error}; trying again until it works", desk.uuid));
                    }
                    continue;
                }
            };
            unread.remove(&desk.uuid);
            let Some(record) = record else {
                desk.settled();
                continue;
            };
            match self.look_at(driver, &desk, record) {
                Ok(()) => desk.settled(),
                // Where the connection is lost, after the next one.
                Err(error) => {
                    if self.pass_over(driver, &desk.uuid, error).is_ok() {
                        desk.settled();
                    }
                }
            }
        }
    }

    /// Looks at VMs that another process was at an operation on, once it is done.
    fn look_where_others_were(self: &Arc<Self>, driver: &Arc<Driver>, desks: &Desks) {
        let desks = desks.elsewhere();
        if desks.is_empty() {
            return;
        }
        let taken = taken_locks(&driver.engine.settings().run_dir);
        for desk in desks.into_iter().filter(|desk| !desk.attended() && !taken.contains(&desk.uuid)) {
            desk.set_elsewhere(false);
            let look = || match self.record(driver, &desk.uuid) {
                // It was killed, or an agent had the VM on record before.
                Ok(Some(record)) => self.look_at(driver, &desk, record),
                Err(error) => {
                    desk.unsettle();
                    Err(error)
                }
                // Its hooks know where the VM is.
                Ok(None) => {
                    let (found, machine) = driver.found(&desk.uuid)?;
                    let mut life = Life::resumed(driver.connection.uri(), Phase::Down);
                    life.step(Step::Found(found));
                    if let Some(machine) = machine {
                        driver.adopt(&machine, life.phase())?;
                    }
                    desk.reset(life);
                    Ok(())
                }
            };
            // Where the connection is lost, after the next one.
            if let Err(error) = look()
                && self.pass_over(driver, &desk.uuid, error).is_err()
            {
                desk.set_elsewhere(true);
            }
        }
    }

    fn in_background(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) {
        let busy = Busy::new(self);
        let done = move || {
            work();
            drop(busy);
        };
        if let Err(error) = thread::Builder::new().name("after-points".to_owned()).spawn(done) {
            self.chronicler.say(&format!("start a thread for after-points: {error}: they are not fired"));
        }
    }

    /// Removes what killed processes left, and forgets VMs that are gone.
    fn tidy(self: Arc<Self>) {
        while !self.rest(TIDY) {
            let driver = self.state().driver.clone();
            if let Some(driver) = driver {
                driver.engine.remove_stale();
                if let Some(desks) = &driver.desks {
                    desks.tidy();
                }
            }
        }
    }

    /// Fires after-points that no operation claimed.
    fn observed(&self, driver: &Driver, desk: &Arc<Desk>, due: &Due) -> Result<(), Error> {
        due.wait();
        // Where it cannot be read, what is due is found out once it can.
        let record = self.record(driver, &desk.uuid).inspect_err(|_| desk.unsettle())?;
        let live = driver.found(&desk.uuid).ok().and_then(|(_, machine)| machine);
        let known = || record.as_ref().and_then(|r| Machine::read(r.xml.as_bytes()).ok());
        let handover = driver.handover(&desk.uuid);
        let gone = matches!(due.after, After::Destroy { .. } | After::Hibernate | After::MigrateSource);
        // Of a VM that is gone the last that was known; a life after it is another's.
        let machine = if gone { known() } else { live.or_else(known) };
        let Some(machine) = machine else {
            // It came and went faster than anybody could look; or it began or went while we did not watch.
            self.chronicler.say(&format!(
                "VM {}: gone before its XML was read, or libvirt's hook script told of its end: {:?} was not fired",
                desk.uuid, due.after
            ));
            driver.records.remove(&desk.uuid);
            return Ok(());
        };
        let starts = matches!(due.after, After::Start | After::Dehibernate { .. });
        if starts && handover.teller(&machine.life()) == Some(Teller::Script) {
            let phase = match desk.phase() {
                Phase::Down | Phase::GoingDown | Phase::Starting => Phase::Up,
                phase => phase,
            };
            return driver.adopt(&machine, phase);
        }
        let before = record.map_or(Phase::Starting, |record| record.phase);
        let before = match due.after {
            After::Hibernate => Phase::Saving,
            After::MigrateSource => Phase::MigratingOut,
            _ => before,
        };
        let notes = driver.records.begin((&machine.vm.id, machine.name()), OBSERVE, before, machine.xml())?;
        if starts {
            // The record says from here on what is to tell.
            handover.clear();
        }
        let mut reports = Vec::new();
        let mut watch = Complaining { agent: self };
        let mut noting = Noting::new(&mut watch, notes.clone());
        let mut occasion = Occasion::afterwards(
            driver,
            ("look after VM", due.after.reason()),
            machine.vm.clone(),
            &mut reports,
            &mut noting,
        );
        occasion.fire_after(due.after, &machine, None);
        let after = match (due.after, desk.phase()) {
            // Part of what an operation is at, which has noted how far it is.
            (After::Pause(_) | After::Cont, phase @ (Phase::Saving | Phase::MigratingOut)) => phase,
            (After::Pause(_), _) => Phase::Paused,
            // The destroy points follow.
            (After::Hibernate, _) => Phase::Saving,
            (After::MigrateSource, _) => Phase::MigratingOut,
            (After::Destroy { .. }, _) => Phase::Down,
            (After::Cont, _) | (_, Phase::Down | Phase::GoingDown | Phase::Starting) => Phase::Up,
            (_, phase) => phase,
        };
        match after {
            // Until those have run: who comes after a crash must not repeat what ran.
            Phase::Saving | Phase::MigratingOut if gone => notes.phase(after, None),
            _ => notes.end(after, true),
        }
        self.chronicler.fired(&reports);
        Ok(())
    }
}

/// Counts a thread that fires after-points, as long as it lives and however it ends.
struct Busy(Arc<Agent>);

impl Busy {
    fn new(agent: &Arc<Agent>) -> Self {
        agent.state().busy += 1;
        Self(agent.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
        self.0.changed.notify_all();
    }
}

/// The thread that hears libvirt's events, however it ends.
struct Hearing(Arc<Agent>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.state().hearing = false;
        self.0.changed.notify_all();
    }
}

/// Does something with each item, with so many at once.
fn for_each<T: Sync>(items: &[T], at_once: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let take_turns = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..at_once.min(items.len()) {
            // Without a thread to spare the others do more.
            if thread::Builder::new().name("look".to_owned()).spawn_scoped(scope, take_turns).is_err() {
                break;
            }
        }
        take_turns();
    });
}

fn note_end(desks: &Desks, uuid: &str, reason: StopReason) {
    let went = desks.of(uuid).phase();
    if went != Phase::Down && !desks.of(uuid).attended() {
        desks.note_end(uuid, reason.name());
    }
}

fn observe(agent: &Weak<Agent>, desk: &Arc<Desk>, due: Due) {
    let Some(agent) = agent.upgrade() else { return };
    let Some(driver) = agent.state().driver.clone() else { return };
    let (this, desk) = (agent.clone(), desk.clone());
    agent.in_background(move || {
        if let Err(error) = this.observed(&driver, &desk, &due) {
            this.chronicler.say(&format!("VM {}: {error}", desk.uuid));
        }
    });
}

/// Wants to know what is worth a line in the log.
struct Complaining<'a> {
    agent: &'a Agent,
}

impl virt_hooks_engine::Observer for Complaining<'_> {}

impl Watch for Complaining<'_> {
    fn warning(&mut self, text: &str) {
        self.agent.chronicler.say(text);
    }

    fn outcome(&mut self, outcome: &virt_hooks_engine::Outcome) {
        let error = outcome.error_text();
        if !error.is_empty() {
            self.agent.chronicler.say(&format!("{}: {error}", outcome.point));
        }
    }
}

impl Driver {
    /// The UUIDs of the VMs that run.
    fn running(&self) -> Result<Vec<String>, Error> {
        let all = self.connection.list().map_err(Error::Unreachable)?;
        Ok(all.into_iter().filter(|vm| vm.id.is_some()).map(|vm| vm.uuid).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;
    use std::sync::mpsc;
    use virt_hooks_engine::Overrides;

    /// The points that were fired, and what was said.
    struct Points(mpsc::Sender<String>, mpsc::Sender<String>);

    impl Chronicler for Points {
        fn fired(&self, reports: &[Report]) {
            reports.iter().for_each(|report| drop(self.0.send(report.point.clone())));
        }

        fn say(&self, line: &str) {
            let _ = self.1.send(line.to_owned());
        }
    }

    fn agent() -> Option<(tempfile::TempDir, Arc<Agent>, mpsc::Receiver<String>)> {
        agent_that_says().map(|(dir, agent, points, _)| (dir, agent, points))
    }

    type Said = mpsc::Receiver<String>;

    #[allow(clippy::print_stderr, reason = "says what was not tested")]
    fn agent_that_says() -> Option<(tempfile::TempDir, Arc<Agent>, Said, Said)> {
        if let Err(missing) = virt_hooks_libvirt::Libvirt::load() {
            eprintln!("not tested: {missing}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let hooks_dirs = vec![dir.path().to_owned()];
        let [run_dir, state_dir] = ["run", "state"].map(|name| Some(dir.path().join(name)));
        let overrides = Overrides { hooks_dirs, run_dir, state_dir, ..Overrides::default() };
        let host = Host::load(overrides, &|_| None).unwrap();
        let ((fired, points), (says, said)) = (mpsc::channel(), mpsc::channel());
        let agent = Agent::start(Some("test:///default"), host, Box::new(Points(fired, says))).unwrap();
        assert!(agent.wait_until_ready(LONG));
        Some((dir, agent, points, said))
    }

    const LONG: Duration = Duration::from_secs(600);

    fn domain(name: &str, uuid: &str) -> String {
        format!(
            "<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>1024</memory>\
             <os><type>hvm</type></os></domain>"
        )
    }

    #[test]
    fn events_go_on_until_the_very_end() {
        let Some((_dir, agent, points)) = agent() else { return };
        let driver = agent.driver().unwrap();
        agent.close();
        assert!(matches!(agent.driver(), Err(Error::Stopping)));
        let xml = domain("late", "00000000-0000-0000-0000-00000000000b");
        let vm = driver.connection.create_xml(&xml, virt_hooks_libvirt::CreateFlags::NONE).unwrap();
        assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_start");
        vm.destroy().unwrap();
        assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_destroy");
        assert!(agent.stop(LONG));
        agent.leave();
    }

    #[test]
    fn an_agent_watches_from_its_first_look_until_it_is_to_stop() {
        let Some((dir, agent, _points)) = agent() else { return };
        let run = dir.path().join("run");
        let watching = || virt_hooks_engine::agent_watching(&run);
        let begun = Instant::now();
        while watching().is_none() && begun.elapsed() < LONG {
            thread::yield_now();
        }
        assert_eq!(watching().as_deref(), Some("test:///default"));
        agent.close();
        assert_eq!(watching(), None);
        assert_eq!(virt_hooks_engine::agent_of(&run).as_deref(), Some("test:///default"));
        agent.leave();
        assert_eq!(virt_hooks_engine::agent_of(&run), None);
    }

    #[test]
    fn what_the_script_told_is_not_told_again_and_what_it_left_is() {
        let Some((_dir, agent, points)) = agent() else { return };
        let driver = agent.driver().unwrap();
        let uuid = "00000000-0000-0000-0000-00000000000c";
        let vm = driver
            .connection
            .create_xml(&domain("told", uuid), virt_hooks_libvirt::CreateFlags::NONE)
            .unwrap();
        assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_start");
        let (_, machine) = driver.found(uuid).unwrap();
        let life = machine.unwrap().life();
        let handover = driver.handover(uuid);
        let desk = driver.desks.as_ref().unwrap().of(uuid);
        for (teller, expected) in [(Teller::Script, 0), (Teller::Agent, 1), (Teller::Script, 0)] {
            handover.note(teller, &life).unwrap();
            agent.observed(&driver, &desk, &desk.due(After::Start)).unwrap();
            assert_eq!(points.try_iter().count(), expected, "{teller:?}");
            assert!(virt_hooks_engine::record_path(&driver.state_dir, uuid).exists());
        }
        // And the end.
        handover.ended();
        let end = After::Destroy { reason: "destroyed-by-others", with_before: false };
        agent.observed(&driver, &desk, &desk.due(end)).unwrap();
        assert_eq!(points.try_iter().count(), 0);
        vm.destroy().unwrap();
        assert!(agent.stop(LONG));
        agent.leave();
    }

    #[test]
    fn what_cannot_be_read_now_is_told_once_it_can() {
        let Some((_dir, agent, points, said)) = agent_that_says() else { return };
        let driver = agent.driver().unwrap();
        let uuid = "00000000-0000-0000-0000-00000000000d";
        let xml = domain("unread", uuid);
        let vm = driver.connection.create_xml(&xml, virt_hooks_libvirt::CreateFlags::NONE).unwrap();
        assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_start");
        // The record is there once its hooks ran, and then not written again.
        let record = virt_hooks_engine::record_path(&driver.state_dir, uuid);
        let away = record.with_extension("away");
        let begun = Instant::now();
        while !driver.records.load(uuid).unwrap().is_some_and(|r| r.underway.is_empty())
            && begun.elapsed() < LONG
        {
            thread::yield_now();
        }
        // Root reads everything that is a file; nobody may see a moment without one.
        std::fs::create_dir(&away).unwrap();
        let exchange = || {
            rustix::fs::renameat_with(CWD, &record, CWD, &away, rustix::fs::RenameFlags::EXCHANGE).unwrap();
        };
        exchange();
        vm.destroy().unwrap();
        let tries = |line: &String| line.contains("trying again until it works");
        while !tries(&said.recv_timeout(LONG).unwrap()) {}
        assert_eq!(points.try_iter().count(), 0);
        exchange();
        assert_eq!(points.recv_timeout(LONG).unwrap(), "after_vm_destroy");
        assert!(agent.stop(LONG));
        assert_eq!(driver.records.load(uuid).unwrap(), None);
        agent.leave();
    }

    #[test]
    fn a_panic_keeps_no_stop_waiting() {
        let Some((_dir, agent, _points)) = agent() else { return };
        agent.in_background(|| std::panic::resume_unwind(Box::new("on purpose")));
        assert!(agent.stop(LONG));
        agent.leave();
    }

    #[test]
    fn a_few_at_once_and_a_slow_one_keeps_only_its_own_place() {
        let items: Vec<usize> = (0..500).collect();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (done, all) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        thread::scope(|scope| {
            scope.spawn(|| {
                for_each(&items, 4, |item| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if *item == 0 {
                        let _ = held.lock().unwrap().recv();
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.send(*item).unwrap();
                });
            });
            // All others, before the slow one.
            for _ in 1..500 {
                assert_ne!(all.recv_timeout(LONG).unwrap(), 0);
            }
            release.send(()).unwrap();
            assert_eq!(all.recv_timeout(LONG).unwrap(), 0);
        });
        assert!(most.into_inner() <= 4);
    }

    #[test]
    fn hooks_are_told_once_however_often_one_looks() {
        let Some((_dir, agent, points)) = agent() else { return };
        let driver = agent.driver().unwrap();
        let uuid = "00000000-0000-0000-0000-00000000000a";
        let xml = format!("<domain><name>gone</name><uuid>{uuid}</uuid></domain>");
        driver.adopt(&Machine::read(xml.as_bytes()).unwrap(), Phase::Up).unwrap();
        let desk = driver.desks.as_ref().unwrap().of(uuid);
        let busy = desk.operations.turn();
        for _ in 0..2 {
            agent.look_at(&driver, &desk, driver.records.load(uuid).unwrap().unwrap()).unwrap();
        }
        drop(busy);
        assert!(agent.stop(Duration::from_secs(600)));
        assert_eq!(points.try_iter().filter(|point| point == "after_vm_destroy").count(), 1);
        assert_eq!(driver.records.load(uuid).unwrap(), None);
        agent.leave();
    }
}
