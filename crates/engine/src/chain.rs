// SPDX-License-Identifier: Apache-2.0
//! The engine: one event from its hooks to its verdict.

use crate::discover::{Chain, EmptyDirectories, Hook, discover};
use crate::environment::{self, Declared};
use crate::event::{Document, Event};
use crate::installed::Checksums;
use crate::observer::{Observer, Silent};
use crate::order::arrange;
use crate::outcome::{Change, Ending, Outcome, Run, Trouble};
use crate::packages::Packages;
use crate::payload::PayloadFile;
use crate::secrets::Secrets;
use crate::select::{objections, packages_of, select};
use crate::settings::Settings;
use std::ffi::CString;
use std::fmt::Write;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};
use virt_hooks_contract::{Failure, Point, Verdict, hexadecimal};
use virt_hooks_spawn::{Captured, Credentials, Environment, Launcher, Limits, Status, Tick};

/// How long what the engine says about a run may be.
const PROBLEM: usize = 2 << 10;

/// Fires hook points. One engine serves any number of threads.
pub struct Engine {
    pub(crate) settings: Settings,
    empty: EmptyDirectories,
    pub(crate) checksums: Checksums,
    packages: Packages,
    launcher: OnceLock<Launcher>,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            packages: Packages::new(settings.packages_dir.clone()),
            settings,
            empty: EmptyDirectories::default(),
            checksums: Checksums::default(),
            launcher: OnceLock::new(),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the value of a custom property is not to be shown: by its name, the configuration or a manifest.
    pub fn is_secret(&self, property: &str) -> bool {
        crate::secrets::is_secret(property.as_bytes(), &self.settings, &self.packages.secrets())
    }

    /// The installed hook packages.
    pub fn packages(&self) -> &Packages {
        &self.packages
    }

    /// The hooks installed at `point` now, in the order they run; whether they are meant depends on the event.
    ///
    /// # Errors
    /// A directory is there but cannot be listed, or packages ask for an order that cannot be.
    pub fn chain(&self, point: &Point) -> Result<Chain, Trouble> {
        let mut chain = discover(&self.settings, &self.empty, point)?;
        self.packages.describe(&point.name, &mut chain.hooks, &mut chain.problems);
        chain.hooks = arrange(&point.name, chain.hooks)?;
        Ok(chain)
    }

    /// The hooks that would run for `event` now.
    ///
    /// # Errors
    /// As [`Engine::chain`].
    pub fn chain_of(&self, event: &Event<'_>) -> Result<Chain, Trouble> {
        Ok(select(event, self.chain(event.point)?))
    }

    /// Removes what events left in the run directory whose engine was killed, and says how many there were. For
    /// whoever starts an engine, once.
    pub fn remove_stale(&self) -> usize {
        crate::payload::remove_stale(&self.settings.run_dir)
    }

    /// How long `hook` may take in `event`.
    pub fn deadline(&self, event: &Event<'_>, hook: &Hook) -> Duration {
        event.timeout.unwrap_or_else(|| self.settings.deadline(event.point, hook))
    }

    /// Fires an event and waits for its end.
    pub fn fire(&self, event: &Event<'_>) -> Outcome {
        self.fire_observed(event, &mut Silent)
    }

    /// Fires an event, tells `observer` how it goes, and waits for its end.
    pub fn fire_observed(&self, event: &Event<'_>, observer: &mut dyn Observer) -> Outcome {
        let started = Instant::now();
        let mut outcome = Outcome {
            point: event.point.name.to_string(),
            event_id: String::new(),
            payload: event.payload.clone(),
            changed: false,
            verdict: Verdict::Proceed,
            runs: Vec::new(),
            not_run: Vec::new(),
            skipped: Vec::new(),
            warnings: Vec::new(),
            objections: Vec::new(),
            trouble: None,
            time: SystemTime::now(),
            duration: Duration::ZERO,
            failure: event.failure(),
            failure_is_given: event.failure.is_some(),
            vm: event.vm.map(|vm| (vm.id.clone(), vm.name.clone())),
        };
        match self.chain_of(event) {
            Ok(mut chain) => {
                chain.hooks.retain(|hook| !event.completed.contains(&hook.path));
                outcome.skipped = chain.skipped;
                outcome.warnings = chain.problems;
                if !chain.hooks.is_empty()
                    && let Err(trouble) = self.run_all(event, chain.hooks, observer, &mut outcome)
                {
                    outcome.trouble = Some(trouble);
                }
            }
            Err(trouble) => outcome.trouble = Some(trouble),
        }
        outcome.decide();
        outcome.duration = started.elapsed();
        outcome
    }

    fn run_all(
        &self,
        event: &Event<'_>,
        hooks: Vec<Hook>,
        observer: &mut dyn Observer,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        outcome.event_id = event_id()?;
        let packages = packages_of(&hooks);
        let objections = objections(event, &packages);
        if event.failure() == Failure::Veto && !objections.is_empty() {
            outcome.objections = objections;
            outcome.not_run = hooks;
            return Ok(());
        }
        outcome.warnings.extend(objections);
        let credentials = self.settings.user_of(event.point);
        let mut payload = PayloadFile::create(event, &self.settings, credentials, &outcome.event_id)?;
        let environment = environment::build(
            event,
            &self.settings,
            Some(payload.path()),
            &outcome.event_id,
            &Declared::of(event, &self.settings, &self.packages, &packages),
            &mut outcome.warnings,
        );
        let launcher = self.launcher()?;
        let mut secrets = Secrets::of(event, &self.settings, &self.packages.secrets());
        secrets.learn(&event.payload);
        let mut hooks = hooks.into_iter();
        for hook in hooks.by_ref() {
            let ready = if event.is_cancelled() { Err(Trouble::Cancelled) } else { payload.ready() };
            // What hooks did before this is kept.
            if let Err(trouble) = ready {
                outcome.trouble = Some(trouble);
                outcome.not_run.push(hook);
                break;
            }
            if hook.writable_by_others {
                outcome.warnings.push(format!(
                    "{} can be written or replaced by others than its owner",
                    hook.path.display()
                ));
            }
            observer.started(&hook);
            let deadline = self.deadline(event, &hook);
            let mut run =
                self.run_one(launcher, hook, &environment, credentials, (deadline, event.cancel), observer);
            let before = payload.last_good().clone();
            match payload.collect() {
                Ok(None) => {}
                Ok(Some(after)) => run.changed_to(event, before.clone(), after),
                Err(spoilt) => run.add_problem(spoilt.to_string()),
            }
            if let Some(change) = &run.run.change {
                secrets.learn(&change.after);
            }
            let cancelled = run.cancelled;
            let run = run.finish(&secrets);
            observer.finished(&run);
            let stops = run.stops();
            outcome.runs.push(run);
            if cancelled {
                outcome.trouble = Some(Trouble::Cancelled);
            }
            if stops || cancelled {
                break;
            }
        }
        outcome.not_run.extend(hooks);
        outcome.payload = payload.last_good().clone();
        outcome.changed = outcome.payload != event.payload;
        Ok(())
    }

    /// One for all events: what it holds open would otherwise be opened for each of them.
    fn launcher(&self) -> Result<&Launcher, Trouble> {
        if let Some(launcher) = self.launcher.get() {
            return Ok(launcher);
        }
        let launcher = Launcher::new().map_err(|e| Trouble::Prepare(io::Error::other(e)))?;
        Ok(self.launcher.get_or_init(|| launcher))
    }

    fn run_one(
        &self,
        launcher: &Launcher,
        hook: Hook,
        environment: &Environment,
        credentials: Option<&Credentials>,
        (deadline, cancel): (Duration, Option<BorrowedFd<'_>>),
        observer: &mut dyn Observer,
    ) -> Unmasked {
        let started = Instant::now();
        let limits = Limits {
            deadline,
            grace: self.settings.grace,
            stdout: self.settings.stdout_limit,
            stderr: self.settings.stderr_limit,
            cancel,
        };
        let path = CString::new(hook.path.as_os_str().as_bytes()).unwrap_or_default();
        let every = observer.every();
        let mut call = |elapsed| observer.running(&hook, elapsed);
        let tick = every.map(|every| Tick { every, call: &mut call });
        let finished = launcher.run(&path, environment, credentials, &limits, tick);
        let mut run = Run {
            hook,
            ending: Ending::NotStarted,
            timed_out: false,
            duration: started.elapsed(),
            stderr: String::new(),
            stdout: String::new(),
            left_background: false,
            problem: None,
            change: None,
        };
        let mut cancelled = false;
        match finished {
            Ok(f) => {
                run.ending = match f.status {
                    Status::Exited(n) => Ending::Exited(n),
                    Status::Signaled(n) => Ending::Signaled(n),
                    Status::Lost => Ending::Lost,
                };
                run.timed_out = f.timed_out;
                run.duration = f.duration;
                run.left_background = f.left_background;
                cancelled = f.cancelled;
                if f.cancelled {
                    run.problem = Some("cancelled".to_owned());
                }
                if f.timed_out {
                    run.problem = Some(format!("did not end within {deadline:?}"));
                }
                Unmasked { run, cancelled, stdout: Some(f.stdout), stderr: Some(f.stderr) }
            }
            Err(e) => {
                use std::error::Error;
                let cause = e.source().map(|c| format!(" ({c})")).unwrap_or_default();
                run.problem = Some(format!("{e}{cause}"));
                Unmasked { run, cancelled, stdout: None, stderr: None }
            }
        }
    }
}

/// A run whose output may still show secrets.
struct Unmasked {
    run: Run,
    cancelled: bool,
    stdout: Option<Captured>,
    stderr: Option<Captured>,
}

impl Unmasked {
    fn add_problem(&mut self, problem: String) {
        match &mut self.run.problem {
            Some(p) => {
                let _ = write!(p, "; {problem}");
            }
            None => self.run.problem = Some(problem),
        }
    }

    fn changed_to(&mut self, event: &Event<'_>, before: Document, after: Document) {
        let kind = event.point.payload;
        self.run.change = Some(Change { kind, before, after, secrets: Arc::default(), told: None });
    }

    fn finish(mut self, secrets: &Secrets) -> Run {
        let text = |c: Option<Captured>| match c {
            Some(c) if !c.is_empty() => secrets.mask(&c.bytes()),
            _ => String::new(),
        };
        // What was wrong with a payload may be told with words of the payload.
        self.run.problem = self.run.problem.map(|p| bounded(secrets.mask(p.as_bytes())));
        self.run.stdout = text(self.stdout.take());
        self.run.stderr = text(self.stderr.take());
        if let Some(change) = &mut self.run.change {
            change.secrets = Arc::new(secrets.clone());
        }
        self.run
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > PROBLEM {
        text.truncate(text.floor_char_boundary(PROBLEM));
        text.push_str(" [...]");
    }
    text
}

/// 128 random bits in hexadecimal.
fn event_id() -> Result<String, Trouble> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Trouble::Prepare(e.into()))?;
    Ok(hexadecimal(&bytes))
}
