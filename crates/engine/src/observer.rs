// SPDX-License-Identifier: Apache-2.0
//! Who wants to know how an event goes.

use crate::discover::Hook;
use crate::outcome::Run;
use std::time::Duration;

/// Told about an event while it runs. Every method may be left out.
pub trait Observer {
    /// How often [`Observer::running`] is to be called; `None`: never.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// A hook is about to start.
    fn started(&mut self, hook: &Hook) {
        let _ = hook;
    }

    /// A hook still runs, `elapsed` after its start.
    fn running(&mut self, hook: &Hook, elapsed: Duration) {
        let _ = (hook, elapsed);
    }

    /// A hook has ended and what it left has been checked.
    fn finished(&mut self, run: &Run) {
        let _ = run;
    }
}

/// Wants to know nothing.
pub struct Silent;

impl Observer for Silent {}
