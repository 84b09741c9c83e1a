// SPDX-License-Identifier: Apache-2.0
//! The `vm` and `host` verbs of `virt-hooks`: the part that loads libvirt.
//!
//! `virt-hooks vm …` becomes this program, with the same arguments.
#![forbid(unsafe_code)]

mod agent;
mod apply;
mod devices;
mod inquiries;
mod request;
mod verbs;

use std::process::ExitCode;
use virt_hooks::cli::{self, Command, Parsed};
use virt_hooks::{Environ, Failure, Streams, conclude};
use virt_hooks_contract::exit;

fn main() -> ExitCode {
    let environ = Environ::of_process();
    let mut streams = Streams::of_process(&environ);
    let done = run(&environ, &mut streams);
    ExitCode::from(conclude(done, &mut streams))
}

fn run(environ: &Environ, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    // Asked itself, it is not the command whose grammar it has.
    if let [_, word] = environ.arguments()
        && (word == "--version" || word == "-V")
    {
        let version = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n");
        return streams.print(version.as_bytes()).map(|()| exit::command::PROCEED);
    }
    let cli = match cli::parse(environ.arguments())? {
        Parsed::Print(text) => return streams.print(text.as_bytes()).map(|()| exit::command::PROCEED),
        Parsed::Run(cli) => cli,
    };
    let host = cli.locations.host_with_warnings(environ, streams)?;
    match &cli.command {
        Command::Vm(vm) => verbs::run(&vm.command, host, streams),
        Command::Host(about) => match inquiries::of_host(&about.command) {
            Some(request) => verbs::operate(&request, host, streams),
            None => {
                Err(Failure::usage("virt-hooks-vm sets up no networks: use virt-hooks host setup-networks"))
            }
        },
        _ => Err(Failure::usage("virt-hooks-vm has the verbs that need libvirt only: use virt-hooks")),
    }
}
