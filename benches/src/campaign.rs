// SPDX-License-Identifier: Apache-2.0
//! What is measured, in which sizes.

use crate::error::BenchError;
use crate::machine::Shield;
use crate::participant::{Participant, Work};
use crate::round::{Dice, Effort, Rounds, measure};
use crate::stage::{Kind, Stage};
use std::time::Duration;

/// How much is measured.
pub(crate) struct Scope {
    hooks: &'static [usize],
    payloads: &'static [usize],
    sh_hooks: &'static [usize],
    sh_payloads: &'static [usize],
    /// For cells that are only shown.
    effort: Effort,
    /// For cells with a bar of their own.
    careful: Effort,
}

impl Scope {
    /// Everything; under five minutes.
    pub(crate) const ALL: Self = Self {
        hooks: &[0, 1, 5, 20, 100],
        payloads: &[4 << 10, 64 << 10, 1 << 20, 16 << 20],
        sh_hooks: &[0, 1, 5, 20, 100],
        sh_payloads: &[4 << 10, 64 << 10, 1 << 20, 16 << 20],
        effort: Effort { rounds: 11, slice: Duration::from_millis(16) },
        careful: Effort { rounds: 25, slice: Duration::from_millis(16) },
    };
    /// The corners; under forty seconds.
    pub(crate) const QUICK: Self = Self {
        hooks: &[0, 1, 5, 20, 100],
        payloads: &[4 << 10, 64 << 10, 16 << 20],
        sh_hooks: &[1, 5],
        sh_payloads: &[4 << 10],
        effort: Effort { rounds: 5, slice: Duration::from_millis(12) },
        careful: Effort { rounds: 7, slice: Duration::from_millis(12) },
    };
}

/// Participants of a cell, in the order of its rounds.
pub(crate) const ENGINE: usize = 0;
pub(crate) const POSIX: usize = 1;
pub(crate) const VFORK: usize = 2;
pub(crate) const RUN_PARTS: usize = 3;

/// One kind and number of hooks with one payload.
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) hooks: usize,
    pub(crate) payload: usize,
    pub(crate) rounds: Rounds,
}

/// Everything that was measured.
pub(crate) struct Findings {
    pub(crate) cells: Vec<Cell>,
    /// An empty directory in one layer, none in the other.
    pub(crate) no_hooks: Rounds,
    /// Five static hooks; participants [`ENGINE`], [`POSIX`], and [`BIG_ENGINE`].
    pub(crate) big: Rounds,
    /// Three static hooks; participants: see [`crowd`].
    pub(crate) crowd: Rounds,
    /// The command; or why not.
    pub(crate) cli: Result<CliRounds, String>,
}

pub(crate) const BIG_ENGINE: usize = 2;
pub(crate) const CLI: usize = 0;
pub(crate) const CLI_LIMIT: usize = 1;

/// Whole processes.
pub(crate) struct CliRounds {
    /// By number of hooks: participants [`CLI`], [`CLI_LIMIT`], and those below.
    pub(crate) by_hooks: Vec<(usize, Rounds)>,
    pub(crate) run_parts: Option<usize>,
    /// The C program with another libc.
    pub(crate) other: Option<usize>,
}

/// Numbers of threads.
pub(crate) const CROWDS: [usize; 3] = [1, 8, 64];

/// The member of `Findings::crowd` for one of [`ENGINE`], [`POSIX`], [`VFORK`] and one of [`CROWDS`].
pub(crate) fn crowd(participant: usize, threads: usize) -> usize {
    participant * CROWDS.len() + CROWDS.iter().position(|&n| n == threads).unwrap_or(0)
}

/// The size of the process that is called big.
pub(crate) const BIG_MIB: usize = 1024;
/// Its threads that do nothing.
pub(crate) const BIG_IDLE: usize = 32;

/// Carries a campaign out.
pub(crate) struct Campaign<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) shield: &'a Shield,
    pub(crate) scope: &'a Scope,
    pub(crate) dice: Dice,
    /// Told what is going on.
    pub(crate) progress: &'a mut dyn FnMut(&str),
}

impl Campaign<'_> {
    /// Measures everything. `cli` is the command and its arguments.
    pub(crate) fn run(mut self, cli: Result<Vec<String>, String>) -> Result<Findings, BenchError> {
        let no_hooks = self.no_hooks()?;
        let mut cells = self.cells(Kind::Static, self.scope.hooks, self.scope.payloads)?;
        cells.extend(self.cells(Kind::Editing, &[1], self.scope.payloads)?);
        let big = self.big()?;
        let crowd = self.crowd()?;
        let cli = match cli {
            Ok(command) => Ok(self.cli(&command)?),
            Err(why) => Err(why),
        };
        cells.extend(self.cells(Kind::Sh, self.scope.sh_hooks, self.scope.sh_payloads)?);
        Ok(Findings { cells, no_hooks, big, crowd, cli })
    }

    fn engine(&self, shield: &[String], mib: usize, idle: usize) -> Result<Participant, BenchError> {
        let here = std::env::current_exe()
            .map_err(BenchError::file("find", std::path::Path::new("this program")))?;
        let arguments = ["worker".to_owned(), mib.to_string(), idle.to_string()];
        Participant::start("engine", shield, &here, &arguments, self.stage.run_dir())
    }

    fn limit(
        &self,
        name: &'static str,
        shield: &[String],
        arguments: &[&str],
    ) -> Result<Participant, BenchError> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        Participant::start(name, shield, &self.stage.limit, &arguments, self.stage.run_dir())
    }

    fn work(&self, kind: Kind, hooks: usize, payload: usize, threads: usize) -> Result<Work, BenchError> {
        Ok(Work { layers: self.stage.hooks(kind, hooks)?, payload: self.stage.payload(payload)?, threads })
    }

    fn cells(&mut self, kind: Kind, hooks: &[usize], payloads: &[usize]) -> Result<Vec<Cell>, BenchError> {
        let one = &self.shield.one;
        let mut participants = [
            self.engine(one, 0, 0)?,
            self.limit("posix_spawn loop", one, &["worker", "--spawn", "posix"])?,
            self.limit("vfork loop", one, &["worker", "--spawn", "vfork"])?,
            self.limit("run-parts", one, &["proc", "run-parts", "{hooks}/before_vm_start"])?,
        ];
        // It moves no payload: there is nothing to compare where hooks change one.
        let compared = if kind != Kind::Editing && has_run_parts() { 4 } else { 3 };
        let mut cells = Vec::new();
        for &payload in payloads {
            for &hooks in hooks {
                (self.progress)(&format!("{hooks} {} hooks, {} KiB", kind.name(), payload >> 10));
                let work = self.work(kind, hooks, payload, 1)?;
                let members: Vec<_> = (0..compared).map(|who| (who, work.clone())).collect();
                let careful = kind == Kind::Static && hooks > 0;
                let effort = if careful { self.scope.careful } else { self.scope.effort };
                let rounds = measure(&mut participants, &members, effort, &mut self.dice)?;
                cells.push(Cell { kind, hooks, payload, rounds });
            }
        }
        Ok(cells)
    }

    fn no_hooks(&mut self) -> Result<Rounds, BenchError> {
        (self.progress)("no hooks");
        let one = &self.shield.one;
        let mut participants = [self.engine(one, 0, 0)?, self.limit("posix_spawn loop", one, &["worker"])?];
        let mut work = self.work(Kind::Static, 0, 4 << 10, 1)?;
        work.layers.push_str(":/nonexistent");
        // What is remembered of a directory counts only once it is older than the clock's tick.
        let settled = Duration::from_millis(200);
        std::thread::sleep(settled);
        measure(&mut participants, &[(0, work.clone()), (1, work)], self.scope.careful, &mut self.dice)
    }

    fn big(&mut self) -> Result<Rounds, BenchError> {
        (self.progress)("a process of 1 GiB with 32 idle threads");
        let one = &self.shield.one;
        let mut participants = [
            self.engine(one, 0, 0)?,
            self.limit("posix_spawn loop", one, &["worker", "--spawn", "posix"])?,
            self.engine(one, BIG_MIB, BIG_IDLE)?,
        ];
        let work = self.work(Kind::Static, 5, 4 << 10, 1)?;
        let members: Vec<_> = (0..participants.len()).map(|who| (who, work.clone())).collect();
        measure(&mut participants, &members, self.scope.careful, &mut self.dice)
    }

    fn crowd(&mut self) -> Result<Rounds, BenchError> {
        (self.progress)("many events at once");
        let many = &self.shield.many;
        let mut participants = [
            self.engine(many, 0, 0)?,
            self.limit("posix_spawn loop", many, &["worker", "--spawn", "posix"])?,
            self.limit("vfork loop", many, &["worker", "--spawn", "vfork"])?,
        ];
        let mut members = Vec::new();
        for who in 0..participants.len() {
            for threads in CROWDS {
                members.push((who, self.work(Kind::Static, 3, 4 << 10, threads)?));
            }
        }
        // Long enough that 64 threads have a dozen events each.
        let effort = Effort { slice: self.scope.careful.slice * 8, ..self.scope.careful };
        measure(&mut participants, &members, effort, &mut self.dice)
    }

    fn cli(&mut self, command: &[String]) -> Result<CliRounds, BenchError> {
        let one = &self.shield.one;
        let limit = self.stage.limit_static.display().to_string();
        let command: Vec<&str> = ["proc"].into_iter().chain(command.iter().map(String::as_str)).collect();
        let mut participants = vec![
            self.limit("virt-hooks fire", one, &command)?,
            self.limit("limit once", one, &["proc", &limit, "once", "{hooks}", "before_vm_start"])?,
        ];
        let run_parts = has_run_parts().then_some(participants.len());
        if run_parts.is_some() {
            participants.push(self.limit(
                "run-parts",
                one,
                &["proc", "run-parts", "{hooks}/before_vm_start"],
            )?);
        }
        let other = self.stage.limit_other.as_ref().map(|_| participants.len());
        if let Some(other) = &self.stage.limit_other {
            let other = other.display().to_string();
            participants.push(self.limit(
                "limit once, other libc",
                one,
                &["proc", &other, "once", "{hooks}", "before_vm_start"],
            )?);
        }
        let mut by_hooks = Vec::new();
        for hooks in [0, 1, 5] {
            (self.progress)(&format!("the command, {hooks} hooks"));
            let work = self.work(Kind::Static, hooks, 12 << 10, 1)?;
            let members: Vec<_> = (0..participants.len()).map(|who| (who, work.clone())).collect();
            let rounds = measure(&mut participants, &members, self.scope.careful, &mut self.dice)?;
            by_hooks.push((hooks, rounds));
        }
        Ok(CliRounds { by_hooks, run_parts, other })
    }
}

/// Debian and its kin have it.
fn has_run_parts() -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("run-parts").is_file()))
}
