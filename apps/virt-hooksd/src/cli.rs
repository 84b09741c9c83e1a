// SPDX-License-Identifier: Apache-2.0
//! The grammar of the command line.

use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks::cli::Locations;
use virt_hooks_contract::parse_duration;

/// Looks after the virtual machines of a libvirt, and runs their hooks.
#[derive(Clone, Debug, Parser)]
#[command(name = "virt-hooksd", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Which libvirt to serve [config: agent.connect]
    #[arg(long, value_name = "URI")]
    pub(crate) connect: Option<String>,
    /// Where to listen, where no service manager hands a socket over [config: agent.socket] [env: VIRT_HOOKS_AGENT_SOCKET]
    #[arg(long, value_name = "FILE")]
    pub(crate) socket: Option<PathBuf>,
    /// Mode of the socket; 0600, or 0660 where there is a group [config: agent.socket_mode]
    #[arg(long, value_name = "MODE")]
    pub(crate) socket_mode: Option<String>,
    /// Group whose members may use the socket, beside root [config: agent.socket_group]
    #[arg(long, value_name = "GROUP")]
    pub(crate) socket_group: Option<String>,
    /// How long hooks have to end when the agent is stopped [config: agent.stop_timeout]
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub(crate) stop_timeout: Option<Duration>,
    /// Where things lie.
    #[command(flatten)]
    pub(crate) locations: Locations,
}
