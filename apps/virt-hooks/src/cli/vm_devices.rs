// SPDX-License-Identifier: Apache-2.0
//! `vm`: the grammar of the verbs that change a running VM.

use super::{Place, Property, Whom};
use clap::{Args, ValueEnum};
use std::time::Duration;
use virt_hooks_contract::{parse_duration, parse_size};

/// What the verbs that change a running VM have in common.
#[derive(Args, Clone, Debug)]
pub struct VmChange {
    /// The VM, by name or UUID; it must run, and its stored definition stays as it is
    #[arg(value_name = "NAME|UUID")]
    pub vm: String,
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// Where the report goes, in JSON; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub report: Option<Place>,
}

/// How hooks run.
#[derive(Args, Clone, Debug)]
pub struct HookTime {
    /// How long each hook may take, such as 30s, before all other settings
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// Plugs a device.
#[derive(Args, Clone, Debug)]
pub struct VmPlug {
    /// The VM.
    #[command(flatten)]
    pub change: VmChange,
    /// XML of the device, or VDSM's <hotplug> around it; - for standard input
    #[arg(long, value_name = "FILE|-")]
    pub xml: Place,
    /// Custom property of the device, kept in the VM's live metadata until the device goes; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// How hooks run.
    #[command(flatten)]
    pub time: HookTime,
    /// Show what each hook changes
    #[arg(long)]
    pub diff: bool,
}

/// Unplugs a device.
#[derive(Args, Clone, Debug)]
pub struct VmUnplug {
    /// The VM.
    #[command(flatten)]
    pub change: VmChange,
    /// The device, by alias, MAC address or target
    #[arg(value_name = "ALIAS|MAC|TARGET")]
    pub device: String,
    /// How long the guest may take to let go, from when it was asked
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "30s")]
    pub timeout: Duration,
    /// How much longer to look, once that has failed, whether the guest lets go after all
    #[arg(long, value_name = "DUR", value_parser = grace, default_value = "5s")]
    pub grace: Duration,
}

/// As other times, but it may be none.
fn grace(text: &str) -> Result<Duration, String> {
    if matches!(text.trim(), "0" | "0s" | "0ms") { Ok(Duration::ZERO) } else { parse_duration(text) }
}

/// Changes a network interface.
#[derive(Args, Clone, Debug)]
pub struct VmNicUpdate {
    /// The VM.
    #[command(flatten)]
    pub change: VmChange,
    /// The interface, by alias, MAC address or target
    #[arg(value_name = "ALIAS|MAC|TARGET")]
    pub nic: String,
    /// XML of the interface as it is to be, made from the live one; - for standard input
    #[arg(long, value_name = "FILE|-", required_unless_present_any = ["link", "bridge", "network"], conflicts_with_all = ["link", "bridge", "network"])]
    pub xml: Option<Place>,
    /// Plug the cable in, or pull it
    #[arg(long, value_enum, value_name = "STATE")]
    pub link: Option<Link>,
    /// Make it part of this bridge of the host
    #[arg(long, value_name = "NAME", conflicts_with = "network")]
    pub bridge: Option<String>,
    /// Make it part of this network of libvirt
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Property for the hooks of this change, over those of the interface; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// How hooks run.
    #[command(flatten)]
    pub time: HookTime,
    /// Show what each hook changes
    #[arg(long)]
    pub diff: bool,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Link {
    /// Plugged in
    Up,
    /// Pulled
    Down,
}

/// Plugs memory.
#[derive(Args, Clone, Debug)]
pub struct VmMemoryPlug {
    /// The VM.
    #[command(flatten)]
    pub change: VmChange,
    /// XML of the memory device, or VDSM's <hotplug> around it; - for standard input
    #[arg(long, value_name = "FILE|-", required_unless_present = "size", conflicts_with = "size")]
    pub xml: Option<Place>,
    /// Size of a memory module, such as 512MiB
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    pub size: Option<u64>,
    /// NUMA node of the guest that the module belongs to
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "xml")]
    pub node: u32,
    /// How hooks run.
    #[command(flatten)]
    pub time: HookTime,
    /// Show what each hook changes
    #[arg(long)]
    pub diff: bool,
}

fn mebibytes(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => Ok(bytes >> 20),
        _ => Err("give whole MiB, such as 512MiB".to_owned()),
    }
}

/// Changes the number of CPUs.
#[derive(Args, Clone, Debug)]
pub struct VmSetCpus {
    /// The VM.
    #[command(flatten)]
    pub change: VmChange,
    /// How many CPUs it is to have. Fewer than now need the guest's consent, and cannot be had under emulation (without KVM): QEMU never finishes that, and this was not tested
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// How hooks run.
    #[command(flatten)]
    pub time: HookTime,
}

/// Sets the password of a console.
#[derive(Args, Clone, Debug)]
pub struct VmSetTicket {
    /// The VM.
    #[command(flatten)]
    pub change: VmChange,
    /// Where the password is read from, one line; - for standard input. It is never taken from the command line, which every process can read
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub ticket: Place,
    /// Which console, where the VM has more than one
    #[arg(long, value_enum, value_name = "KIND")]
    pub graphics: Option<Console>,
    /// How long the password is good from now on, such as 2m; for ever where not given
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub valid: Option<Duration>,
    /// What becomes of a client that is connected
    #[arg(long, value_enum, value_name = "ACTION")]
    pub connected: Option<Connected>,
    /// Parameter for the hooks; may be repeated
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    pub parameter: Vec<Property>,
    /// How hooks run.
    #[command(flatten)]
    pub time: HookTime,
}

/// A kind of console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Console {
    /// VNC
    Vnc,
    /// SPICE
    Spice,
}

/// What becomes of a client that is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Connected {
    /// It stays
    Keep,
    /// It is thrown out; SPICE only
    Disconnect,
    /// The password is not changed then
    Fail,
}
