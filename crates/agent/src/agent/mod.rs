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
//! Its life as a whole is here; `listening` hears libvirt, `looking` compares, `observing` fires.
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

mod listening;
mod looking;
mod observing;

use self::listening::Hearing;
use crate::driver::Driver;
use crate::error::Error;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use virt_hooks_contract::Report;
use virt_hooks_engine::{Host, Presence};

/// How long an operation waits for libvirt to come back.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits while VMs are looked at, of which there may be hundreds.
const FIRST_LOOK: Duration = Duration::from_secs(60);
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

#[cfg(test)]
mod tests;
