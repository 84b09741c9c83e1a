// SPDX-License-Identifier: Apache-2.0
//! Hook packages on a host: put there, taken away, masked, and held against what was put there.
//!
//! Where a package's files go is decided by [`build::layout`](crate::build::layout). What was put there is written
//! down beside its manifest, in [`RECORD`], by every way of installing it. Changes of several files are a
//! [transaction](transaction): a failed one leaves the former state, and one whose process was killed is undone by the
//! next that comes.

mod archive;
mod carry_out;
mod error;
mod install;
#[cfg(test)]
mod interrupted_tests;
mod mask;
pub mod names;
mod properties;
mod record;
mod root;
mod sequence;
pub mod transaction;
mod verify;

pub use archive::unpack;
pub use carry_out::{SetUp, Task};
pub use error::ShelfError;
pub use install::{Installed, Leaving, Plan, installed, plan_install, plan_remove};
pub use mask::{Mask, Switch, switch_all};
pub use properties::{EngineConfig, EngineKey};
pub use record::{Kept, RECORD, Record};
pub use root::Root;
pub use verify::{Difference, verify};
