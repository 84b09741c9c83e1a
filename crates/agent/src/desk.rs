// SPDX-License-Identifier: Apache-2.0
//! Where what happens to one VM comes together: what libvirt tells, and what operations do.
//!
//! Each [`Due`] has its turn: the after-points of one VM are fired one after the other, in the order their
//! reasons came, whoever fires them. VMs have nothing in common and never wait for each other (C09).

use crate::life::{After, Life, Phase, Step};
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use virt_hooks_engine::Watch;
use virt_hooks_engine::is_readable;
use virt_hooks_libvirt::{Event, Lifecycle, Subscription};

/// How often who waits is told, and asked whether to go on.
const SLICE: Duration = Duration::from_millis(200);

/// After-points to fire, when their turn comes.
pub(crate) struct Due {
    pub(crate) after: After,
    turn: Turn,
}

impl Due {
    /// Waits for the turn. It ends with the value.
    pub(crate) fn wait(&self) {
        self.turn.wait();
    }

    /// Whether nobody is before it.
    pub(crate) fn is_up(&self) -> bool {
        self.turn.is_up()
    }
}

/// What takes care of after-points that no operation claims.
pub(crate) type Observer = Box<dyn Fn(&Arc<Desk>, Due) + Send + Sync>;

/// The desk of one VM.
pub(crate) struct Desk {
    pub(crate) uuid: String,
    state: Mutex<State>,
    afters: Arc<Lane>,
    /// Operations, in the order they were asked for.
    pub(crate) operations: Arc<Lane>,
    observer: Option<Observer>,
}

/// Which after-points an operation wants, and where they go.
struct Claim {
    number: u64,
    wants: fn(&After) -> bool,
    to: Sender<Due>,
}

struct State {
    life: Life,
    /// Those of operations at the desk: one whose after-points still run may be there beside the next one.
    claims: Vec<Claim>,
    last_claim: u64,
    /// An operation ended without knowing how.
    unsettled: bool,
    /// Another process is at an operation on the VM, and fires the points of that.
    elsewhere: bool,
}

impl Desk {
    pub(crate) fn new(uuid: &str, life: Life, observer: Option<Observer>) -> Arc<Self> {
        Arc::new(Self {
            uuid: uuid.to_owned(),
            state: Mutex::new(State {
                life,
                claims: Vec::new(),
                last_claim: 0,
                unsettled: false,
                elsewhere: false,
            }),
            afters: Arc::default(),
            operations: Arc::default(),
            observer,
        })
    }

    /// Where the VM is.
    pub(crate) fn phase(&self) -> Phase {
        self.state().life.phase()
    }

    /// Whether an operation is at it.
    pub(crate) fn attended(&self) -> bool {
        !self.state().claims.is_empty()
    }

    /// An operation ended without knowing how: somebody is to find out.
    pub(crate) fn unsettle(&self) {
        self.state().unsettled = true;
    }

    pub(crate) fn is_unsettled(&self) -> bool {
        self.state().unsettled
    }

    /// Somebody found out.
    pub(crate) fn settled(&self) {
        self.state().unsettled = false;
    }

    /// Whether another process is at an operation on the VM: then events only tell where it is.
    pub(crate) fn set_elsewhere(&self, elsewhere: bool) {
        self.state().elsewhere = elsewhere;
    }

    pub(crate) fn is_elsewhere(&self) -> bool {
        self.state().elsewhere
    }

    /// Takes a VM as somebody found it to be.
    pub(crate) fn reset(&self, life: Life) {
        self.state().life = life;
    }

    /// An operation goes on.
    pub(crate) fn step(self: &Arc<Self>, step: Step) {
        self.advance(|life| life.step(step));
    }

    /// libvirt tells something.
    pub(crate) fn event(self: &Arc<Self>, event: Lifecycle) {
        self.advance(|life| life.event(event));
    }

    /// After-points that follow from no step of the VM's life.
    pub(crate) fn due(&self, after: After) -> Due {
        let _state = self.state();
        Due { after, turn: self.afters.turn() }
    }

    /// Leaves after-points to who takes care of those that no operation claims.
    pub(crate) fn leave(self: &Arc<Self>, due: Due) {
        if let Some(observer) = &self.observer {
            observer(self, due);
        }
    }

    fn advance(self: &Arc<Self>, advance: impl FnOnce(&mut Life) -> Vec<After>) {
        let mut unclaimed = Vec::new();
        {
            let mut state = self.state();
            for after in advance(&mut state.life) {
                // Under the lock: turns come in the order of what they follow from.
                let due = Due { after, turn: self.afters.turn() };
                // The newest first: it is the one that acts.
                match state.claims.iter().rev().find(|claim| (claim.wants)(&after)) {
                    Some(claim) => {
                        if let Err(gone) = claim.to.send(due) {
                            unclaimed.push(gone.0);
                        }
                    }
                    None if state.elsewhere => {}
                    None => unclaimed.push(due),
                }
            }
        }
        for due in unclaimed {
            self.leave(due);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One after the other, in the order of asking.
#[derive(Default)]
pub(crate) struct Lane {
    order: Mutex<Order>,
    turned: Condvar,
}

#[derive(Default)]
struct Order {
    next: u64,
    serving: u64,
    /// Turns that ended before they came.
    ended: BTreeSet<u64>,
}

impl Lane {
    /// A place at the end.
    pub(crate) fn turn(self: &Arc<Self>) -> Turn {
        let mut order = self.order();
        let number = order.next;
        order.next += 1;
        Turn { lane: self.clone(), number }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a lane. Dropping it lets the next one come.
pub(crate) struct Turn {
    lane: Arc<Lane>,
    number: u64,
}

impl Turn {
    pub(crate) fn is_up(&self) -> bool {
        self.lane.order().serving >= self.number
    }

    /// Waits until everybody before is done.
    pub(crate) fn wait(&self) {
        let mut order = self.lane.order();
        while order.serving < self.number {
            order = self.lane.turned.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a moment, and says whether the turn has come.
    pub(crate) fn wait_a_moment(&self) -> bool {
        let order = self.lane.order();
        if order.serving >= self.number {
            return true;
        }
        let waited = self.lane.turned.wait_timeout(order, SLICE);
        waited.unwrap_or_else(PoisonError::into_inner).0.serving >= self.number
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut order = self.lane.order();
        order.ended.insert(self.number);
        loop {
            let serving = order.serving;
            if !order.ended.remove(&serving) {
                break;
            }
            order.serving += 1;
        }
        drop(order);
        self.lane.turned.notify_all();
    }
}

/// An operation at a desk: it claims the after-points it is the reason of.
pub(crate) struct Attendance {
    pub(crate) desk: Arc<Desk>,
    number: u64,
    /// Where no agent feeds the desk, who waits feeds it.
    events: Option<Subscription>,
    claimed: Receiver<Due>,
}

/// What came of waiting.
pub(crate) enum Waited {
    Due(Due),
    TimedOut,
    Cancelled,
    /// The connection to libvirt is lost.
    Lost,
}

impl Attendance {
    /// Attends to a desk; `claims` says which after-points are the operation's.
    pub(crate) fn new(desk: Arc<Desk>, events: Option<Subscription>, claims: fn(&After) -> bool) -> Self {
        let (sender, claimed) = mpsc::channel();
        let number = {
            let mut state = desk.state();
            state.last_claim += 1;
            let number = state.last_claim;
            state.claims.push(Claim { number, wants: claims, to: sender });
            number
        };
        Self { desk, number, events, claimed }
    }

    /// The operation goes on.
    pub(crate) fn step(&self, step: Step) {
        self.desk.step(step);
    }

    /// After-points that are due already.
    pub(crate) fn due(&self) -> Option<Due> {
        self.claimed.try_recv().ok()
    }

    /// Whether an agent feeds the desk, and fires what nobody claims.
    pub(crate) fn is_fed(&self) -> bool {
        self.events.is_none()
    }

    /// Waits for after-points.
    pub(crate) fn wait(
        &self,
        limit: Duration,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
    ) -> Waited {
        let begun = Instant::now();
        let mut told = Duration::ZERO;
        loop {
            if let Some(due) = self.due() {
                return Waited::Due(due);
            }
            let elapsed = begun.elapsed();
            if elapsed >= limit {
                return Waited::TimedOut;
            }
            if cancel.is_some_and(is_readable) {
                return Waited::Cancelled;
            }
            if elapsed >= told + Duration::from_secs(1) {
                told = elapsed;
                watch.step_running(elapsed);
            }
            let slice = SLICE.min(limit.saturating_sub(elapsed));
            match &self.events {
                None => {
                    if let Ok(due) = self.claimed.recv_timeout(slice) {
                        return Waited::Due(due);
                    }
                }
                Some(events) => match self.pass_on(events, slice) {
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Waited::Lost,
                    Ok(()) | Err(mpsc::RecvTimeoutError::Timeout) => {}
                },
            }
        }
    }

    /// Where no agent does: takes what libvirt tells next, within `limit`; says whether there was something.
    pub(crate) fn hear(&self, limit: Duration) -> bool {
        self.events.as_ref().is_some_and(|events| self.pass_on(events, limit).is_ok())
    }

    fn pass_on(&self, events: &Subscription, limit: Duration) -> Result<(), mpsc::RecvTimeoutError> {
        match events.recv_timeout(limit)? {
            Event::Lifecycle(event) if event.uuid == self.desk.uuid => self.desk.event(event.lifecycle),
            Event::Closed(_) => return Err(mpsc::RecvTimeoutError::Disconnected),
            _ => {}
        }
        Ok(())
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.desk.state().claims.retain(|claim| claim.number != self.number);
        // What was claimed and not taken is somebody else's now.
        while let Ok(due) = self.claimed.try_recv() {
            self.desk.leave(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_libvirt::{ResumeReason, StartReason, StopReason, SuspendReason};

    fn events(desk: &Arc<Desk>, events: &[Lifecycle]) {
        events.iter().for_each(|event| desk.event(*event));
    }

    const BOOT: [Lifecycle; 2] =
        [Lifecycle::Resumed(ResumeReason::Unpaused), Lifecycle::Started(StartReason::Booted)];

    #[test]
    fn turns_come_in_the_order_of_events_whoever_fires() {
        let (sender, fired) = mpsc::channel();
        let observer: Observer = Box::new(move |_, due| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // The later ones would be first, did they not wait.
                if due.after == After::Start {
                    std::thread::yield_now();
                }
                due.wait();
                sender.send(due.after).unwrap();
            });
        });
        let desk = Desk::new("u", Life::new("qemu:///x"), Some(observer));
        events(&desk, &BOOT);
        for _ in 0..20 {
            events(&desk, &[Lifecycle::Suspended(SuspendReason::Paused)]);
            events(&desk, &[Lifecycle::Resumed(ResumeReason::Unpaused)]);
        }
        events(&desk, &[Lifecycle::Stopped(StopReason::Crashed)]);
        let all: Vec<After> = (0..42).map(|_| fired.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
        assert_eq!(all[0], After::Start);
        for pair in all[1..41].chunks(2) {
            assert_eq!(pair, [After::Pause("pause"), After::Cont]);
        }
        assert_eq!(all[41], After::Destroy { reason: "crashed", with_before: false });
    }

    #[test]
    fn an_operation_gets_its_own_and_what_it_leaves_goes_to_the_observer() {
        let (sender, observed) = mpsc::channel();
        let desk = Desk::new(
            "u",
            Life::new("qemu:///x"),
            Some(Box::new(move |_, due| sender.send(due.after).unwrap())),
        );
        events(&desk, &BOOT);
        assert_eq!(observed.try_recv().unwrap(), After::Start);
        let attendance = Attendance::new(desk.clone(), None, |after| matches!(after, After::Pause(_)));
        attendance.step(Step::Pause);
        events(&desk, &[Lifecycle::Suspended(SuspendReason::Paused)]);
        assert!(observed.try_recv().is_err());
        drop(attendance);
        assert_eq!(observed.try_recv().unwrap(), After::Pause("pause"), "nobody fired it");
        events(&desk, &[Lifecycle::Resumed(ResumeReason::Unpaused)]);
        assert_eq!(observed.try_recv().unwrap(), After::Cont);
    }

    #[test]
    fn what_another_process_does_is_followed_and_not_fired() {
        let (sender, observed) = mpsc::channel();
        let desk = Desk::new(
            "u",
            Life::new("qemu:///x"),
            Some(Box::new(move |_, due| sender.send(due.after).unwrap())),
        );
        desk.set_elsewhere(true);
        events(&desk, &BOOT);
        assert_eq!((desk.phase(), observed.try_recv().is_err()), (Phase::Up, true));
        // An operation of ours, which a hook of that one asked for.
        let pausing = Attendance::new(desk.clone(), None, |after| matches!(after, After::Pause(_)));
        pausing.step(Step::Pause);
        events(&desk, &[Lifecycle::Suspended(SuspendReason::Paused)]);
        assert!(pausing.due().is_some_and(|due| due.is_up()));
        drop(pausing);
        desk.set_elsewhere(false);
        events(&desk, &[Lifecycle::Resumed(ResumeReason::Unpaused)]);
        assert_eq!(observed.try_recv().unwrap(), After::Cont);
    }

    #[test]
    fn an_operation_that_ends_takes_only_its_own_claim() {
        let (sender, observed) = mpsc::channel();
        let desk = Desk::new(
            "u",
            Life::new("qemu:///x"),
            Some(Box::new(move |_, due| sender.send(due.after).unwrap())),
        );
        events(&desk, &BOOT);
        assert_eq!(observed.try_recv().unwrap(), After::Start);
        let pausing = Attendance::new(desk.clone(), None, |after| matches!(after, After::Pause(_)));
        let destroying = Attendance::new(desk.clone(), None, |after| matches!(after, After::Destroy { .. }));
        drop(pausing);
        destroying.step(Step::Destroy);
        destroying.step(Step::Destroyed);
        assert!(destroying.due().is_some() && observed.try_recv().is_err());
        assert!(desk.attended());
    }
}
