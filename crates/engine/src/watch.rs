// SPDX-License-Identifier: Apache-2.0
//! Who wants to know how an operation goes.

use crate::observer::Observer;
use crate::outcome::Outcome;
use std::time::Duration;
use virt_hooks_contract::Point;

/// Told about an operation while it runs: as an [`Observer`] about the hooks of its events, and beside
/// that about the events and what lies between them.
pub trait Watch: Observer {
    /// An event is about to be fired; `device` names the device it is about.
    fn event(&mut self, point: &Point, device: Option<&str>) {
        let _ = (point, device);
    }

    /// An event is over.
    fn outcome(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }

    /// A step other than hooks begins, such as `start VM web1`. It may take seconds.
    fn step(&mut self, what: &str) {
        let _ = what;
    }

    /// The step that began last goes on, `elapsed` after it began. Told of steps that wait, every second or so.
    fn step_running(&mut self, elapsed: Duration) {
        let _ = elapsed;
    }

    /// The step that began last is over.
    fn step_done(&mut self) {}

    /// All is prepared here for what another host does next.
    fn ready(&mut self) {}

    /// Something is odd, and the operation goes on: one line.
    fn warning(&mut self, what: &str) {
        let _ = what;
    }
}

/// Wants to know nothing.
pub struct Quiet;

impl Observer for Quiet {}

impl Watch for Quiet {}
