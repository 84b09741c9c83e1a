// SPDX-License-Identifier: Apache-2.0
//! From arguments to a command, and from the parser's errors to ours.

use super::{Cli, Command, Fire, Locations};
use crate::failure::Failure;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::mem::ManuallyDrop;

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
pub fn parse(arguments: &[OsString]) -> Result<Parsed, Failure> {
    match quickly(arguments) {
        Some(cli) => Ok(Parsed::Run(Box::new(cli))),
        None => parse_as(arguments.iter().cloned()),
    }
}

/// The one verb that programs call for each event of a VM, with the grammar cut down to it.
#[derive(Parser)]
#[command(name = "virt-hooks", disable_help_flag = true, disable_help_subcommand = true)]
struct Frequent {
    #[command(flatten)]
    locations: Locations,
    #[command(subcommand)]
    command: FrequentCommand,
}

#[derive(Subcommand)]
enum FrequentCommand {
    Fire(Box<Fire>),
}

/// Reads a command line that fires an event. To put all verbs together costs more than to read the payload, so
/// only this one is; whatever it does not understand is left to the whole grammar, which has the words for it.
fn quickly(arguments: &[OsString]) -> Option<Cli> {
    if !arguments.iter().any(|a| a == "fire") {
        return None;
    }
    // It lives as long as the process: taking it apart costs as much as half the reading.
    let mut grammar = ManuallyDrop::new(<Frequent as clap::CommandFactory>::command());
    let mut found = grammar.try_get_matches_from_mut(arguments).ok()?;
    let read = <Frequent as clap::FromArgMatches>::from_arg_matches_mut(&mut found).ok()?;
    let FrequentCommand::Fire(fire) = read.command;
    Some(Cli { locations: read.locations, command: Command::Fire(fire) })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("virt-hooks").chain(line.split(' ')).map(OsString::from).collect()
    }

    /// Whatever the short way understands, the whole grammar understands in the same way.
    #[test]
    fn the_short_way_and_the_whole_grammar_agree() {
        let lines = [
            "fire before_vm_start",
            "fire",
            "--run-dir /r fire before_vm_start --state-dir /s",
            "fire --hooks-dir /a before_vm_start --hooks-dir /b",
            "fire before_vm_start --payload - --vm-id 13070562-2ee7-4092-a746-7975ff5b3993 -p a=b -p c=--help",
            "fire before_vm_start -p a",
            "fire before_vm_start --root /x",
            "fire before_vm_start --root /x --hooks-dir /y",
            "--hooks-dir /y --root /x fire before_vm_start",
            "fire before_vm_start --help",
            "fire -h",
            "fire --version",
            "--version fire",
            "fire before_vm_start --dry-run --diff --format json --timeout 3s",
            "fire before_vm_start --timeout soon",
            "fire before_vm_start --kind xml --on-failure proceed --check none",
            "fire before_vm_start --no-such",
            "fire before_vm_start more",
            "fire fire",
            "points fire",
            "history --point fire",
            "help fire",
            "-- fire before_vm_start",
            "fire -- before_vm_start",
            "--config",
            "--config fire",
            "--config fire points",
            "--config fire fire after_vm_start",
            "frie before_vm_start",
        ];
        let mut understood = 0;
        for line in lines {
            let line = words(line);
            let Some(short) = quickly(&line) else { continue };
            understood += 1;
            let whole =
                Cli::try_parse_from(&line).unwrap_or_else(|e| panic!("{line:?} only the short way: {e}"));
            assert_eq!(format!("{short:?}"), format!("{whole:?}"), "{line:?}");
        }
        assert!(understood >= 9, "the short way understood {understood}");
    }

    #[test]
    fn what_the_short_way_leaves_has_the_words_of_the_whole_grammar() {
        for line in ["fire before_vm_start --help", "fire -h", "--version fire"] {
            assert!(matches!(parse(&words(line)), Ok(Parsed::Print(_))), "{line}");
        }
        let told = parse(&words("fire before_vm_start --payloda x")).unwrap_err();
        assert!(told.message.contains("--payload"), "{}", told.message);
    }
}
