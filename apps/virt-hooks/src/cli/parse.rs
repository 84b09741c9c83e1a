// SPDX-License-Identifier: Apache-2.0
//! From arguments to a command, and from the parser's errors to ours.

use super::Cli;
use crate::failure::Failure;
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;

/// What a command line asks for.
#[derive(Debug)]
pub enum Parsed<C = Cli> {
    /// A command to run.
    Run(Box<C>),
    /// A text to print: help, or the version.
    Print(String),
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// It is not in the grammar: one line, with the option probably meant.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    parse_as(arguments)
}

/// As [`parse`], for an executable with a grammar of its own.
///
/// # Errors
/// As [`parse`].
pub fn parse_as<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed<C>, Failure> {
    match C::try_parse_from(arguments) {
        Ok(cli) => Ok(Parsed::Run(Box::new(cli))),
        Err(e) => match e.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Print(format!("{}\n", e.to_string().trim_end())))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err(Failure::usage("no command given: \"virt-hooks --help\" lists them"))
            }
            _ => Err(Failure::usage(one_line(&e.to_string()))),
        },
    }
}

/// The parser writes a message, tips and a usage in paragraphs; the first two are what helps.
fn one_line(text: &str) -> String {
    let said = text.strip_prefix("error: ").unwrap_or(text);
    let said = said.split("\n\nUsage:").next().unwrap_or(said);
    let said = said.split("\n\nFor more information").next().unwrap_or(said);
    said.split("\n\n")
        .map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("; ")
}
