// SPDX-License-Identifier: Apache-2.0
//! How an operation goes, as messages: from the process that does it to the one that shows it.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks_contract::{Failure, Point, Report, RunRecord};
use virt_hooks_engine::Watch;
use virt_hooks_engine::{Hook, Observer, Outcome, Run};

/// One thing that happened. Times are in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Progress {
    /// A hook point is about to be fired.
    Event {
        /// Its name.
        point: String,
        /// The device it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// A hook starts.
    HookStarted {
        /// Its file.
        hook: PathBuf,
    },
    /// A hook still runs.
    HookRunning {
        /// Its file.
        hook: PathBuf,
        /// Since its start.
        elapsed_ms: f64,
    },
    /// A hook ended.
    HookFinished {
        /// How.
        run: Box<RunRecord>,
    },
    /// An event is over.
    Outcome {
        /// Its record.
        report: Box<Report>,
        /// Whether a failure stops the operation.
        vetoes: bool,
        /// What kept hooks from running.
        #[serde(skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
        /// What packages say against values of properties.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        objections: Vec<String>,
    },
    /// A step other than hooks begins.
    Step {
        /// Such as `start VM web1`.
        what: String,
    },
    /// It goes on.
    StepRunning {
        /// Since its begin.
        elapsed_ms: f64,
    },
    /// It is over.
    StepDone {},
    /// All is prepared here for what another host does next.
    Ready {},
    /// Something is not as it should be.
    Warning {
        /// One line.
        text: String,
    },
}

impl Progress {
    /// Tells it on.
    pub fn tell(self, watch: &mut dyn Watch) {
        match self {
            Self::Event { point, device } => watch.event(&Point::unknown(&point), device.as_deref()),
            Self::HookStarted { hook } => watch.started(&Hook::told(hook)),
            Self::HookRunning { hook, elapsed_ms } => watch.running(&Hook::told(hook), duration(elapsed_ms)),
            Self::HookFinished { run } => watch.finished(&Run::from(*run)),
            Self::Outcome { report, vetoes, trouble, objections } => {
                let failure = if vetoes { Failure::Veto } else { Failure::Advisory };
                watch.outcome(&Outcome::told(*report, failure, trouble, objections));
            }
            Self::Step { what } => watch.step(&what),
            Self::StepRunning { elapsed_ms } => watch.step_running(duration(elapsed_ms)),
            Self::StepDone {} => watch.step_done(),
            Self::Ready {} => watch.ready(),
            Self::Warning { text } => watch.warning(&text),
        }
    }
}

fn duration(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1e3
}

/// Makes messages of what an operation tells.
pub struct Teller<F> {
    send: F,
    with_diff: bool,
}

impl<F: FnMut(Progress)> Teller<F> {
    /// Gives each message to `send`.
    pub fn new(with_diff: bool, send: F) -> Self {
        Self { send, with_diff }
    }
}

impl<F: FnMut(Progress)> Observer for Teller<F> {
    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn started(&mut self, hook: &Hook) {
        (self.send)(Progress::HookStarted { hook: hook.path.clone() });
    }

    fn running(&mut self, hook: &Hook, elapsed: Duration) {
        (self.send)(Progress::HookRunning { hook: hook.path.clone(), elapsed_ms: milliseconds(elapsed) });
    }

    fn finished(&mut self, run: &Run) {
        (self.send)(Progress::HookFinished { run: Box::new(run.record(self.with_diff)) });
    }
}

impl<F: FnMut(Progress)> Watch for Teller<F> {
    fn event(&mut self, point: &Point, device: Option<&str>) {
        (self.send)(Progress::Event { point: point.name.to_string(), device: device.map(str::to_owned) });
    }

    fn outcome(&mut self, outcome: &Outcome) {
        (self.send)(Progress::Outcome {
            report: Box::new(outcome.report(false)),
            vetoes: outcome.failure() == Failure::Veto,
            trouble: outcome.trouble.as_ref().map(virt_hooks_engine::Trouble::line),
            objections: outcome.objections.clone(),
        });
    }

    fn step(&mut self, what: &str) {
        (self.send)(Progress::Step { what: what.to_owned() });
    }

    fn step_running(&mut self, elapsed: Duration) {
        (self.send)(Progress::StepRunning { elapsed_ms: milliseconds(elapsed) });
    }

    fn step_done(&mut self) {
        (self.send)(Progress::StepDone {});
    }

    fn ready(&mut self) {
        (self.send)(Progress::Ready {});
    }

    fn warning(&mut self, text: &str) {
        (self.send)(Progress::Warning { text: text.to_owned() });
    }
}
