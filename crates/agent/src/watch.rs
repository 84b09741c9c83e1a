// SPDX-License-Identifier: Apache-2.0
//! Who wants to know how an operation goes.

use virt_hooks_contract::Point;
use virt_hooks_engine::{Observer, Outcome};

/// Told about an operation while it runs.
pub trait Watch {
    /// An event is about to be fired; `device` names the device it is about. What comes back sees its hooks run.
    fn event(&mut self, point: &Point, device: Option<&str>) -> &mut dyn Observer;

    /// An event is over.
    fn outcome(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }

    /// A step other than hooks begins, such as `start VM web1`. It may take seconds.
    fn step(&mut self, what: &str) {
        let _ = what;
    }

    /// The step that began last is over.
    fn step_done(&mut self) {}
}

/// Wants to know nothing.
#[derive(Default)]
pub struct Quiet(virt_hooks_engine::Silent);

impl Watch for Quiet {
    fn event(&mut self, _: &Point, _: Option<&str>) -> &mut dyn Observer {
        &mut self.0
    }
}
