// SPDX-License-Identifier: Apache-2.0
//! Events that another process fired, as it told of them: for who shows them to people.

use crate::discover::{Hook, SkipReason, Skipped};
use crate::event::Document;
use crate::outcome::{Change, Ending, Outcome, Run, Trouble};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use virt_hooks_contract::{Failure, PayloadKind, Report, RunRecord};
use virt_hooks_spawn::signal_name;

impl Hook {
    /// A hook of which only its file is known.
    pub fn told(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), layer: 0, writable_by_others: false, package: None }
    }
}

impl From<RunRecord> for Run {
    fn from(record: RunRecord) -> Self {
        let ending = match (record.exit_code, &record.signal) {
            (Some(code), _) => Ending::Exited(code),
            (None, Some(name)) => {
                (1..=64).find(|n| signal_name(*n) == name.as_str()).map_or(Ending::Lost, Ending::Signaled)
            }
            (None, None) if record.problem.is_some() => Ending::NotStarted,
            (None, None) => Ending::Lost,
        };
        Self {
            hook: Hook::told(record.path),
            ending,
            timed_out: record.timed_out,
            duration: milliseconds(record.duration_ms),
            stderr: record.stderr,
            stdout: String::new(),
            left_background: record.left_background,
            problem: record.problem,
            change: record.changed.then(|| Change {
                kind: PayloadKind::None,
                before: Document::default(),
                after: Document::default(),
                secrets: Arc::default(),
                told: Some(record.diff),
            }),
        }
    }
}

impl Outcome {
    /// What came of an event in another process; the payload is not here.
    pub fn told(report: Report, failure: Failure, trouble: Option<String>, objections: Vec<String>) -> Self {
        let reason = |text: String| {
            let plain = [SkipReason::Backup, SkipReason::Dangling, SkipReason::NotExecutable];
            let known = plain.into_iter().find(|r| r.to_string() == text);
            known.unwrap_or(SkipReason::NotMeant(text))
        };
        Self {
            point: report.point,
            event_id: report.event_id,
            payload: Document::default(),
            changed: report.changed,
            verdict: report.verdict,
            runs: report.runs.into_iter().map(Run::from).collect(),
            objections,
            not_run: report.not_run.into_iter().map(Hook::told).collect(),
            skipped: report
                .skipped
                .into_iter()
                .map(|s| Skipped { path: s.path.into(), reason: reason(s.reason) })
                .collect(),
            warnings: report.warnings,
            trouble: trouble.map(Trouble::Told),
            time: SystemTime::UNIX_EPOCH,
            duration: milliseconds(report.duration_ms),
            failure,
            failure_is_given: false,
            vm: report.vm_id.map(|id| (id, report.vm_name)),
        }
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> RunRecord {
        RunRecord {
            path: "/hooks/before_vm_start/50_x".into(),
            exit_code: None,
            signal: Some("SIGKILL".into()),
            timed_out: true,
            duration_ms: 1.5,
            stderr: "words\n".into(),
            changed: true,
            sha256: None,
            failed: true,
            problem: Some("did not end within 1s".into()),
            left_background: false,
            diff: Some("-a\n+b\n".into()),
        }
    }

    #[test]
    fn a_run_is_what_it_was() {
        let run = Run::from(record());
        let again = run.record(true);
        assert_eq!(again.signal.as_deref(), Some("SIGKILL"));
        assert_eq!((again.duration_ms, again.diff.as_deref()), (1.5, Some("-a\n+b\n")));
        assert!(run.failed() && run.changed() && run.timed_out);
        let fine = RunRecord { exit_code: Some(0), signal: None, problem: None, changed: false, ..record() };
        assert!(!Run::from(fine).failed());
        let not_started = RunRecord { exit_code: None, signal: None, ..record() };
        assert_eq!(Run::from(not_started).ending, Ending::NotStarted);
    }
}
