// SPDX-License-Identifier: Apache-2.0
//! From a request to a thread: one call at a time for each VM, so many at once, so long each.

use crate::core::{Cancel, Driver, Refusal, Why};
use crate::log;
use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as Lane, OwnedMutexGuard, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

/// Runs calls.
pub struct Calls {
    driver: Arc<Driver>,
    room: Arc<Semaphore>,
    lanes: Mutex<HashMap<String, Weak<Lane<()>>>>,
    budget: Duration,
    stop: watch::Sender<bool>,
}

impl Calls {
    /// Calls of `driver`: `at_once` at the same time, `budget` for each from the moment it arrives.
    pub fn new(driver: Arc<Driver>, at_once: NonZero<usize>, budget: Duration) -> Arc<Self> {
        Arc::new(Self {
            driver,
            room: Arc::new(Semaphore::new(at_once.get().min(Semaphore::MAX_PERMITS))),
            lanes: Mutex::default(),
            budget,
            stop: watch::Sender::new(false),
        })
    }

    /// Gives up what runs and takes no more calls.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Changes once calls are stopped.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// How long after its time is over a call may still take to end.
    pub fn grace(&self) -> Duration {
        // TERM, KILL, and a process that hangs in the kernel.
        self.driver.grace() * 2
    }

    /// Runs `work` on a thread of its own, after earlier calls for the same `lane`. It goes on to its end also
    /// when whoever asked is gone: what hooks did is known then. Who waits less long than a call has, `patience`, is
    /// answered in time all the same.
    ///
    /// # Errors
    /// What `work` says, or that its time is over before it began.
    pub async fn run<T, W>(
        self: &Arc<Self>,
        what: &'static str,
        lane: String,
        patience: Option<Duration>,
        work: W,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&Driver, &Cancel) -> Result<T, Refusal> + Send + 'static,
    {
        let deadline = Instant::now() + self.time_for(patience);
        let calls = Arc::clone(self);
        let running = tokio::spawn(async move { calls.run_until(what, lane, deadline, work).await });
        let result = match running.await {
            Ok(result) => result,
            Err(e) => Err(Refusal::Trouble(format!("{what}: {e}"))),
        };
        if let Err(refusal) = &result {
            log::say(&format!("{what}: refused: {}", refusal.message()));
        }
        result
    }

    /// Less than the client has, so that hooks are ended and it still hears why.
    fn time_for(&self, patience: Option<Duration>) -> Duration {
        let left = |p: Duration| p.saturating_sub(self.grace()).max(p / 2);
        patience.map_or(self.budget, |p| left(p).min(self.budget))
    }

    async fn run_until<T, W>(
        self: Arc<Self>,
        what: &'static str,
        lane: String,
        deadline: Instant,
        work: W,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&Driver, &Cancel) -> Result<T, Refusal> + Send + 'static,
    {
        let late = |waited: &str| {
            Refusal::Deadline(format!("{what}: the time for this call is over: it waited for {waited}"))
        };
        let mut stop = self.stopping();
        let stopped = || Refusal::Stopping(format!("{what}: the hook server is stopping"));
        let wait = async {
            let guard = timeout_at(deadline, self.enter(lane))
                .await
                .map_err(|_| late("an earlier call for the same VM"))?;
            let permit = timeout_at(deadline, Arc::clone(&self.room).acquire_owned())
                .await
                .map_err(|_| late("calls for other VMs; --at-once says how many may run"))?;
            Ok((guard, permit))
        };
        let (guard, permit) = tokio::select! {
            biased;
            _ = stop.wait_for(|s| *s) => return Err(stopped()),
            entered = wait => entered?,
        };
        let trouble = |e: std::io::Error| Refusal::Trouble(format!("{what}: {e}"));
        let (cancel, trigger) = Cancel::new().map_err(trouble)?;
        let driver = Arc::clone(&self.driver);
        let mut thread = tokio::task::spawn_blocking(move || {
            let result = work(&driver, &cancel);
            drop((guard, permit));
            result
        });
        let why = tokio::select! {
            done = &mut thread => return done.unwrap_or_else(|e| Err(Refusal::Trouble(format!("{what}: {e}")))),
            () = tokio::time::sleep_until(deadline) => Why::Deadline,
            _ = stop.wait_for(|s| *s) => Why::Stopping,
        };
        trigger.fire(why);
        thread.await.unwrap_or_else(|e| Err(Refusal::Trouble(format!("{what}: {e}"))))
    }

    /// Waits until no other call for the same VM runs. Those that wait are let in in order.
    async fn enter(&self, name: String) -> OwnedMutexGuard<()> {
        let lane = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.retain(|_, lane| lane.strong_count() > 0);
            match lanes.get(&name).and_then(Weak::upgrade) {
                Some(lane) => lane,
                None => {
                    let lane = Arc::new(Lane::new(()));
                    lanes.insert(name, Arc::downgrade(&lane));
                    lane
                }
            }
        };
        lane.lock_owned().await
    }
}
