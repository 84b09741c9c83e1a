// SPDX-License-Identifier: Apache-2.0
//! The agent under load, and what the start of a VM costs beside `virsh`: real VMs on a throw-away host.

mod bed;
mod curve;
mod starts;

use crate::command;
use crate::document::{self, LOAD};
use crate::error::BenchError;
use crate::machine::Machine;
use bed::Bed;
use curve::Curve;
use starts::Starts;
use std::path::{Path, PathBuf};
use virt_hooks_testhost::load::Faults;

/// How much is measured.
struct Scope {
    vms: usize,
    /// Lives of each VM with each number of clients.
    rounds: usize,
    /// Starts that are compared, each way.
    pairs: usize,
}

const ALL: Scope = Scope { vms: 50, rounds: 3, pairs: 10 };
const QUICK: Scope = Scope { vms: 8, rounds: 2, pairs: 4 };

/// Measures, and prints what came of it.
///
/// # Errors
/// Something failed, or a hook point was lost or repeated: that is no figure to publish.
pub(crate) fn measure(
    quick: bool,
    rounds: Option<usize>,
    markdown: Option<&Path>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), BenchError> {
    if let Some(why) = bed::missing() {
        progress(&format!("load is not measured, skipped: {why}"));
        return Ok(());
    }
    let scope = if quick { &QUICK } else { &ALL };
    let rounds = rounds.unwrap_or(scope.rounds);
    progress("building the agent and the command");
    let programs = programs()?;
    progress("starting a libvirt daemon");
    let mut bed = Bed::raise(&programs)?;
    let starts = Starts::measure(&mut bed, scope.pairs, progress)?;
    let curve = Curve::measure(&mut bed, scope.vms, rounds, progress)?;
    let head = format!(
        "{}. {}; guests without KVM. To repeat: `cargo run --release -p virt-hooks-bench -- load{}`. In brackets: \
         10th to 90th percentile over the rounds.",
        Machine::look().describe(),
        bed.versions(),
        if quick { format!(" --quick --rounds {rounds}") } else { format!(" --rounds {rounds}") }
    );
    let tables = [curve.times(), curve.soundness(), starts.table()];
    println!("\n{head}\n");
    for table in &tables {
        println!("{}", table.text());
    }
    let faults = curve.faults();
    if faults != Faults::default() {
        return Err(BenchError::Unsound(format!(
            "{} hooks lost, {} repeated, {} VMs out of order",
            faults.lost, faults.repeated, faults.disordered
        )));
    }
    bed.strike()?;
    if let Some(path) = markdown {
        document::write(path, &LOAD, &head, &tables)?;
    }
    progress("done");
    Ok(())
}

/// The directory with the agent and both parts of the command, which find each other there.
fn programs() -> Result<PathBuf, BenchError> {
    let packages = ["virt-hooks", "virt-hooks-vm", "virt-hooksd"];
    let last = command::cargo_build(&packages.map(|package| ["--package", package]).concat())?;
    Ok(last.with_file_name(""))
}
