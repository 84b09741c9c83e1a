// SPDX-License-Identifier: Apache-2.0
//! How many processes are started at the same moment.
//!
//! A start is short and busy, and what it has just touched is still in the CPU's caches when it goes on. Where
//! many more are under way than there are CPUs, each finds its memory cold again, and all together take longer
//! than one after the other. So starts queue up; the processes themselves, which may take minutes, do not.

use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How many starts never wait.
const FEW: usize = 8;

/// How many more there may be for each CPU.
const PER_CPU: usize = 4;

/// How long a start waits at most. One that takes longer hangs in the kernel, most likely on a file system
/// that is not answering, and must not hold up those on other file systems.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Starts {
    inside: usize,
    waiting: usize,
}

/// Lets starts in.
pub(crate) struct Gate {
    patience: Duration,
    starts: Mutex<Starts>,
    left: Condvar,
    room: OnceLock<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl Gate {
    fn with_patience(patience: Duration) -> Self {
        Self { patience, starts: Mutex::default(), left: Condvar::new(), room: OnceLock::new() }
    }

    /// Waits for its turn, but not for long.
    pub(crate) fn enter(&self) -> Permit<'_> {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_full(&starts) {
            starts.waiting += 1;
            starts = self
                .left
                .wait_timeout_while(starts, self.patience, |starts| self.is_full(starts))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            starts.waiting -= 1;
        }
        starts.inside += 1;
        Permit(self)
    }

    fn is_full(&self, starts: &Starts) -> bool {
        starts.inside >= FEW && starts.inside >= self.room()
    }

    /// Asked for only when there is a crowd: finding out means reading files.
    fn room(&self) -> usize {
        *self.room.get_or_init(|| {
            std::thread::available_parallelism().map_or(FEW, |cpus| cpus.get().saturating_mul(PER_CPU))
        })
    }
}

/// The right to start a process, until it is dropped.
pub(crate) struct Permit<'a>(&'a Gate);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut starts = self.0.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.inside -= 1;
        let somebody_waits = starts.waiting > 0;
        drop(starts);
        if somebody_waits {
            self.0.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn full(gate: &Gate) -> Vec<Permit<'_>> {
        (0..FEW.max(gate.room())).map(|_| gate.enter()).collect()
    }

    #[test]
    fn the_next_enters_when_one_leaves() {
        let gate = Gate::with_patience(Duration::from_secs(3600));
        let mut permits = full(&gate);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(gate.enter()));
            assert!(!waiting.is_finished());
            permits.pop();
        });
        drop(permits);
        assert_eq!(gate.starts.lock().unwrap().inside, 0);
    }

    #[test]
    fn all_who_wait_enter_when_all_leave() {
        let gate = Gate::with_patience(Duration::from_secs(3600));
        let permits = full(&gate);
        std::thread::scope(|scope| {
            for _ in 0..permits.len() {
                scope.spawn(|| drop(gate.enter()));
            }
            while gate.starts.lock().unwrap().waiting < permits.len() {
                std::thread::yield_now();
            }
            // At once, before any of them has woken up.
            drop(permits);
        });
        let starts = gate.starts.lock().unwrap();
        assert_eq!((starts.inside, starts.waiting), (0, 0));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let gate = Gate::default();
        let permits = full(&gate);
        let started = Instant::now();
        let one_more = gate.enter();
        assert!(started.elapsed() >= PATIENCE);
        assert_eq!(gate.starts.lock().unwrap().inside, permits.len() + 1);
        drop((permits, one_more));
        assert_eq!(gate.starts.lock().unwrap().inside, 0);
    }
}
