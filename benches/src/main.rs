// SPDX-License-Identifier: Apache-2.0
//! Measures the engine and the command side by side with loops in C that do the same, and with `run-parts`.
//!
//! What is compared runs in worker processes, all alive at once; in each round every one of them gets one
//! short slice, in shuffled order, and ratios are taken between slices of one round. `docs/performance.md`
//! says what that is good for and what to distrust; `--markdown` rewrites the figures there.
//!
//! `load` is apart: it measures the agent with many real VMs at once.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a program that reports figures to people"
)]

mod bundled;
mod campaign;
mod command;
mod document;
mod edits;
mod error;
mod load;
mod machine;
mod participant;
mod report;
mod round;
mod stage;
mod stats;
mod table;
mod worker;

use campaign::{Campaign, Scope};
use error::BenchError;
use machine::{Machine, Shield};
use round::Dice;
use stage::Stage;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

struct Options {
    quick: bool,
    shield: bool,
    cli: bool,
    program: Option<PathBuf>,
    markdown: Option<PathBuf>,
    rounds: Option<usize>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BenchError> {
        let mut options =
            Self { quick: false, shield: true, cli: true, program: None, markdown: None, rounds: None };
        let mut next = arguments.next();
        while let Some(argument) = next {
            next = arguments.next();
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--no-shield" => options.shield = false,
                "--no-cli" => options.cli = false,
                "--rounds" => {
                    let number = next.take().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                    next = arguments.next();
                    if number.is_none() {
                        return Err(BenchError::Usage("--rounds takes a number from 1 on".into()));
                    }
                    options.rounds = number;
                }
                "--cli" => {
                    options.program = next.take().map(PathBuf::from);
                    next = arguments.next();
                    if options.program.is_none() {
                        return Err(BenchError::Usage("--cli takes a program".into()));
                    }
                }
                "--markdown" => {
                    let file = next.take_if(|n| !n.starts_with("--")).map(PathBuf::from);
                    if file.is_some() {
                        next = arguments.next();
                    }
                    options.markdown = Some(file.unwrap_or_else(document::default_path));
                }
                other => return Err(BenchError::Usage(format!("unknown argument \"{other}\""))),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("worker") => {
            let mut number = || arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            worker::serve(number(), number())
        }
        Some("all") => Options::parse(arguments).and_then(|options| all(&options)),
        Some("bundled") if arguments.next().is_none() => bundled(),
        Some("load") => Options::parse(arguments).and_then(|options| load(&options)),
        other => Err(BenchError::Usage(format!("no such measurement: {}", other.unwrap_or("(none)")))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("virt-hooks-bench: {}", e.line());
            ExitCode::FAILURE
        }
    }
}

fn load(options: &Options) -> Result<(), BenchError> {
    if !options.shield || !options.cli || options.program.is_some() {
        return Err(BenchError::Usage("load takes --quick, --rounds and --markdown only".into()));
    }
    let started = Instant::now();
    let mut progress = |what: &str| eprintln!("[{:4.0} s] {what}", started.elapsed().as_secs_f64());
    load::measure(options.quick, options.rounds, options.markdown.as_deref(), &mut progress)
}

/// The table of the bundled hooks alone, as `docs/performance.md` has it.
fn bundled() -> Result<(), BenchError> {
    println!("{}", bundled::table(&Stage::set()?)?.markdown());
    Ok(())
}

fn all(options: &Options) -> Result<(), BenchError> {
    if options.rounds.is_some() {
        return Err(BenchError::Usage("--rounds is for load".into()));
    }
    let started = Instant::now();
    let mut progress = |what: &str| eprintln!("[{:4.0} s] {what}", started.elapsed().as_secs_f64());
    progress("compiling the loops in C and the command");
    let stage = Stage::set()?;
    let cli = match options.cli {
        true => command::find(&stage, options.program.as_deref()),
        false => Err("left out, as asked for with --no-cli".into()),
    };
    let shield = if options.shield { Shield::raise() } else { Shield::default() };
    let scope = if options.quick { &Scope::QUICK } else { &Scope::ALL };
    progress("three edits of a domain");
    let edits = edits::measure()?;
    let campaign =
        Campaign { stage: &stage, shield: &shield, scope, dice: Dice::new(), progress: &mut progress };
    let findings = campaign.run(cli)?;
    let mut tables = report::tables(&findings, &edits);
    progress("bundled hooks");
    match bundled::table(&stage) {
        Ok(table) => tables.push(table),
        Err(why) => progress(&format!("bundled hooks are not measured: {}", why.line())),
    }
    let head = document::head(&Machine::look(), &shield, stage.libc, options.quick);
    println!("\n{head}\n");
    for table in &tables {
        println!("{}", table.text());
    }
    if let Some(path) = &options.markdown {
        document::write(path, &document::FIGURES, &head, &tables)?;
    }
    progress("done");
    Ok(())
}
