// SPDX-License-Identifier: Apache-2.0
//! The driver: what all calls share, and how one of them fires a point.

use super::cancel::{Cancel, Why};
use super::fired::Fired;
use super::properties::{Declared, PackagesError, Properties};
use super::refusal::Refusal;
use super::repeat::Store;
use super::shim::Shim;
use super::vmi::Vmi;
use crate::log;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks_contract::{
    Catalogue, Failure, Output, PayloadKind, Point, Properties as Given, Subject, Verdict,
};
use virt_hooks_engine::{
    Check, CustomProperties, Document, Engine, Event, Host, Outcome, Packages, Trouble, Vm,
};
use virt_hooks_journal::Journal;

/// What grpc-go takes in one message, as KubeVirt leaves it: 4 MiB, less what is around the document.
pub(crate) const LARGEST_ANSWER: usize = (4 << 20) - 64;
/// From TERM to KILL at most: it comes on top of the time a call has.
const GRACE: Duration = Duration::from_secs(2);
/// The point of `PreCloudInitIso`, unless the host describes it.
pub(crate) const CLOUD_INIT: &str = "kubevirt_pre_cloud_init_iso";
/// The point of `PreVMStart`, unless the host describes it.
pub(crate) const PRE_VM_START: &str = "kubevirt_pre_vm_start";

/// Where a driver keeps what must outlive it.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// A directory of its own; `None`: in memory only.
    pub state: Option<PathBuf>,
}

/// Why a driver cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// An installed hook package is spoilt.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// What was fired before is not known.
    #[error("read what was fired before from {}: {source}", dir.display())]
    Fired {
        /// The state directory.
        dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Runs hooks for KubeVirt. One serves any number of threads.
pub struct Driver {
    pub(crate) engine: Engine,
    pub(crate) catalogue: Catalogue,
    pub(crate) declared: Declared,
    pub(crate) repeats: Store,
    pub(crate) fired: Fired,
    pub(crate) shim: Option<Shim>,
    pub(crate) cloud_init: bool,
    journal: Option<Journal>,
}

/// One firing of a point.
pub(crate) struct Firing<'a> {
    pub(crate) point: &'a Point,
    pub(crate) payload: Document,
    pub(crate) vm: &'a Vm,
    pub(crate) device: Option<&'a CustomProperties>,
    pub(crate) reason: &'a str,
    pub(crate) check: Check,
}

impl Driver {
    /// A driver for the hooks of `host`.
    ///
    /// # Errors
    /// A hook package is spoilt, or what was fired before cannot be read.
    pub fn new(host: Host, places: &Places, shim: Option<Shim>) -> Result<Self, SetUpError> {
        let mut settings = host.settings;
        settings.grace = settings.grace.min(GRACE);
        settings.payload_limit = settings.payload_limit.min(LARGEST_ANSWER as u64);
        // What packages call a secret is one to hooks that the engine does not run, too.
        let (packages, _) = Packages::new(settings.packages_dir.clone()).all();
        let secrets = packages.iter().flat_map(|p| &p.manifest.property).filter(|p| p.secret);
        settings.secret_properties.extend(secrets.map(|p| p.name.clone()));
        let fired = match Fired::open(places.state.clone()) {
            Ok(fired) => fired,
            Err(source) => {
                return Err(SetUpError::Fired { dir: places.state.clone().unwrap_or_default(), source });
            }
        };
        let engine = Engine::new(settings);
        let declared = Declared::read(engine.packages())?;
        engine.remove_stale();
        Ok(Self {
            engine,
            catalogue: host.catalogue,
            declared,
            repeats: Store::new(places.state.as_ref().map(|d| d.join("vmis"))),
            fired,
            shim,
            cloud_init: false,
            journal: places.state.as_ref().map(Journal::new),
        })
    }

    /// Lets hooks change cloud-init data.
    #[must_use]
    pub fn with_cloud_init(mut self, enabled: bool) -> Self {
        self.cloud_init = enabled;
        self
    }

    /// Whether any installed package declares a property.
    pub fn declares_properties(&self) -> bool {
        !self.declared.is_empty()
    }

    /// How long a hook that was told to end may take, at most.
    pub fn grace(&self) -> Duration {
        self.engine.settings().grace
    }

    /// A point of the table, or the driver's own where the host does not describe it.
    pub(crate) fn point(&self, name: &str) -> Point {
        let own = |payload, output| Point {
            payload,
            output,
            failure: Failure::Veto,
            subject: Subject::Vm,
            properties: Given::Vm,
            may_be_empty: payload == PayloadKind::None,
            ..Point::unknown(name)
        };
        match (self.catalogue.get(name), name) {
            (Some(point), _) => point.clone(),
            (None, CLOUD_INIT) => own(PayloadKind::Json, Output::Used),
            (None, PRE_VM_START) => own(PayloadKind::None, Output::Ignored),
            (None, _) => Point::unknown(name),
        }
    }

    /// Whether a point has hooks.
    pub(crate) fn has_hooks(&self, point: &Point) -> Result<bool, Refusal> {
        match self.engine.chain(point) {
            Ok(chain) => Ok(!chain.hooks.is_empty()),
            Err(trouble) => Err(Refusal::Trouble(format!("{}: {}", point.name, trouble.line()))),
        }
    }

    /// What hooks are told of a VM.
    pub(crate) fn properties(&self, vmi: &Vmi) -> Result<Properties, Refusal> {
        let properties = self.declared.of(vmi)?;
        for line in &properties.ignored {
            log::say(&format!("{}: {line}", vmi.label()));
        }
        Ok(properties)
    }

    /// Fires a point and gives the payload, or the veto.
    pub(crate) fn fire(&self, firing: Firing<'_>, cancel: &Cancel) -> Result<Document, Refusal> {
        let event = Event {
            vm: Some(firing.vm),
            parameters: firing.device,
            reason: Some(firing.reason),
            check: firing.check,
            cancel: Some(cancel.as_fd()),
            ..Event::new(firing.point, firing.payload)
        };
        let outcome = self.engine.fire(&event);
        tell(&outcome);
        if let Some(journal) = &self.journal
            && let Err(e) = journal.record(&[outcome.report(false)])
        {
            log::say(&format!("warning: {e}"));
        }
        settle(outcome, cancel)
    }
}

/// What the log says of an event.
fn tell(outcome: &Outcome) {
    for run in &outcome.runs {
        let name = run.hook.name().display();
        for line in run.stderr.lines() {
            log::say(&format!("{}: {name}: {line}", outcome.point));
        }
        let changed = if run.changed() { ", changed the payload" } else { "" };
        let time = run.duration.as_millis();
        log::say(&format!("{}: {name}: {} in {time} ms{changed}", outcome.point, run.ended()));
    }
    for warning in &outcome.warnings {
        log::say(&format!("{}: warning: {warning}", outcome.point));
    }
    if let Some(trouble) = &outcome.trouble {
        log::say(&format!("{}: {}", outcome.point, trouble.line()));
    }
}

/// The payload, or why it is refused.
fn settle(outcome: Outcome, cancel: &Cancel) -> Result<Document, Refusal> {
    let point = outcome.point.clone();
    if matches!(outcome.trouble, Some(Trouble::Cancelled)) {
        return Err(given_up(&point, &outcome.error_text(), cancel.why()));
    }
    if outcome.verdict == Verdict::Proceed {
        return Ok(outcome.payload);
    }
    let text = format!("{point}: Hook Error: {}", outcome.error_text());
    Err(match &outcome.trouble {
        Some(_) => Refusal::Trouble(text),
        None if outcome.runs.iter().any(|r| r.timed_out) => Refusal::Deadline(text),
        None => Refusal::Veto(text),
    })
}

/// A call that was given up while hooks ran.
pub(crate) fn given_up(what: &str, text: &str, why: Why) -> Refusal {
    match why {
        Why::Deadline => Refusal::Deadline(format!("{what}: the time for this call is over: {text}")),
        Why::Stopping => Refusal::Stopping(format!("{what}: the hook server is stopping: {text}")),
    }
}
