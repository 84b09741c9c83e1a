// SPDX-License-Identifier: Apache-2.0
//! Starting a VM (VDSM's sequences 4.1 and 4.2).

use crate::apply::STORED;
use crate::driver::Driver;
use crate::error::Error;
use crate::life::{After, Phase, Step};
use crate::occasion::Occasion;
use crate::scene::Scene;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::{LaunchFlags, Machine, Watch};
use virt_hooks_libvirt::{Connection, CreateFlags, Domain, ErrorKind};

/// Where the domain XML comes from.
#[derive(Clone)]
pub enum Source {
    /// Given.
    Xml(Vec<u8>),
    /// Stored under this name or UUID. The stored definition stays as it is: the VM runs from what the hooks
    /// make of it.
    Stored(String),
}

/// The length of an XML only: it may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xml(xml) => write!(f, "Xml({} bytes)", xml.len()),
            Self::Stored(name) => f.debug_tuple("Stored").field(name).finish(),
        }
    }
}

/// What to start, and how.
#[derive(Clone)]
pub struct StartRequest<'a> {
    /// Where the domain XML comes from.
    pub source: Source,
    /// Custom properties to set, beside those in the XML's metadata.
    pub properties: Vec<(String, String)>,
    /// With processors standing still.
    pub paused: bool,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the start is given up, as long as the VM does not run yet.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// Of properties the names only: values may be secrets.
impl fmt::Debug for StartRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("StartRequest")
            .field("source", &self.source)
            .field("properties", &names)
            .field("paused", &self.paused)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A VM that was started.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its state.
    pub state: &'static str,
}

const OPERATION: &str = "start VM";

impl Driver {
    /// Starts a VM. `reports` gets the record of each event, also of those before a failure.
    ///
    /// # Errors
    /// A veto, with nothing started; or libvirt's refusal. Either way the clean-up points have been fired
    /// with the XML as the hooks left it, because hooks before the failure may have made something.
    pub fn start(
        &self,
        request: &StartRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Started, Error> {
        let mut machine = self.find(&request.source)?;
        for (name, value) in &request.properties {
            machine.set(name, value)?;
        }
        let place = self.place(&machine.vm.id, machine.name(), request.cancel, watch, reports)?;
        self.check_free(&machine)?;

        let own = if request.paused { CreateFlags::START_PAUSED } else { CreateFlags::NONE };
        // Launch flags are for hooks of device and VM points, which run as the hook user.
        let user = self.engine.settings().hook_user.as_ref();
        let flags = LaunchFlags::write(&self.launch_flags_dir, &machine.vm.id, own.bits(), user)
            .map_err(|source| Error::unwritten(OPERATION, machine.name(), source))?;
        let mut scene =
            place.begin("start", &machine, Phase::Starting, |after| matches!(after, After::Start))?;
        scene.step(Step::Start);
        let mut noting = scene.noting(watch);
        let mut occasion = Occasion {
            driver: self,
            operation: OPERATION,
            reason: "start",
            vm: machine.vm.clone(),
            launch_flags: Some(flags.path().to_owned()),
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "nothing was started",
            with_diff: request.with_diff,
            reports,
            watch: &mut noting,
        };
        match occasion.launch(&mut machine, &flags, &scene) {
            Ok((domain, paused)) => {
                scene.step(Step::Started { paused });
                scene.over();
                let started = occasion.started(&machine, &domain, &mut scene);
                scene.end(&mut occasion, &machine);
                Ok(started)
            }
            Err(error) => {
                drop(flags);
                occasion.launch_flags = None;
                occasion.cancel = None;
                occasion.reason = "start-failed";
                let runs = self.runs(&machine.vm.id);
                let error = occasion.lost(error, runs);
                let unknown = runs.is_none() && matches!(error, Error::Lost { .. });
                if unknown {
                    // Whoever finds out cleans up, or fires what comes after a start.
                    scene.leave();
                    return Err(error);
                }
                // Where it runs, what a clean-up would remove is in use: by a VM that somebody else started
                // meanwhile, or by ours.
                if runs == Some(true) {
                    scene.over();
                    scene.leave();
                    return Err(error);
                }
                // Nobody can give a clean-up up.
                occasion.clean_up(&machine);
                scene.step(Step::StartFailed);
                scene.end(&mut occasion, &machine);
                Err(error)
            }
        }
    }

    /// Whether the VM runs; `None` where libvirt does not answer, not even a new connection.
    pub(crate) fn runs(&self, uuid: &str) -> Option<bool> {
        let ask = |connection: &Connection| match connection.lookup(uuid) {
            Ok(domain) => domain.is_active().ok(),
            Err(e) => (e.kind == ErrorKind::NoDomain).then_some(false),
        };
        ask(&self.connection).or_else(|| ask(&Connection::open(Some(self.connection.uri())).ok()?))
    }

    fn find(&self, source: &Source) -> Result<Machine, Error> {
        match source {
            Source::Xml(xml) => Ok(Machine::read(xml)?),
            Source::Stored(name) => {
                let domain = self.connection.lookup(name).map_err(Error::Unreachable)?;
                if domain.is_active().map_err(Error::Unreachable)? {
                    return Err(Error::Running(domain.name().to_owned()));
                }
                let stored = domain.xml(STORED).map_err(Error::Unreachable)?;
                // Hooks that were applied to the definition run on what was there before.
                let former = self.before_hooks(domain.uuid(), &stored)?;
                Ok(Machine::read(former.unwrap_or(stored).as_bytes())?)
            }
        }
    }

    /// Sees that the VM does not run and its name is its own, before any hook does anything.
    pub(crate) fn check_free(&self, machine: &Machine) -> Result<(), Error> {
        for key in [&machine.vm.id, machine.name()] {
            let domain = match self.connection.lookup(key) {
                Ok(d) => d,
                Err(e) if e.kind == ErrorKind::NoDomain => continue,
                Err(e) => return Err(Error::Unreachable(e)),
            };
            if domain.is_active().map_err(Error::Unreachable)? {
                return Err(Error::Running(domain.name().to_owned()));
            }
            if domain.uuid() != machine.vm.id {
                return Err(Error::NameTaken {
                    name: domain.name().to_owned(),
                    existing: domain.uuid().to_owned(),
                });
            }
        }
        Ok(())
    }
}

impl Occasion<'_> {
    /// Up to the running VM. On the way `machine` follows what hooks do, so that clean-up sees it.
    fn launch(
        &mut self,
        machine: &mut Machine,
        flags: &LaunchFlags,
        scene: &Scene<'_>,
    ) -> Result<(Domain, bool), Error> {
        self.prepare_disks(machine, "start")?;
        self.edit(machine)?;
        let bits = flags.read(CreateFlags::KNOWN).map_err(|source| self.flags_error(source))?;
        let flags = CreateFlags::from_bits(bits).unwrap_or_default();
        // What a clean-up after a crash is to see.
        scene.note(Phase::Starting, Some(machine));
        let driver = self.driver;
        let domain = self.step(&format!("start VM {}", machine.name()), || {
            driver.connection.create_xml(machine.xml(), flags)
        });
        let paused = flags.contains(CreateFlags::START_PAUSED);
        domain.map(|domain| (domain, paused)).map_err(|source| self.refused(source))
    }

    /// Has the hooks of a start make of `machine` what they will.
    pub(crate) fn edit(&mut self, machine: &mut Machine) -> Result<(), Error> {
        // The handles of the others stay good when one is replaced.
        for device in machine.custom_devices() {
            let outcome =
                self.fire_device("before_device_create", &machine.device_xml(&device), &device, None);
            let mut kept = Ok(());
            let changed = outcome.changed;
            self.settle(outcome, |xml| {
                if changed {
                    kept = machine.replace_device(&device, &String::from_utf8_lossy(xml.bytes()));
                }
            })?;
            kept?;
            self.check_interrupt()?;
        }
        let outcome = self.fire("before_vm_start", machine.xml());
        let mut kept = Ok(());
        self.settle(outcome, |xml| kept = machine.replace(xml.bytes()))?;
        kept?;
        // Also where there was no hook to interrupt.
        self.check_interrupt()
    }

    /// The destroy points of a VM that did not come up.
    pub(crate) fn clean_up(&mut self, machine: &Machine) {
        self.fire_after(After::Destroy { reason: "start-failed", with_before: true }, machine, None);
    }

    fn flags_error(&self, source: virt_hooks_engine::FlagsError) -> Error {
        Error::Flags { operation: self.operation, vm: self.vm_name(), source }
    }

    /// An error for a start that libvirt left in the middle; another error as it is.
    pub(crate) fn lost(&self, error: Error, runs: Option<bool>) -> Error {
        match error {
            // A daemon that cannot reach another one, such as that for networks, says so in the same words:
            // our connection to it still stands then.
            Error::Refused { operation, vm, source }
                if source.kind == ErrorKind::Unreachable && !self.driver.connection.is_alive() =>
            {
                let left = match runs {
                    Some(true) => "the VM runs, and no hook was told",
                    Some(false) => "the VM does not run",
                    None => "nobody knows whether the VM runs, so nothing was cleaned up",
                };
                Error::Lost { operation, vm, left, source }
            }
            error => error,
        }
    }

    /// The points after the start. The VM runs: nothing here undoes that.
    fn started(&mut self, machine: &Machine, domain: &Domain, scene: &mut Scene<'_>) -> Started {
        let live = self.driver.live_or(domain, machine);
        scene.note(Phase::Starting, Some(&live));
        self.cancel = None;
        // Hooks may have changed the metadata, and that is what holds from now on (C29).
        self.vm = live.vm.clone();
        while let Some(due) = scene.attendance.due() {
            scene.fire(due, self, &live);
        }
        Started {
            name: domain.name().to_owned(),
            uuid: domain.uuid().to_owned(),
            state: domain.state().map_or("unknown", |s| s.state.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_request_shows_no_secret() {
        let request = StartRequest {
            source: Source::Xml(b"s3cret".to_vec()),
            properties: vec![("vnc_password".into(), "s3cret".into())],
            paused: false,
            timeout: None,
            with_diff: false,
            cancel: None,
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("Xml(6 bytes)") && shown.contains("[\"vnc_password\"]"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
