// SPDX-License-Identifier: Apache-2.0
//! One VM: what it is doing, and its custom properties.

use crate::driver::Driver;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use virt_hooks_engine::CustomProperties;
use virt_hooks_engine::Machine;
use virt_hooks_libvirt::XmlFlags;

/// A VM and its custom properties. The values of secrets are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its state, as virsh words it.
    pub state: String,
    /// Where it is in its life, as its hooks know it.
    pub phase: String,
    /// Whether its definition is stored.
    pub persistent: bool,
    /// Its custom properties.
    pub properties: BTreeMap<String, String>,
    /// The devices with custom properties.
    pub devices: Vec<ShownDevice>,
}

/// A device with custom properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownDevice {
    /// What to call it: its kind, with its alias or address.
    pub device: String,
    /// Its custom properties.
    pub properties: BTreeMap<String, String>,
}

impl Driver {
    /// A VM as libvirt and its metadata have it: ours and VDSM's, of which ours wins.
    ///
    /// # Errors
    /// There is no such VM, or libvirt does not answer.
    pub fn show(&self, vm: &str) -> Result<Shown, Error> {
        let domain = self.connection.lookup(vm).map_err(Error::Unreachable)?;
        let state = domain.state().map_err(Error::Unreachable)?;
        let machine = Machine::read(domain.xml(XmlFlags::default()).map_err(Error::Unreachable)?.as_bytes())?;
        let phase = match &self.desks {
            Some(desks) => desks.of(domain.uuid()).phase(),
            None => self.phase_in_libvirt(domain.uuid())?,
        };
        Ok(Shown {
            name: domain.name().to_owned(),
            uuid: domain.uuid().to_owned(),
            state: state.state.name().to_owned(),
            phase: phase.name().to_owned(),
            persistent: domain.is_persistent().map_err(Error::Unreachable)?,
            properties: self.shown(&machine.vm.properties),
            devices: machine
                .custom_devices()
                .into_iter()
                .map(|d| ShownDevice { properties: self.shown(d.properties()), device: d.label })
                .collect(),
        })
    }

    fn shown(&self, properties: &CustomProperties) -> BTreeMap<String, String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        properties
            .iter()
            .map(|(name, value)| {
                let name = text(name);
                let value = if self.engine.is_secret(&name) { "(hidden)".to_owned() } else { text(value) };
                (name, value)
            })
            .collect()
    }
}
