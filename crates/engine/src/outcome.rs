// SPDX-License-Identifier: Apache-2.0
//! What came of an event.

use crate::diff;
use crate::discover::{Hook, Skipped};
use crate::event::Document;
use crate::secrets::Secrets;
use sha2::{Digest, Sha256};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use virt_hooks_contract::{Failure, PayloadKind, Report, RunRecord, Verdict, exit, format_time, hexadecimal};
use virt_hooks_spawn::signal_name;

/// How much of one hook's standard error goes into an error text.
const QUOTED: usize = 2 << 10;
/// How long an error text may be.
const ERROR_TEXT: usize = 16 << 10;

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It could not be started; [`Run::problem`] says why.
    NotStarted,
    /// Nobody knows: another part of this process took its end, or it could not be killed.
    Lost,
}

/// One hook of an event.
#[derive(Clone, Debug)]
pub struct Run {
    /// The hook.
    pub hook: Hook,
    /// How it ended.
    pub ending: Ending,
    /// Whether it was ended because its deadline had passed.
    pub timed_out: bool,
    /// From start to end.
    pub duration: Duration,
    /// What it wrote to standard error: head and tail, secrets masked.
    pub stderr: String,
    /// What it wrote to standard output: head and tail, secrets masked.
    pub stdout: String,
    /// Whether it left processes of its group behind.
    pub left_background: bool,
    /// What the engine found wrong: not started, out of time, payload spoilt.
    pub problem: Option<String>,
    pub(crate) change: Option<Change>,
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: PayloadKind,
    pub(crate) before: Document,
    pub(crate) after: Document,
    pub(crate) secrets: Arc<Secrets>,
    /// The difference, where another process told it and the documents are not here.
    pub(crate) told: Option<Option<String>>,
}

impl Run {
    /// Whether it counts as failed.
    pub fn failed(&self) -> bool {
        self.ending != Ending::Exited(exit::hook::FINE) || self.problem.is_some()
    }

    /// Whether no further hook runs after it.
    pub(crate) fn stops(&self) -> bool {
        self.ending == Ending::Exited(exit::hook::STOP)
    }

    /// Whether it changed the payload.
    pub fn changed(&self) -> bool {
        self.change.is_some()
    }

    /// The payload before and after it; `None` where it changed nothing. With its secrets: not for eyes or records.
    pub fn documents(&self) -> Option<(&[u8], &[u8])> {
        self.change.as_ref().map(|c| (c.before.bytes(), c.after.bytes()))
    }

    /// What it changed, as a unified diff with secrets masked; `None` where it changed nothing. Made anew at
    /// each call.
    pub fn diff(&self) -> Option<String> {
        match self.change.as_ref()? {
            Change { told: Some(told), .. } => told.clone(),
            change => Some(diff::unified(change)),
        }
    }

    /// How it ended, in a few words: `exit code 1`, `killed by SIGSEGV`.
    pub fn ended(&self) -> String {
        let end = match self.ending {
            Ending::Exited(0) => "fine".to_owned(),
            Ending::Exited(n) => format!("exit code {n}"),
            Ending::Signaled(n) => format!("killed by {}", signal_name(n)),
            Ending::NotStarted => "not started".to_owned(),
            Ending::Lost => "end unknown".to_owned(),
        };
        match &self.problem {
            Some(p) if self.ending == Ending::Exited(0) => p.clone(),
            Some(p) => format!("{end}: {p}"),
            None => end,
        }
    }

    fn failure_text(&self) -> String {
        let said = self.stderr.trim();
        let name = self.hook.name().display();
        if said.is_empty() {
            format!("{name}: {}", self.ended())
        } else {
            format!("{name}: {}: {}", self.ended(), tail(said, QUOTED))
        }
    }

    /// As programs read it.
    pub fn record(&self, with_diff: bool) -> RunRecord {
        let sha256 = |d: &Document| hexadecimal(&Sha256::digest(d.bytes()));
        RunRecord {
            path: self.hook.path.to_string_lossy().into_owned(),
            exit_code: match self.ending {
                Ending::Exited(n) => Some(n),
                _ => None,
            },
            signal: match self.ending {
                Ending::Signaled(n) => Some(signal_name(n).into_owned()),
                _ => None,
            },
            timed_out: self.timed_out,
            duration_ms: milliseconds(self.duration),
            stderr: self.stderr.clone(),
            changed: self.changed(),
            sha256: self.change.as_ref().map(|c| [sha256(&c.before), sha256(&c.after)]),
            failed: self.failed(),
            problem: self.problem.clone(),
            left_background: self.left_background,
            diff: if with_diff { self.diff() } else { None },
        }
    }
}

/// The last `limit` bytes of a text, cut between characters.
fn tail(text: &str, limit: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(limit))..]
}

fn milliseconds(d: Duration) -> f64 {
    // Microseconds are as much as anybody reads.
    (d.as_secs_f64() * 1e6).round() / 1e3
}

/// Trouble of the engine itself, before or between hooks.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A hook directory is there but cannot be listed.
    #[error("list the hooks in {}", path.display())]
    ListHooks {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The run directory is missing and cannot be made.
    #[error("make the run directory {}", path.display())]
    MakeRunDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The payload cannot be written.
    #[error("write the payload to {}", path.display())]
    WritePayload {
        /// The file or its directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// What packages ask for as the order of their hooks cannot be.
    #[error(
        "the hooks {} of {point} wait for each other: change after or before in one of their packages",
        hooks.join(", ")
    )]
    Cycle {
        /// The point.
        point: String,
        /// The hooks.
        hooks: Vec<String>,
    },
    /// Whoever fired the event gave it up.
    #[error("cancelled")]
    Cancelled,
    /// Trouble in another process, in its words.
    #[error("{0}")]
    Told(String),
    /// The kernel gives no random numbers, or no `/dev/null`.
    #[error("prepare the event")]
    Prepare(#[source] io::Error),
}

impl Trouble {
    /// The whole chain of causes in one line.
    pub fn line(&self) -> String {
        use std::error::Error;
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

/// A veto, in the form VDSM's clients know: `Hook Error: …`, code 1500.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Hook Error: {text}")]
pub struct HookError {
    /// Every failing hook with its name, its end and what it said; or the engine's trouble.
    pub text: String,
}

impl HookError {
    /// VDSM's code for it.
    pub const CODE: i32 = 1500;
}

/// What came of an event.
#[derive(Debug)]
pub struct Outcome {
    /// The hook point.
    pub point: String,
    /// Identity of the event; empty where no hook is installed.
    pub event_id: String,
    /// The payload after the chain: what the driver is to use where the verdict is to proceed, and what
    /// clean-up is to see where it is a veto.
    pub payload: Document,
    /// Whether it differs from the one given.
    pub changed: bool,
    /// What the chain decided.
    pub verdict: Verdict,
    /// The hooks that ran, in order.
    pub runs: Vec<Run>,
    /// Hooks that would have run, had not one before them stopped the chain.
    pub not_run: Vec<Hook>,
    /// Files that are not run.
    pub skipped: Vec<Skipped>,
    /// What was dropped or odd, in a line each.
    pub warnings: Vec<String>,
    /// Values of properties that the hooks' packages do not allow, in a line each: no hook ran. Only at points that
    /// veto; elsewhere these are warnings.
    pub objections: Vec<String>,
    /// Trouble of the engine itself: not all hooks ran.
    pub trouble: Option<Trouble>,
    /// When it was fired.
    pub time: SystemTime,
    /// From start to verdict.
    pub duration: Duration,
    pub(crate) failure: Failure,
    /// Whether who fired it said what a failing hook does: then no package makes it stricter.
    pub(crate) failure_is_given: bool,
    pub(crate) vm: Option<(String, Option<String>)>,
}

impl Outcome {
    /// Every failure in one bounded text; empty where there is none.
    pub fn error_text(&self) -> String {
        let mut parts = self.objections.clone();
        parts.extend(self.runs.iter().filter(|r| r.failed()).map(Run::failure_text));
        parts.extend(self.trouble.as_ref().map(Trouble::line));
        let mut text = parts.join("; ");
        if text.len() > ERROR_TEXT {
            text.truncate(text.floor_char_boundary(ERROR_TEXT));
            text.push_str(" [...]");
        }
        text
    }

    /// Its failures as a veto, in the form VDSM's clients know.
    pub fn hook_error(&self) -> HookError {
        HookError { text: self.error_text() }
    }

    /// Ends an event as VDSM ends `before_vm_start`: first `keep` gets the payload as the hooks left it,
    /// also after failures, so that clean-up sees what they did; only then is a veto raised.
    ///
    /// # Errors
    /// The chain vetoed.
    pub fn settle(self, keep: impl FnOnce(&Document)) -> Result<Document, HookError> {
        keep(&self.payload);
        match self.verdict {
            Verdict::Proceed => Ok(self.payload),
            Verdict::Veto => Err(self.hook_error()),
        }
    }

    /// The payload, or the veto. A vetoed payload is discarded.
    ///
    /// # Errors
    /// The chain vetoed.
    pub fn into_result(self) -> Result<Document, HookError> {
        self.settle(|_| ())
    }

    /// What a failing hook does at this event.
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// The record of it, with a diff for each hook that changed something where asked for.
    pub fn report(&self, with_diff: bool) -> Report {
        let (vm_id, vm_name) = self.vm.clone().map_or((None, None), |(id, name)| (Some(id), name));
        Report {
            point: self.point.clone(),
            event_id: self.event_id.clone(),
            time: format_time(self.time),
            verdict: self.verdict,
            changed: self.changed,
            vm_id: vm_id.filter(|id| !id.is_empty()),
            vm_name,
            duration_ms: milliseconds(self.duration),
            runs: self.runs.iter().map(|r| r.record(with_diff)).collect(),
            not_run: self.not_run.iter().map(|h| h.path.to_string_lossy().into_owned()).collect(),
            skipped: self.skipped.iter().map(Into::into).collect(),
            warnings: self.warnings.clone(),
            error: self.error_text(),
        }
    }

    pub(crate) fn decide(&mut self) {
        let bad = self.trouble.is_some() || !self.objections.is_empty() || self.runs.iter().any(Run::failed);
        let strict = |run: &Run| run.failed() && run.hook.vetoes() && !self.failure_is_given;
        let veto = bad && self.failure == Failure::Veto || self.runs.iter().any(strict);
        self.verdict = if veto { Verdict::Veto } else { Verdict::Proceed };
    }
}
