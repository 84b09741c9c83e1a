// SPDX-License-Identifier: Apache-2.0
//! `virt-hooks vm start` without hooks, against `virsh start` of the same defined VM.

use super::bed::Bed;
use crate::error::BenchError;
use crate::stats::Spread;
use crate::table::{NONE, Table, ratio, time};
use std::time::Instant;

/// What was found: nanoseconds of `virsh` and of the command, in pairs.
pub(super) struct Starts {
    alone: Vec<[f64; 2]>,
    through_agent: Vec<[f64; 2]>,
}

impl Starts {
    /// Starts a VM by turns, so many times each way. Leaves no agent.
    pub(super) fn measure(
        bed: &mut Bed,
        pairs: usize,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, BenchError> {
        bed.define(&bed.vm(1))?;
        progress(&format!("{pairs} pairs of starts, in process"));
        let alone = take(bed, pairs)?;
        bed.start_agent()?;
        progress(&format!("{pairs} pairs of starts, through the agent"));
        let through_agent = take(bed, pairs)?;
        bed.stop_agent()?;
        bed.virsh(&["undefine", VM])?;
        Ok(Self { alone, through_agent })
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(
            "Start of a defined VM without hooks, the whole command",
            ["", "virsh start", "virt-hooks vm start", "virt-hooks / virsh"],
        );
        for (what, pairs) in [("in process", &self.alone), ("through the agent", &self.through_agent)] {
            let shown = |which: usize| {
                let times = pairs.iter().map(|pair| pair[which]).collect();
                Spread::of(times).map_or(NONE.to_owned(), |s| time(s.median))
            };
            let against = Spread::of(pairs.iter().map(|[virsh, ours]| ours / virsh).collect());
            table.row([what.to_owned(), shown(0), shown(1), ratio(against)]);
        }
        table
    }
}

/// As the bed names the first one.
const VM: &str = "vm1";

fn take(bed: &Bed, pairs: usize) -> Result<Vec<[f64; 2]>, BenchError> {
    let one = |ours: bool| -> Result<f64, BenchError> {
        let begun = Instant::now();
        if ours {
            bed.virt_hooks(&["vm", "start", VM])?;
        } else {
            bed.virsh(&["start", VM])?;
        }
        let took = begun.elapsed().as_nanos() as f64;
        if ours {
            bed.virt_hooks(&["vm", "destroy", VM])?;
        } else {
            bed.virsh(&["destroy", VM])?;
        }
        Ok(took)
    };
    // The first of each is for the caches.
    one(false)?;
    one(true)?;
    let mut all = Vec::new();
    for pair in 0..pairs {
        // Neither is always the one that comes after a destroy of its own kind.
        let second_first = pair % 2 == 1;
        let first = one(second_first)?;
        let second = one(!second_first)?;
        all.push(if second_first { [second, first] } else { [first, second] });
    }
    Ok(all)
}
