// SPDX-License-Identifier: Apache-2.0
//! Runs one case and compares what came of it with what was expected.

use super::bless;
use super::case::{Case, Expected, Own, Recorded};
use super::compare::{Loose, diff, difference};
use super::fakes::Fakes;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use virt_hooks_contract::{Failure, PayloadKind};
use virt_hooks_engine::{CustomProperties, Ending, Engine, Event, Outcome, Run, Settings, Trouble, Vm};

/// What a hook finds of its caller's environment: the same on every host.
const INHERITED: &[&str] = &["HOME", "TMPDIR"];
/// Where a hook finds nothing.
const NOWHERE: &str = "/nonexistent";

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// As expected.
    Passed,
    /// Not as expected; and what was not, each with a line and perhaps a diff below it.
    Failed(Vec<String>),
    /// What was found was written down as what is expected from now on.
    Blessed,
    /// Not run, and why.
    Skipped(String),
}

/// A case and how it ended.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The package.
    pub package: String,
    /// The case within the package.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// How long it took.
    pub duration: Duration,
}

/// A case that is set up to run.
pub(super) struct Ready {
    pub(super) case: Case,
    pub(super) fakes: Option<Fakes>,
    /// Of the stage the package's hooks are in.
    pub(super) settings: Settings,
}

impl Ready {
    pub(super) fn run(&self, bless: bool, cancel: Option<BorrowedFd<'_>>) -> CaseResult {
        let started = Instant::now();
        let status = self.judge(bless, cancel);
        CaseResult {
            package: self.case.package.clone(),
            name: self.case.name.clone(),
            status,
            duration: started.elapsed(),
        }
    }

    fn judge(&self, bless: bool, cancel: Option<BorrowedFd<'_>>) -> Status {
        let case = &self.case;
        let engine = Engine::new(Settings { environment: self.environment(), ..self.settings.clone() });
        let first = Attempt::of(case, &engine, &case.payload, cancel);
        if let Some(Trouble::Cancelled) = first.trouble {
            return Status::Skipped("interrupted".to_owned());
        }
        let calls = self.fakes.as_ref().map(Fakes::take_calls);
        let mut wrong = match &case.expected {
            Expected::Own(own) if bless => match bless::write(case, own, &first, calls.as_deref()) {
                Ok(true) => return Status::Blessed,
                Ok(false) => Vec::new(),
                Err(e) => vec![e.to_string()],
            },
            Expected::Own(own) => own.compare(case, &first, calls.as_deref()),
            Expected::Recorded(recorded) => {
                let wrong = recorded.compare(case, &first);
                match &recorded.differs {
                    Some(_) if wrong.is_some() => return Status::Passed,
                    // In what is not compared here, such as the commands it runs.
                    Some(reason) => {
                        return Status::Skipped(format!("differs on purpose, not seen here: {reason}"));
                    }
                    None => wrong.into_iter().collect(),
                }
            }
        };
        if case.twice
            && wrong.is_empty()
            && first.exit() == Some(0)
            && case.point.payload != PayloadKind::None
        {
            wrong.extend(self.again(&engine, &first, cancel));
        }
        if wrong.is_empty() { Status::Passed } else { Status::Failed(wrong) }
    }

    /// A second run on the output of the first.
    fn again(&self, engine: &Engine, first: &Attempt, cancel: Option<BorrowedFd<'_>>) -> Option<String> {
        let case = &self.case;
        let second = Attempt::of(case, engine, &first.payload, cancel);
        if let Some(Trouble::Cancelled) = second.trouble {
            return Some("interrupted".to_owned());
        }
        let hint = "say idempotent = false in the manifest if it is meant";
        if second.exit() != Some(0) {
            return Some(format!(
                "run again on its own output it fails: {}; {hint}\n{}",
                second.ended(),
                second.stderr
            ));
        }
        let loose = match &case.expected {
            Expected::Recorded(r) => &r.loose,
            Expected::Own(_) => &Loose::default(),
        };
        let changed = difference(case.point.payload, &first.payload, &second.payload, &case.payload, loose)?;
        Some(format!("run again on its own output it changes more; {hint}\n{changed}"))
    }

    fn environment(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let case = &self.case;
        let of_host = |name: &str| {
            let found = self.settings.environment.iter().rev().find(|(n, _)| n == name.as_bytes());
            found.map(|(_, v)| v.clone())
        };
        let mut all: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for name in INHERITED {
            all.extend(of_host(name).map(|v| (name.as_bytes().to_vec(), v)));
        }
        all.insert(b"LANG".to_vec(), b"C.UTF-8".to_vec());
        all.extend(case.environment.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())));
        let mut path = if case.alone {
            vec![PathBuf::from(NOWHERE)]
        } else {
            let of_host = of_host("PATH").unwrap_or_else(|| b"/usr/sbin:/usr/bin:/sbin:/bin".to_vec());
            std::env::split_paths(&OsString::from_vec(of_host)).collect()
        };
        if let Some(fakes) = &self.fakes {
            path.insert(0, fakes.path());
        }
        if let Ok(path) = std::env::join_paths(path) {
            all.insert(b"PATH".to_vec(), path.into_vec());
        }
        all.into_iter().collect()
    }
}

/// One run of the hook.
#[derive(Debug)]
pub(super) struct Attempt {
    /// `None`: it was not run.
    run: Option<Run>,
    pub(super) payload: Vec<u8>,
    pub(super) stderr: String,
    /// Why it was not run.
    reasons: Vec<String>,
    trouble: Option<Trouble>,
}

impl Attempt {
    fn of(case: &Case, engine: &Engine, payload: &[u8], cancel: Option<BorrowedFd<'_>>) -> Self {
        let properties = |map: &BTreeMap<String, String>| -> CustomProperties {
            map.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
        };
        let vm = Vm {
            id: case.vm_id.clone().unwrap_or_default(),
            name: case.vm_name.clone(),
            properties: properties(&case.properties),
        };
        let parameters = properties(&case.device_properties);
        let known = case.vm_id.is_some() || case.vm_name.is_some() || !vm.properties.is_empty();
        let event = Event {
            vm: known.then_some(&vm),
            parameters: Some(&parameters).filter(|p| !p.is_empty()),
            timeout: Some(case.timeout),
            cancel,
            // What a failure means at this point is the point's business, not the hook's.
            failure: Some(Failure::Veto),
            ..Event::new(&case.point, payload)
        };
        let outcome: Outcome = engine.fire(&event);
        let mut reasons = outcome.objections;
        reasons.extend(outcome.skipped.iter().map(|s| s.reason.to_string()));
        reasons.extend(outcome.trouble.as_ref().map(Trouble::line));
        let run = outcome.runs.into_iter().find(|r| r.hook.name() == case.file.as_str());
        let stderr = run.as_ref().map(|r| r.stderr.clone()).unwrap_or_default();
        Self { run, payload: outcome.payload.bytes().to_vec(), stderr, reasons, trouble: outcome.trouble }
    }

    /// Its exit code, where it came to its end by itself and left nothing spoilt.
    pub(super) fn exit(&self) -> Option<i32> {
        match self.run.as_ref()? {
            Run { ending: Ending::Exited(code), timed_out: false, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether it was run.
    pub(super) fn ran(&self) -> bool {
        self.run.is_some()
    }

    /// How it ended, in a few words.
    fn ended(&self) -> String {
        match &self.run {
            Some(run) if run.ending == Ending::Exited(0) && !run.failed() => "exit code 0".to_owned(),
            Some(run) => run.ended(),
            None if self.reasons.is_empty() => "it was not run".to_owned(),
            None => format!("it was not run: {}", self.reasons.join("; ")),
        }
    }

    /// What the engine finds wrong with it, beside its exit code.
    pub(super) fn problem(&self) -> Option<&str> {
        self.run.as_ref()?.problem.as_deref()
    }

    /// What it said, for below a line.
    fn said(&self) -> String {
        if self.stderr.trim().is_empty() { String::new() } else { format!("\n{}", self.stderr.trim_end()) }
    }
}

impl Own {
    fn compare(&self, case: &Case, got: &Attempt, calls: Option<&str>) -> Vec<String> {
        let mut wrong = Vec::new();
        match (self.exit, got.exit()) {
            (None, _) if got.ran() => {
                wrong.push(format!("expected that it is not run: {}{}", got.ended(), got.said()));
            }
            (Some(_), _) if !got.ran() => wrong.push(got.ended()),
            (Some(want), Some(code)) if want != code => {
                wrong.push(format!("expected exit code {want}: {}{}", got.ended(), got.said()));
            }
            (Some(want), None) => {
                wrong.push(format!("expected exit code {want}: {}{}", got.ended(), got.said()));
            }
            _ => wrong.extend(got.problem().map(|p| format!("{p}{}", got.said()))),
        }
        if let Some(pattern) = &self.stderr
            && got.ran()
            && !pattern.is_match(&got.stderr)
        {
            let said = if got.stderr.trim().is_empty() { "\n(nothing)".to_owned() } else { got.said() };
            wrong.push(format!("standard error does not match {}:{said}", pattern.as_str()));
        }
        if got.ran() && got.exit().is_some() {
            let (expected, what) = match &self.payload {
                Some(expected) => (expected.as_slice(), "the payload is not the one expected"),
                None => (case.payload.as_slice(), "the payload was changed, and no change is expected"),
            };
            let differs =
                difference(case.point.payload, expected, &got.payload, &case.payload, &Loose::default());
            wrong.extend(differs.map(|diff| format!("{what}\n{diff}")));
        }
        if let (Some(want), Some(calls)) = (&self.calls, calls)
            && want.trim_end() != calls.trim_end()
        {
            let lines = |text: &str| format!("{}\n", text.trim_end());
            wrong.push(format!(
                "the commands called are not those expected\n{}",
                diff(&lines(want), &lines(calls))
            ));
        }
        wrong
    }
}

impl Recorded {
    fn compare(&self, case: &Case, got: &Attempt) -> Option<String> {
        if got.run.as_ref().is_none_or(|r| r.timed_out) {
            return Some(got.ended());
        }
        if self.unreadable {
            return self.compare_failure(case, got);
        }
        if !self.crash {
            return self.compare_plainly(case, got);
        }
        match &self.repaired {
            Some(repaired) if repaired.crash => repaired.compare_failure(case, got),
            Some(repaired) => repaired.compare_plainly(case, got),
            None => self.compare_failure(case, got),
        }
    }

    fn compare_plainly(&self, case: &Case, got: &Attempt) -> Option<String> {
        let class = |code: Option<i32>| code.filter(|c| (0..=2).contains(c));
        if class(Some(self.exit)) != class(got.exit()) {
            return Some(format!("expected exit code {}: {}{}", self.exit, got.ended(), got.said()));
        }
        let differences: Vec<String> = self
            .payloads
            .iter()
            .filter_map(|p| difference(case.point.payload, p, &got.payload, &case.payload, &self.loose))
            .collect();
        if !self.payloads.is_empty() && differences.len() == self.payloads.len() {
            return differences.first().map(|d| format!("the payload is not the one expected\n{d}"));
        }
        let stdout = got.run.as_ref().map(|r| r.stdout.as_str()).unwrap_or_default();
        (self.loose.stdout && stdout != self.stdout)
            .then(|| format!("standard output is not the one expected\n{}", diff(&self.stdout, stdout)))
    }

    /// The original failed by accident: any failure is right that leaves the payload as it was.
    fn compare_failure(&self, case: &Case, got: &Attempt) -> Option<String> {
        if got.exit() == Some(0) && got.problem().is_none() {
            return Some("expected a failure: exit code 0".to_owned());
        }
        let given = std::iter::once(&case.payload);
        let same = |p: &Vec<u8>| {
            difference(case.point.payload, p, &got.payload, &case.payload, &self.loose).is_none()
        };
        (!given.chain(&self.payloads).any(same)).then(|| "it failed, but changed the payload".to_owned())
    }
}
