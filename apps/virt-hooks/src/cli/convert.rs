// SPDX-License-Identifier: Apache-2.0
//! `convert`.

use super::Place;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Takes VMs somewhere else.
#[derive(Args, Clone, Debug)]
pub struct Convert {
    /// From where.
    #[command(subcommand)]
    pub command: ConvertCommand,
}

/// From where a VM comes.
#[derive(Clone, Debug, Subcommand)]
pub enum ConvertCommand {
    /// Turn a VM's custom properties of oVirt into annotations of a KubeVirt VM, and tell which hooks go along
    Ovirt(ConvertOvirt),
}

/// `convert ovirt`.
#[derive(Args, Clone, Debug)]
pub struct ConvertOvirt {
    /// The VM: JSON of oVirt's REST API (with ?follow=nics.vnic_profile), an OVF, or its domain XML; - for standard input
    #[arg(value_name = "INPUT|-")]
    pub input: Place,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: ConvertFormat,
    /// The hook packages to have in the cluster, where not all that are found; separated by commas, or repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub hooks: Vec<String>,
    /// Directory of hook packages whose manifests are asked, in place of those installed here; may be repeated
    #[arg(long = "packages", value_name = "DIR")]
    pub packages: Vec<PathBuf>,
    /// The name in KubeVirt of a device that has this name in oVirt, or this MAC address; may be repeated
    #[arg(long, value_name = "DEVICE=NAME", value_parser = rename)]
    pub rename: Vec<(String, String)>,
}

/// How a conversion is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConvertFormat {
    /// For people: the report, and the annotations
    #[default]
    Text,
    /// For programs: all of it
    Json,
    /// For "kubectl patch --patch-file": the annotations; the report goes to standard error
    Yaml,
}

fn rename(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("give it as DEVICE=NAME".to_owned()),
    }
}
