// SPDX-License-Identifier: Apache-2.0
//! `history`.

use super::Format;
use clap::Args;

/// Shows past events.
#[derive(Args, Clone, Debug)]
pub struct History {
    /// Those of this VM only, by name or UUID
    #[arg(long, value_name = "NAME|UUID")]
    pub vm: Option<String>,
    /// Those of this hook point only
    #[arg(long, value_name = "POINT")]
    pub point: Option<String>,
    /// Those where a hook failed only
    #[arg(long)]
    pub failed: bool,
    /// How many of the latest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// How it is written; JSON has the whole reports
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
