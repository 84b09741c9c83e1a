// SPDX-License-Identifier: Apache-2.0
//! `host`: the grammar. What needs libvirt is done by the executable of the `vm` verbs.

use super::{Place, Whom};
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;
use virt_hooks_contract::parse_duration;

/// Asks a host what it has and does.
#[derive(Args, Clone, Debug)]
pub struct Host {
    /// What to do.
    #[command(subcommand)]
    pub command: HostCommand,
}

/// A verb of `host`.
#[derive(Clone, Debug, Subcommand)]
pub enum HostCommand {
    /// Show what the host can do, in JSON with VDSM's names, the installed hooks among it
    Caps(HostAsk),
    /// Show how busy the host is, in JSON with VDSM's names
    Stats(HostStats),
    /// Show the devices of the host, in JSON with VDSM's names
    Devices(HostAsk),
    /// Set up networks of the host, hooks included; what fails is rolled back
    SetupNetworks(HostSetupNetworks),
}

/// A question to a host.
#[derive(Args, Clone, Debug)]
pub struct HostAsk {
    /// Whom to ask.
    #[command(flatten)]
    pub whom: Whom,
    /// Where the report goes, in JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<Place>,
}

/// Shows statistics of a host.
#[derive(Args, Clone, Debug)]
pub struct HostStats {
    /// Whom to ask.
    #[command(flatten)]
    pub ask: HostAsk,
    /// Over which time the load of the processors is averaged
    #[arg(long, value_name = "DUR", value_parser = parse_duration, default_value = "1s")]
    pub interval: Duration,
    /// Average it over the time since boot, without a wait
    #[arg(long, conflicts_with = "interval")]
    pub since_boot: bool,
}

/// Sets up networks of a host.
#[derive(Args, Clone, Debug)]
pub struct HostSetupNetworks {
    /// The request in VDSM's shape: an object with networks, bondings and options; - for standard input
    #[arg(value_name = "FILE|-")]
    pub request: Place,
    /// What changes the host's devices
    #[arg(long, value_enum, default_value_t)]
    pub backend: Backend,
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

/// What changes the host's devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// nmstate where it is installed and NetworkManager runs, else ip
    #[default]
    Auto,
    /// nmstatectl: stays after the next boot
    Nmstate,
    /// The ip command: until the next boot
    Ip,
}
