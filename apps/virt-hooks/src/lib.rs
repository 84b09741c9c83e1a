// SPDX-License-Identifier: Apache-2.0
//! The `virt-hooks` command: its grammar, its verbs, what it prints.
#![forbid(unsafe_code)]

pub mod cli;
mod failure;

pub use failure::Failure;

/// The grammar, from which man pages and completions are made.
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
