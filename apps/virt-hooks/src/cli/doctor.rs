// SPDX-License-Identifier: Apache-2.0
//! `doctor`.

use super::Format;
use clap::Args;

/// Explains why hooks do not run or will fail.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Those of these hook points only
    pub point: Vec<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
