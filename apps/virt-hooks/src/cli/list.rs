// SPDX-License-Identifier: Apache-2.0
//! `list`.

use super::Format;
use clap::Args;

/// Shows installed hooks.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Those of this hook point only
    pub point: Option<String>,
    /// How it is written; JSON is in VDSM's shape, with SHA-256 checksums
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
