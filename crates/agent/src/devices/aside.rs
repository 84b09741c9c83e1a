// SPDX-License-Identifier: Apache-2.0
//! Standing aside while a guest is waited for.
//!
//! A guest may take its time to let go of a device, and may never do so. Whoever wants to end the VM, pause it or move
//! it meanwhile must not wait for that: once the guest was asked, an unplug leaves its place at the VM, and takes one
//! again for what is to follow. Only unplugs wait for each other all the time: two that wait for the same device would
//! both tell of its end.

use crate::desk::Turn;
use crate::driver::Driver;
use crate::error::Error;
use crate::scene::wait_for_turn;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};
use virt_hooks_engine::{LockError, VmLock, Watch, unplug_lock};

/// How long what follows waits for others to be done with the VM. After that it comes beside them: a migration may take
/// hours, and hooks are to hear of a device while it matters.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often another process is asked.
const SLICE: Duration = Duration::from_millis(50);

/// Keeps others out as long as it lives.
pub(super) struct Guard {
    // In the order they must go: who is next takes the lock at once.
    _lock: Option<VmLock>,
    _turn: Option<Turn>,
}

impl Driver {
    /// Waits until no other unplug is under way on a VM, and keeps others out. Without an agent one that is under way is
    /// an error.
    pub(super) fn unplug_alone(
        &self,
        (uuid, name): (&str, &str),
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
    ) -> Result<Guard, Error> {
        if let Some(desks) = &self.desks {
            let turn = desks.of(uuid).unplugs.turn();
            wait_for_turn(&turn, name, cancel, watch)?;
            return Ok(Guard { _lock: None, _turn: Some(turn) });
        }
        let lock = VmLock::take(&self.engine.settings().run_dir, &unplug_lock(uuid), name)?;
        Ok(Guard { _lock: Some(lock), _turn: None })
    }

    /// Waits for the VM to be free again, and keeps others out. `None` where it is not free for a long time.
    pub(super) fn come_back(&self, uuid: &str, name: &str) -> Option<Guard> {
        let begun = Instant::now();
        let turn = self.desks.as_ref().map(|desks| desks.of(uuid).operations.turn());
        while turn.as_ref().is_some_and(|turn| !turn.wait_a_moment()) {
            if begun.elapsed() > PATIENCE {
                return None;
            }
        }
        loop {
            match VmLock::take_beside(&self.engine.settings().run_dir, uuid, name) {
                Ok(lock) => return Some(Guard { _lock: Some(lock), _turn: turn }),
                Err(LockError::Busy(_)) if begun.elapsed() <= PATIENCE => thread::sleep(SLICE),
                // What is to follow is no less due.
                Err(_) => return None,
            }
        }
    }
}
