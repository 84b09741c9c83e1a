// SPDX-License-Identifier: Apache-2.0
//! `host`: the grammar. What needs libvirt is done by the executable of the `vm` verbs.

use super::Place;
use clap::{Args, Subcommand};
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
}

/// A question to a host.
#[derive(Args, Clone, Debug)]
pub struct HostAsk {
    /// Which libvirt to talk to
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
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
