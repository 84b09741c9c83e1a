// SPDX-License-Identifier: Apache-2.0
//! What people see of an operation.

use crate::render::{self, Chain};
use crate::streams::Look;
use std::io::Write;
use std::time::{Duration, Instant};
use virt_hooks_contract::{Failure, Point};
use virt_hooks_engine::{Hook, Observer, Outcome, Run, Watch};

/// How long a step may take before its watcher hears that it goes on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes to standard error what happens as it happens.
pub struct Screen {
    look: Look,
    with_diffs: bool,
    chain: Chain<'static>,
    step: Option<Instant>,
    /// What was last said of how long the step takes already.
    said: Duration,
}

impl Screen {
    /// Says it as `look` allows; with what each hook changes where asked for.
    pub fn new(look: Look, with_diffs: bool) -> Self {
        Self { look, with_diffs, chain: chain("", look, with_diffs), step: None, said: Duration::ZERO }
    }

    fn say(text: &str) {
        // What happens is more important than who watches it.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

fn chain(heading: &str, look: Look, with_diffs: bool) -> Chain<'static> {
    Chain::new(heading, Box::new(std::io::stderr()), look).with_diffs(with_diffs)
}

impl Watch for Screen {
    fn event(&mut self, point: &Point, device: Option<&str>) {
        let heading = match device {
            Some(device) => format!("{}: {}", point.name, render::printable(device)),
            None => point.name.to_string(),
        };
        self.chain = chain(&heading, self.look, self.with_diffs);
    }

    fn outcome(&mut self, outcome: &Outcome) {
        // Most points have no hooks: not worth a line.
        if !outcome.runs.is_empty() || outcome.trouble.is_some() || !outcome.skipped.is_empty() {
            Self::say(&render::verdict(outcome, self.look));
        }
        // The trouble of a veto is in the error of the operation.
        if let (Some(trouble), Failure::Advisory) = (&outcome.trouble, outcome.failure()) {
            self.warning(&format!("{}: {}", outcome.point, trouble.line()));
        }
    }

    fn step(&mut self, what: &str) {
        self.step = Some(Instant::now());
        self.said = Duration::ZERO;
        Self::say(&format!("{} ... ", render::printable(what)));
    }

    fn step_running(&mut self, elapsed: Duration) {
        // Twice as long each time, at least: a wait of half a minute is worth a handful of words.
        if elapsed >= PATIENCE && elapsed >= self.said * 2 {
            self.said = elapsed;
            Self::say(&format!("{} s ... ", elapsed.as_secs()));
        }
    }

    fn step_done(&mut self) {
        if let Some(since) = self.step.take() {
            Self::say(&format!("{:.1} ms\n", since.elapsed().as_secs_f64() * 1e3));
        }
    }

    fn warning(&mut self, what: &str) {
        let warning = render::paint("warning", render::Style::Odd, self.look);
        Self::say(&format!("{warning}: {}\n", render::printable(what)));
    }
}

impl Observer for Screen {
    fn every(&self) -> Option<Duration> {
        self.chain.every()
    }

    fn started(&mut self, hook: &Hook) {
        self.chain.started(hook);
    }

    fn running(&mut self, hook: &Hook, elapsed: Duration) {
        self.chain.running(hook, elapsed);
    }

    fn finished(&mut self, run: &Run) {
        self.chain.finished(run);
    }
}
