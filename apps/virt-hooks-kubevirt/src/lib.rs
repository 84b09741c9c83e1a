// SPDX-License-Identifier: Apache-2.0
//! The driver for KubeVirt: a hook sidecar and a plugin server.
//!
//! # Theory of operation
//!
//! Three layers. [`wire`] has one module per family of services and turns messages into plain values. [`serve`]
//! owns sockets, connections and the order of calls: one call at a time for each VM, a bound for all, a deadline
//! for each. [`core`] does the work: it is synchronous, knows no protocol, and fires the engine's points.
//!
//! A hook that hangs, dies or talks nonsense is a status for whoever asked; this process goes on. It ends when it
//! is told to: `Shutdown` of the sidecar's protocol, or TERM.
#![forbid(unsafe_code)]

pub mod cli;
pub mod core;
pub mod deploy;
pub mod log;
mod manifests;
pub mod serve;
mod servers;
pub mod wire;

use cli::{Cli, Command};
use std::io::Write;
use virt_hooks::cli::{Parsed, parse_as};
use virt_hooks::{Environ, Failure};
use virt_hooks_contract::exit;

/// Runs the command and says how it ended: an exit code.
pub fn run(environ: &Environ) -> u8 {
    let done = match parse_as::<Cli>(environ.arguments().iter().cloned()) {
        Ok(Parsed::Print(text)) => std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|e| Failure::unusable(format!("write to standard output: {e}"))),
        Ok(Parsed::Run(cli)) => match &cli.command {
            Command::Sidecar(sidecar) => servers::sidecar(sidecar, &cli.locations, environ),
            Command::Plugin(plugin) => servers::plugin(plugin, &cli.locations, environ),
            Command::Manifests(asked) => manifests::print(asked, &cli.locations, environ),
        },
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => exit::command::PROCEED,
        Err(failure) => {
            log::say(&failure.message);
            failure.code
        }
    }
}

/// The grammar.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    /// Where they cannot be run either, which takes root.
    #[test]
    fn the_books_command_lines_are_in_the_grammar() {
        let book = include_str!("../../../docs/book/src/kubevirt.md");
        let lines: Vec<&str> = book.lines().filter(|l| l.starts_with("virt-hooks-kubevirt ")).collect();
        assert!(lines.len() >= 3, "{lines:?}");
        for line in lines {
            let words = line.split_whitespace().take_while(|w| !matches!(*w, "|" | ">" | "#"));
            if let Err(error) = super::command().try_get_matches_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        super::command().debug_assert();
    }
}
