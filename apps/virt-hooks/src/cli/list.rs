// SPDX-License-Identifier: Apache-2.0
//! `list`.

use super::Format;
use clap::{Args, ValueEnum};

/// Shows installed hooks.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Those of this hook point only
    pub point: Option<String>,
    /// Only names, for the completion of shells
    #[arg(long, value_enum, hide = true)]
    pub names: Option<Names>,
    /// How it is written; JSON is in VDSM's shape, with SHA-256 checksums
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Which names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// Of packages
    Packages,
    /// What "enable" and "disable" take: packages, files of hooks, masked ones too, and both with their points
    Hooks,
}
