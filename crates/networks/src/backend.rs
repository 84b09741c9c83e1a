// SPDX-License-Identifier: Apache-2.0
//! Who changes the host's devices.

use crate::error::ApplyError;
use crate::plan::Plan;
use crate::request::Request;

/// One way to change the host's devices.
pub(crate) trait Backend {
    /// What people know it by.
    fn name(&self) -> &'static str;

    /// Whether what it sets up is there after the next boot.
    fn outlives_boot(&self) -> bool;

    /// Whether what a killed process leaves half-done stays so; else it goes back by itself.
    fn stays_half_done(&self) -> bool;

    /// What it cannot do of a request, in a line each.
    fn refuses(&self, request: &Request) -> Vec<String>;

    /// Makes the devices as planned, and sees that they are.
    fn apply(&mut self, plan: &Plan, request: &Request) -> Result<(), ApplyError>;

    /// Makes what was applied last.
    fn commit(&mut self) -> Result<(), ApplyError>;

    /// Whether an apply that failed so has left anything to be rolled back.
    fn needs_roll_back(&self, failed: &ApplyError) -> bool;

    /// Makes the devices as they were before the plan.
    fn roll_back(&mut self, plan: &Plan) -> Result<(), ApplyError>;
}
