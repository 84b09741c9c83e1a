// SPDX-License-Identifier: Apache-2.0
//! `points`.

use super::Format;
use clap::Args;

/// Shows hook points.
#[derive(Args, Clone, Debug)]
pub struct Points {
    /// Everything about this one
    pub name: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
