// SPDX-License-Identifier: Apache-2.0
//! Starting a VM (VDSM's sequences 4.1 and 4.2).

use crate::driver::Driver;
use crate::error::Error;
use crate::lock::VmLock;
use crate::machine::Machine;
use crate::occasion::{Occasion, set_devices};

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::{LaunchFlags, Watch};
use virt_hooks_libvirt::{Connection, CreateFlags, Domain, ErrorKind, XmlFlags};

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
        let lock = VmLock::take(&self.engine.settings().run_dir, &machine.vm.id, machine.name())?;
        self.check_free(&machine)?;

        let own = if request.paused { CreateFlags::START_PAUSED } else { CreateFlags::NONE };
        // Launch flags are for hooks of device and VM points, which run as the hook user.
        let user = self.engine.settings().hook_user.as_ref();
        let flags = LaunchFlags::write(&self.launch_flags_dir, &machine.vm.id, own.bits(), user)
            .map_err(|source| Error::unwritten(OPERATION, machine.name(), source))?;
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
            watch,
        };
        match occasion.launch(&mut machine, &flags) {
            Ok(domain) => {
                // A hook may ask for the next operation on its VM, and wait for it.
                drop(lock);
                occasion.started(&machine, &domain)
            }
            Err(error) => {
                drop(flags);
                occasion.launch_flags = None;
                occasion.cancel = None;
                occasion.reason = "start-failed";
                let runs = self.runs(&machine.vm.id);
                let error = occasion.lost(error, runs);
                let unknown = runs.is_none() && matches!(error, Error::Lost { .. });
                // Where it runs, what a clean-up would remove is in use: by a VM that somebody else started
                // meanwhile, or by ours.
                if runs != Some(true) && !unknown {
                    // Nobody can give a clean-up up.
                    let _ = occasion.before_destroy(&machine);
                    occasion.after_destroy(&machine);
                }
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
            Source::Xml(xml) => Machine::read(xml),
            Source::Stored(name) => {
                let domain = self.connection.lookup(name).map_err(Error::Unreachable)?;
                if domain.is_active().map_err(Error::Unreachable)? {
                    return Err(Error::Running(domain.name().to_owned()));
                }
                let stored = XmlFlags { secure: true, inactive: true, migratable: false };
                Machine::read(domain.xml(stored).map_err(Error::Unreachable)?.as_bytes())
            }
        }
    }

    /// Sees that the VM does not run and its name is its own, before any hook does anything.
    fn check_free(&self, machine: &Machine) -> Result<(), Error> {
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
    fn launch(&mut self, machine: &mut Machine, flags: &LaunchFlags) -> Result<Domain, Error> {
        self.prepare_disks(machine, "start")?;
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
        self.check_interrupt()?;
        let bits = flags.read(CreateFlags::KNOWN).map_err(|source| self.flags_error(source))?;
        let flags = CreateFlags::from_bits(bits).unwrap_or_default();
        self.watch.step(&format!("start VM {}", machine.name()));
        let domain = self.driver.connection.create_xml(machine.xml(), flags);
        self.watch.step_done();
        domain.map_err(|source| self.refused(source))
    }

    fn flags_error(&self, source: virt_hooks_engine::FlagsError) -> Error {
        Error::Flags { operation: self.operation, vm: self.vm_name(), source }
    }

    /// An error for a start that libvirt left in the middle; another error as it is.
    fn lost(&self, error: Error, runs: Option<bool>) -> Error {
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
    fn started(&mut self, machine: &Machine, domain: &Domain) -> Result<Started, Error> {
        // Where libvirt does not answer just now, what it was given is the next best.
        let live = domain.xml(XmlFlags::default()).ok().and_then(|xml| Machine::read(xml.as_bytes()).ok());
        let live = live.as_ref().unwrap_or(machine);
        self.cancel = None;
        self.fire("after_vm_start", live.xml());
        for device in set_devices(live) {
            let xml = live.device_xml(&device);
            self.fire_device("after_device_create", &xml, &device, None);
        }
        Ok(Started {
            name: domain.name().to_owned(),
            uuid: domain.uuid().to_owned(),
            state: domain.state().map_or("unknown", |s| s.state.name()),
        })
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
