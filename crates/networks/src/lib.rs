// SPDX-License-Identifier: Apache-2.0
//! Driver: the networks of a host, set up with hooks and rolled back where that fails.
//!
//! # Theory of operation
//!
//! A request in VDSM's shape goes this way (VDSM sequence 4.20):
//!
//! 1. `request` reads it: every key is known or refused, every default is filled in;
//! 2. `plan` works out what it means on this host: the devices as they are, and as they are to be. Both are
//!    layouts, values of one kind;
//! 3. hooks of `before_network_setup` may refuse or edit it; an edited one begins again at 1;
//! 4. a back end makes it so: `nmstatectl` with NetworkManager's checkpoint, or `ip`, with the steps that
//!    `steps` finds between two layouts. The way back is the same function with the layouts changed over;
//! 5. what is there afterwards is read again and compared, because a command that succeeds proves little.
//!
//! `record` keeps what was set up, so that a network can be taken apart by its name; `pending` what is being done,
//! so that what a killed process left half-done is rolled back by the next, and hooks are told how it ended (`course`).
#![forbid(unsafe_code)]

mod backend;
mod bond;
mod course;
mod error;
mod iproute;
mod known;
mod layout;
mod nmstate;
mod object;
mod pending;
mod plan;
mod reach;
mod record;
mod request;
mod setup;
mod steps;

pub use error::{ApplyError, Error};
pub use setup::{Done, Setup, Way};
