// SPDX-License-Identifier: Apache-2.0
//! A VM that runs, about to be changed.

use crate::devices::Changed;
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::Occasion;
use crate::scene::Place;
use std::os::fd::BorrowedFd;
use virt_hooks_contract::Report;
use virt_hooks_engine::machine::{CustomDevice, Machine};
use virt_hooks_engine::{Vm, Watch};
use virt_hooks_libvirt::{Domain, ErrorKind, XmlFlags};

/// A VM that runs and that nobody else works on, and what it is now.
pub(super) struct Live<'d> {
    pub(super) domain: Domain,
    pub(super) machine: Machine,
    place: Place<'d>,
}

impl Driver {
    /// Waits for a VM to be free, and sees what it is.
    pub(super) fn live(
        &self,
        vm: &str,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Live<'_>, Error> {
        let domain = self.connection.lookup(vm).map_err(Error::Unreachable)?;
        let place = self.place_beside(domain.uuid(), domain.name(), cancel, watch, reports)?;
        if !domain.is_active().map_err(Error::Unreachable)? {
            return Err(self.not_running(domain.uuid(), domain.name()));
        }
        let machine = read(&domain)?;
        Ok(Live { domain, machine, place })
    }
}

/// What the VM is now.
pub(super) fn read(domain: &Domain) -> Result<Machine, Error> {
    Ok(Machine::read(domain.xml(XmlFlags::default()).map_err(Error::Unreachable)?.as_bytes())?)
}

impl<'d> Live<'d> {
    pub(super) fn vm(&self) -> Vm {
        self.machine.vm.clone()
    }

    /// Another operation may begin: a hook may ask for one, and wait for it.
    pub(super) fn unlock(self) -> (Domain, Machine) {
        drop(self.place);
        (self.domain, self.machine)
    }

    /// The VM, and the place at it, to be let go of later.
    pub(super) fn split(self) -> (Domain, Place<'d>) {
        (self.domain, self.place)
    }

    /// The one device of a kind with this alias, MAC address or target.
    pub(super) fn device(&self, kind: &'static str, which: &str) -> Result<CustomDevice, Error> {
        let doc = self.machine.doc();
        let below = |device: &CustomDevice, child: &str, attribute: &str| {
            doc.child(device.element, child)
                .and_then(|c| doc.attribute(c, attribute))
                .map(std::borrow::Cow::into_owned)
        };
        let names = |device: &CustomDevice| {
            [("alias", "name"), ("mac", "address"), ("target", "dev")].map(|(c, a)| below(device, c, a))
        };
        let all = self.machine.devices(kind);
        let is_it =
            |device: &CustomDevice| names(device).iter().flatten().any(|n| n.eq_ignore_ascii_case(which));
        let known: Vec<String> =
            all.iter().map(|d| names(d).into_iter().flatten().collect::<Vec<_>>().join(" = ")).collect();
        let mut found: Vec<CustomDevice> = all.into_iter().filter(is_it).collect();
        let missing = |known: String| Error::NoDevice {
            vm: self.machine.name().to_owned(),
            kind,
            which: which.to_owned(),
            known,
        };
        match (found.pop(), found.is_empty()) {
            (Some(device), true) => Ok(device),
            (Some(_), false) => {
                Err(missing(" of its own: more than one is called that, give the alias".to_owned()))
            }
            (None, _) if known.is_empty() => Err(missing(String::new())),
            (None, _) => Err(missing(format!(": it has {}", known.join(", ")))),
        }
    }
}

/// Whether a VM has no device of a kind with this alias.
pub(super) fn lacks(machine: &Machine, kind: &str, name: &str) -> bool {
    !machine.devices(kind).iter().any(|d| alias(machine, d) == name)
}

/// The alias of a device, which every device of a running VM has.
pub(super) fn alias(machine: &Machine, device: &CustomDevice) -> String {
    let doc = machine.doc();
    let alias = doc.child(device.element, "alias").and_then(|a| doc.attribute(a, "name"));
    alias.map(std::borrow::Cow::into_owned).unwrap_or_default()
}

pub(super) fn changed(domain: &Domain, what: impl Into<String>) -> Changed {
    Changed {
        name: domain.name().to_owned(),
        uuid: domain.uuid().to_owned(),
        what: what.into(),
        late: false,
        warnings: Vec::new(),
    }
}

impl Occasion<'_> {
    /// libvirt's answer to a change, as an error of the operation. `unknown` says what there is where the answer
    /// never came.
    pub(super) fn failed(&self, source: virt_hooks_libvirt::Error, unknown: &'static str) -> Error {
        if source.kind == ErrorKind::Unreachable && !self.driver.connection.is_alive() {
            let (operation, vm) = (self.operation, self.vm_name());
            return Error::Lost { operation, vm, left: unknown, source: Box::new(source) };
        }
        self.refused(source)
    }
}
