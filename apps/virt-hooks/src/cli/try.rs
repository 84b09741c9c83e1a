// SPDX-License-Identifier: Apache-2.0
//! `try`.

use super::{Format, Place, Property};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks_contract::parse_duration;

/// The payload that hooks are tried on.
#[derive(Args, Clone, Debug)]
pub struct Given {
    /// What hooks read and may edit: domain or device XML, or JSON; - for standard input
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["vm", "sample"])]
    pub payload: Option<Place>,
    /// The domain XML of this VM, as virsh knows it
    #[arg(long, value_name = "NAME", conflicts_with = "sample")]
    pub vm: Option<String>,
    /// Which libvirt knows the VM
    #[arg(long, value_name = "URI", requires = "vm")]
    pub connect: Option<String>,
    /// A sample payload; without it the one most like what the point has, "list" shows all
    #[arg(long, value_name = "KIND")]
    pub sample: Option<String>,
}

/// Finds hooks that write the same.
#[derive(Args, Clone, Debug)]
pub struct Conflicts {
    /// The hook point
    #[arg(default_value = "before_vm_start")]
    pub point: String,
    /// What the hooks read and may edit.
    #[command(flatten)]
    pub given: Given,
    /// Custom property of the VM; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// How long each hook may take, such as 30s
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Tries one hook.
#[derive(Args, Clone, Debug)]
pub struct Try {
    /// The hook's file, or a hook package's directory
    #[arg(value_name = "HOOK|DIR")]
    pub hook: Option<PathBuf>,
    /// The hook point
    #[arg(long)]
    pub point: Option<String>,
    /// What the hook reads and may edit.
    #[command(flatten)]
    pub given: Given,
    /// Custom property of the VM; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// Custom property of the device, or parameter of the operation; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub device_property: Vec<Property>,
    /// What runs where a package has sources only: called by the name of the hook
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// How long the hook may take, such as 30s
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Where the payload as the hook left it goes; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub output: Option<Place>,
}
