// SPDX-License-Identifier: Apache-2.0
//! `vm`: the grammar only. The verbs need libvirt and are in an executable of their own.

use super::{Format, Place, Property, VmMemoryPlug, VmNicUpdate, VmPlug, VmSetCpus, VmSetTicket, VmUnplug};
use clap::{Args, Subcommand};
use std::path::PathBuf;
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
    /// Start a VM from its XML: the same as start --xml
    Create(VmCreate),
    /// Let a VM's processors stand still
    Pause(VmAct),
    /// Let a VM's processors run again
    Cont(VmAct),
    /// Save a VM to a file, and end it
    Hibernate(VmHibernate),
    /// Bring a saved VM back, and continue it
    Dehibernate(VmRestore),
    /// Bring a VM back from the memory of a snapshot, and continue it
    RestoreSnapshot(VmRestoreSnapshot),
    /// Move a running VM to another host, hooks on both sides included
    Migrate(Box<VmMigrate>),
    /// Ask a VM's guest to shut down, and wait until it has
    Shutdown(VmShutdown),
    /// Run the hooks of a destroy, and destroy the VM
    Destroy(VmDestroy),
    /// Set custom properties of a VM, or of one of its devices
    Set(VmSet),
    /// Show a VM and its custom properties
    Show(VmShow),
    /// Write what the hooks of a start make of a VM into its stored definition, for those who start it with other tools
    Apply(VmApply),
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

/// Whom to ask.
#[derive(Args, Clone, Debug)]
pub struct Whom {
    /// Which libvirt to talk to, by ourselves and not through the agent
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
    /// Talk to libvirt by ourselves, even if an agent runs
    #[arg(long)]
    pub no_agent: bool,
}

/// How the hooks of an operation are run and told.
#[derive(Args, Clone, Debug)]
pub struct Telling {
    /// How long each hook may take, such as 30s, before all other settings
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Where the report goes, in JSON; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub report: Option<Place>,
    /// Show what each hook changes
    #[arg(long)]
    pub diff: bool,
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
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// Custom property of the VM, beside those in its metadata; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
    /// Leave the VM paused
    #[arg(long)]
    pub paused: bool,
}

/// Starts a VM from its XML.
#[derive(Args, Clone, Debug)]
pub struct VmCreate {
    /// Domain XML of the VM; - for standard input
    #[arg(value_name = "FILE|-")]
    pub xml: Place,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// Custom property of the VM, beside those in its metadata; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
    /// Leave the VM paused
    #[arg(long)]
    pub paused: bool,
}

/// An operation on a VM that runs.
#[derive(Args, Clone, Debug)]
pub struct VmAct {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
}

/// Destroys a VM.
#[derive(Args, Clone, Debug)]
pub struct VmDestroy {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
}

/// Saves a VM.
#[derive(Args, Clone, Debug)]
pub struct VmHibernate {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// The file, which must not be there yet
    pub file: PathBuf,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
}

/// Restores a VM.
#[derive(Args, Clone, Debug)]
pub struct VmRestore {
    /// The file of the saved VM, which stays
    pub file: PathBuf,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
}

/// Restores a VM from the memory of a snapshot.
#[derive(Args, Clone, Debug)]
pub struct VmRestoreSnapshot {
    /// What it has in common with other restores.
    #[command(flatten)]
    pub restore: VmRestore,
    /// Domain XML of the VM in place of that of the snapshot, such as with other files for its disks; - for standard input
    #[arg(long, value_name = "FILE|-")]
    pub xml: Option<Place>,
}

/// Migrates a VM.
#[derive(Args, Clone, Debug)]
pub struct VmMigrate {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// The libvirt of the destination, as the daemon of this host reaches it, such as qemu+tls://b.example/system
    #[arg(long, value_name = "URI")]
    pub to: String,
    /// Where the VM's memory goes, such as tcp://b.example:49152, where libvirt is not to choose
    #[arg(long, value_name = "URI")]
    pub migrate_uri: Option<String>,
    /// The socket of the destination's agent, which makes ready for the VM; without it libvirt's hook script there does
    #[arg(long, value_name = "PATH")]
    pub to_agent: Option<PathBuf>,
    /// Move the contents of the disks too: the destination does not share them
    #[arg(long)]
    pub copy_storage: bool,
    /// Where these go, such as unix:///run/disks.sock, where libvirt is not to choose
    #[arg(long, value_name = "URI", requires = "copy_storage")]
    pub disks_uri: Option<String>,
    /// How often a destination that is busy is asked again; 3 times where not said
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// After which time, such as 30s; 10s where not said
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub retry_wait: Option<Duration>,
    /// Give the migration up where it takes longer, such as 10m
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub abort_after: Option<Duration>,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
}

/// Shuts a VM down.
#[derive(Args, Clone, Debug)]
pub struct VmShutdown {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// How long to wait for the guest, such as 2m; 30s where not said
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub wait: Option<Duration>,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How its hooks are run and told.
    #[command(flatten)]
    pub telling: Telling,
}

/// Sets custom properties.
#[derive(Args, Clone, Debug)]
pub struct VmSet {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// Custom properties and their values
    #[arg(value_name = "NAME=VALUE", required_unless_present = "unset")]
    pub property: Vec<Property>,
    /// Remove a custom property; may be repeated
    #[arg(long, value_name = "NAME")]
    pub unset: Vec<String>,
    /// The device whose properties they are, by its alias
    #[arg(long, value_name = "ALIAS")]
    pub device: Option<String>,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
}

/// Shows a VM.
#[derive(Args, Clone, Debug)]
pub struct VmShow {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Applies hooks to a stored definition.
#[derive(Args, Clone, Debug)]
pub struct VmApply {
    /// The VM, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// Take back what was applied
    #[arg(long)]
    pub undo: bool,
    /// Leave the definition as it is; the hooks run all the same
    #[arg(long)]
    pub dry_run: bool,
    /// Show what changes
    #[arg(long)]
    pub diff: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// How long each hook may take, such as 30s, before all other settings
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Where the report goes, in JSON; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub report: Option<Place>,
}

/// Lists VMs.
#[derive(Args, Clone, Debug)]
pub struct VmList {
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
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
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
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
