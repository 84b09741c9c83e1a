// SPDX-License-Identifier: Apache-2.0
//! How long many VMs take with so many clients at once, and whether all went right.

use super::bed::Bed;
use crate::error::BenchError;
use crate::round::Dice;
use crate::stats::Spread;
use crate::table::{Table, ratio, time};
use virt_hooks_testhost::load::{self, Faults, HOOKS, Notes, POINTS, Vm};

/// Clients at once that make the curve; all VMs at once comes as the last.
const CLIENTS: [usize; 3] = [1, 2, 4];

/// What was found.
pub(super) struct Curve {
    vms: usize,
    clients: Vec<usize>,
    /// `rounds[r][c]`: nanoseconds for all VMs with `clients[c]`.
    rounds: Vec<Vec<f64>>,
    /// KiB of the agent: after the lives that are not timed, then after each time all VMs had theirs.
    memory: Vec<u64>,
    lives: usize,
    faults: Faults,
    overlapping: usize,
}

impl Curve {
    /// Leads all VMs through their lives, in each round once with each number of clients, in shuffled order.
    pub(super) fn measure(
        bed: &mut Bed,
        count: usize,
        rounds: usize,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, BenchError> {
        let vms: Vec<Vm> = (1..=count).map(|number| bed.vm(number)).collect();
        let clients: Vec<usize> = CLIENTS.into_iter().chain([count]).collect();
        bed.install_hooks()?;
        bed.start_agent()?;
        let socket = bed.socket();
        progress(&format!("{count} VMs at once, not timed"));
        // For the caches, and for what memory the most threads there will be take once.
        load::lead(&socket, &vms, count)?;
        let mut dice = Dice::new();
        let mut memory = vec![bed.agent_memory()?];
        let mut all = Vec::new();
        for round in 1..=rounds {
            let mut times = vec![0.0; clients.len()];
            for index in dice.shuffled(clients.len()) {
                progress(&format!("round {round} of {rounds}: {count} VMs, {} clients", clients[index]));
                times[index] = load::lead(&socket, &vms, clients[index])?.as_nanos() as f64;
                memory.push(bed.agent_memory()?);
            }
            all.push(times);
        }
        bed.stop_agent()?;
        let path = bed.notes();
        let notes = Notes::read(&path).map_err(BenchError::file("read", &path))?;
        let lives = 1 + rounds * clients.len();
        let faults = notes.faults(&vms, lives);
        let overlapping = notes.overlapping_operations(&vms);
        Ok(Self { vms: count, clients, rounds: all, memory, lives, faults, overlapping })
    }

    /// What went wrong.
    pub(super) fn faults(&self) -> Faults {
        self.faults
    }

    /// The curve.
    pub(super) fn times(&self) -> Table {
        let title = format!(
            "{} VMs through the agent: start, pause, cont, destroy, {} sh hooks at each of {} points",
            self.vms,
            HOOKS.len(),
            POINTS.len()
        );
        let mut table =
            Table::new(title, ["clients at once", "wall time", "a VM's share", "times one client"]);
        for (index, clients) in self.clients.iter().enumerate() {
            let times: Vec<f64> = self.rounds.iter().map(|round| round[index]).collect();
            let to_one = Spread::of(self.rounds.iter().map(|round| round[index] / round[0]).collect());
            let median = Spread::of(times).map_or(f64::NAN, |s| s.median);
            table.row([
                clients.to_string(),
                format!("{:.1} s", median / 1e9),
                time(median / self.vms as f64),
                ratio(to_one),
            ]);
        }
        table
    }

    /// What must be none, and what must not grow.
    pub(super) fn soundness(&self) -> Table {
        let mut table = Table::new("What came of it", ["what", "measured", "bar", ""]);
        let lives = self.lives * self.vms;
        let hooks = lives * POINTS.len() * HOOKS.len();
        let none = |what: &str, count: usize| {
            let met = if count == 0 { "met" } else { "NOT met" };
            [what.to_owned(), count.to_string(), "0".to_owned(), met.to_owned()]
        };
        table.row([
            "lives of VMs, hooks that had to run".to_owned(),
            format!("{lives}, {hooks}"),
            String::new(),
            String::new(),
        ]);
        table.row(none("hooks that did not run", self.faults.lost));
        table.row(none("hooks that ran once too often", self.faults.repeated));
        table.row(none("VMs whose hooks ran in a wrong order", self.faults.disordered));
        table.row([
            "operations between whose first and last hook one of another VM ran".to_owned(),
            format!("{} of {}", self.overlapping, lives * POINTS.len() / 2),
            "at least 1".to_owned(),
            if self.overlapping > 0 { "met" } else { "NOT met" }.to_owned(),
        ]);
        let mib: Vec<String> = self.memory.iter().map(|kib| format!("{:.1}", *kib as f64 / 1024.0)).collect();
        let (first, last) = (self.memory.first(), self.memory.last());
        let growth = first.zip(last).map_or(f64::NAN, |(first, last)| *last as f64 / *first as f64);
        table.row([
            format!("MiB of the agent in RAM, after each {} lives", self.vms),
            format!("{}; last / first {growth:.2}x", mib.join(", ")),
            "1.10x".to_owned(),
            if growth <= 1.10 { "met" } else { "NOT met" }.to_owned(),
        ]);
        table
    }
}
