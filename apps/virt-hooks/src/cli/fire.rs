// SPDX-License-Identifier: Apache-2.0
//! `fire`.

use super::{Format, Place, Property, Uuid};
use clap::{Args, ValueEnum};
use std::time::Duration;
use virt_hooks_contract::{Failure, PayloadKind, parse_duration};
use virt_hooks_engine::Check;

/// Fires a hook point.
#[derive(Args, Clone, Debug)]
pub struct Fire {
    /// The hook point; "virt-hooks points" lists all
    pub point: String,
    /// What the hooks read and may edit: domain or device XML, or JSON; - for standard input
    #[arg(long, value_name = "FILE|-")]
    pub payload: Option<Place>,
    /// UUID of the VM; taken from a domain XML where not given
    #[arg(long, value_name = "UUID")]
    pub vm_id: Option<Uuid>,
    /// Name of the VM; taken from a domain XML where not given
    #[arg(long, value_name = "NAME")]
    pub vm_name: Option<String>,
    /// Custom property of the VM; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// Custom property of the device, or parameter of the operation; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub device_property: Vec<Property>,
    /// Where the payload goes after the chain, unless a hook vetoes; - for standard output, the default
    #[arg(long, value_name = "FILE|-")]
    pub output: Option<Place>,
    /// Where the report goes, in JSON; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub report: Option<Place>,
    /// Run nothing: show the chain that would run, its environment and deadlines
    #[arg(long, conflicts_with_all = ["output", "report", "diff"])]
    pub dry_run: bool,
    /// How the dry run is written
    #[arg(long, value_enum, default_value_t, requires = "dry_run")]
    pub format: Format,
    /// Show what each hook changes
    #[arg(long)]
    pub diff: bool,
    /// How long each hook may take, such as 30s, before all other settings
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Kind of the payload, where not what the point says; needed for a point that is in no table
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// What a failing hook does, where not what the point says
    #[arg(long, value_enum)]
    pub on_failure: Option<OnFailure>,
    /// How the payload is checked before the chain and after each hook
    #[arg(long, value_enum, default_value_t)]
    pub check: Checking,
    /// Why the operation happens, for hooks to read in _hook_reason
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Which attempt at the operation this is, for hooks to read in _hook_attempt
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: u32,
}

/// `--kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A domain or device element
    Xml,
    /// A JSON document
    Json,
    /// No payload
    None,
}

impl From<Kind> for PayloadKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Xml => Self::Xml,
            Kind::Json => Self::Json,
            Kind::None => Self::None,
        }
    }
}

/// `--on-failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// The operation must not happen
    Veto,
    /// The operation happens all the same
    Proceed,
}

impl From<OnFailure> for Failure {
    fn from(it: OnFailure) -> Self {
        match it {
            OnFailure::Veto => Self::Veto,
            OnFailure::Proceed => Self::Advisory,
        }
    }
}

/// `--check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Checking {
    /// Well-formed, the same root element, the same UUID where the point asks for it
    #[default]
    Full,
    /// Only that it can be read
    None,
}

impl From<Checking> for Check {
    fn from(it: Checking) -> Self {
        match it {
            Checking::Full => Self::Full,
            Checking::None => Self::None,
        }
    }
}
