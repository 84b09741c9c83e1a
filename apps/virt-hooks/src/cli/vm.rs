// SPDX-License-Identifier: Apache-2.0
//! `vm`: the grammar only. The verbs need libvirt and are in an executable of their own.

use super::{Format, Place, Property, VmMemoryPlug, VmNicUpdate, VmPlug, VmSetCpus, VmSetTicket, VmUnplug};
use clap::{Args, Subcommand};
use std::time::Duration;
use virt_hooks_contract::parse_duration;

/// Starts and stops virtual machines.
#[derive(Args, Clone, Debug)]
pub struct Vm {
    /// What to do.
    #[command(subcommand)]
    pub command: VmCommand,
}

/// A verb of `vm`.
#[derive(Clone, Debug, Subcommand)]
pub enum VmCommand {
    /// Run the hooks of a start on a VM's XML, and start the VM with what they made of it
    Start(VmStart),
    /// Run the hooks of a destroy, and destroy the VM
    Destroy(VmDestroy),
    /// Show the VMs libvirt knows
    List(VmList),
    /// Plug a network interface into a running VM, hooks included
    NicPlug(VmPlug),
    /// Unplug a network interface from a running VM, and wait until the guest lets go
    NicUnplug(VmUnplug),
    /// Change a network interface of a running VM
    NicUpdate(Box<VmNicUpdate>),
    /// Plug a disk into a running VM
    DiskPlug(VmPlug),
    /// Unplug a disk from a running VM, and wait until the guest lets go
    DiskUnplug(VmUnplug),
    /// Plug memory into a running VM
    MemoryPlug(VmMemoryPlug),
    /// Change the number of virtual CPUs of a running VM
    SetCpus(VmSetCpus),
    /// Set the password of a running VM's console, read from a file or standard input
    SetTicket(VmSetTicket),
    /// Show the statistics of VMs, in JSON with VDSM's names
    Stats(VmStats),
}

/// Starts a VM.
#[derive(Args, Clone, Debug)]
pub struct VmStart {
    /// The VM, where it is defined; its stored definition stays as it is
    #[arg(required_unless_present = "xml")]
    pub name: Option<String>,
    /// Domain XML of the VM, where it is not defined; - for standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "name")]
    pub xml: Option<Place>,
    /// Which libvirt to talk to
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
    /// Custom property of the VM, beside those in its metadata; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// How long each hook may take, such as 30s, before all other settings
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Where the report goes, in JSON; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub report: Option<Place>,
    /// Show what each hook changes
    #[arg(long)]
    pub diff: bool,
    /// Leave the VM paused
    #[arg(long)]
    pub paused: bool,
}

/// Destroys a VM.
#[derive(Args, Clone, Debug)]
pub struct VmDestroy {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// Which libvirt to talk to
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
    /// Where the report goes, in JSON; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub report: Option<Place>,
}

/// Lists VMs.
#[derive(Args, Clone, Debug)]
pub struct VmList {
    /// Which libvirt to talk to
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Shows statistics of VMs.
#[derive(Args, Clone, Debug)]
pub struct VmStats {
    /// The VM, by name or UUID; all that run where left out
    #[arg(value_name = "NAME|UUID")]
    pub vm: Option<String>,
    /// Which libvirt to talk to
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
    /// Over which time loads and rates are averaged
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "1s")]
    pub interval: Duration,
    /// Leave out loads and rates, and do not wait
    #[arg(long, conflicts_with = "interval")]
    pub no_rates: bool,
    /// Where the report goes, in JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<Place>,
}
