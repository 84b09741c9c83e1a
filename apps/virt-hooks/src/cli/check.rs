// SPDX-License-Identifier: Apache-2.0
//! `check`.

use super::Format;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use virt_hooks_package::check::Target;

/// Looks at hook packages.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// Directory of a hook package
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// Also say what keeps them from being used there
    #[arg(long, value_enum)]
    pub target: Option<CheckTarget>,
    /// The packages are your own: also has perl compile their scripts, which runs their BEGIN blocks and modules
    #[arg(long)]
    pub own: bool,
    /// What runs where a package has sources only: called by the name of each hook
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `--target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckTarget {
    /// A KubeVirt cluster
    Kubevirt,
    /// A host with plain libvirt
    Libvirt,
    /// A host with VDSM
    Vdsm,
}

impl From<CheckTarget> for Target {
    fn from(target: CheckTarget) -> Self {
        match target {
            CheckTarget::Kubevirt => Self::Kubevirt,
            CheckTarget::Libvirt => Self::Libvirt,
            CheckTarget::Vdsm => Self::Vdsm,
        }
    }
}
