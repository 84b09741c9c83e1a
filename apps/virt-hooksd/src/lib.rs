// SPDX-License-Identifier: Apache-2.0
//! `virt-hooksd`: the agent as a service.
//!
//! It looks after the VMs of one libvirt: what others do to them has its after-points, and operations can be
//! asked for over a Unix socket. The protocol is varlink; `virt_hooks_agent::protocol` says why. Each connection
//! has a thread, each VM a queue.
#![forbid(unsafe_code)]

mod access;
mod cli;
mod log;
mod operations;
mod requests;
mod server;
mod socket;

use clap::Parser;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use virt_hooks::{Environ, Failure, Interrupt, Streams};
use virt_hooks_agent::Agent;
use virt_hooks_contract::exit;
use virt_hooks_journal::Journal;

/// How long hooks have to end when the agent is stopped; the unit gives a little more.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// The grammar of the command line.
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}

/// Runs the agent until it is told to end, and gives its exit code.
///
/// # Errors
/// The command line or the configuration is wrong, or it cannot be started; with the exit code that fits.
pub fn run(environ: &Environ, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let cli = match cli::Cli::try_parse_from(environ.arguments()) {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => return Err(Failure::usage(e.to_string().trim_end().to_owned())),
        Err(e) => return streams.print(e.to_string().as_bytes()).map(|()| exit::command::PROCEED),
    };
    let mut host = cli.locations.host_with_warnings(environ, streams)?;
    let layers = host.layers();
    // Hooks are not whom the service manager talks to.
    host.settings.environment.retain(|(name, _)| !socket::is_of_service_manager(name));
    let stop = cli.stop_timeout.or(host.agent.stop_timeout).unwrap_or(STOP_TIMEOUT);
    let access = access::Access::new(cli.socket_group.as_deref().or(host.agent.socket_group.as_deref()))?;
    let uri = cli.connect.clone().or_else(|| host.agent.connect.clone());
    let path = cli.socket.clone().unwrap_or_else(|| host.agent_socket.clone());
    let mode = cli.socket_mode.as_deref().or(host.agent.socket_mode.as_deref());
    let mode = mode.map(socket::parse_mode).transpose()?;

    let interrupt = Interrupt::listen()?;
    let log = Arc::new(log::Log::new(Journal::new(&host.state_dir)));
    if let Err(error) = layers.check() {
        // VMs that run are to be looked after, whatever becomes of the hooks (C22). Operations wait for them.
        log.line(&format!("{error}: operations are refused until it is there"));
    }
    let agent = Agent::start(uri.as_deref(), host, Box::new(log::Chronicle(log.clone())))
        .map_err(|e| Failure::unusable(e.to_string()))?;
    // Only now: a second agent must not take the first one's socket.
    let listener = socket::Listener::open(environ, &path, mode, access.group())?;
    let server = server::Server::new(agent.clone(), access, layers, log.clone());
    socket::notify(environ, "READY=1");
    log.line(&format!("listening on {}", path.display()));
    server.serve(listener.socket(), interrupt.as_fd())?;
    socket::notify(environ, "STOPPING=1");
    // Nobody new gets in while what is under way comes to its end.
    drop(listener);
    if !server.stop(stop) {
        log.line(&format!("hooks still run after {stop:?}: they are left to the next start"));
    }
    agent.leave();
    Ok(exit::command::PROCEED)
}
