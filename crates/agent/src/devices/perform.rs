// SPDX-License-Identifier: Apache-2.0
//! Changes of a running VM by their names in `io.virthooks.Agent`.

use crate::devices::{Changed, CpusRequest, NicChange, NicUpdate, PlugRequest, TicketRequest, UnplugRequest};
use crate::driver::Driver;
use crate::error::Error;
use crate::protocol::{Answer, Parameters};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::{CustomProperties, Watch};

/// How long a guest may take to let go of a device, where nobody says (VDSM's sequence 4.13).
const UNPLUG: Duration = Duration::from_secs(30);

/// The operations that change a VM's devices.
pub(crate) const CHANGES: [&str; 8] =
    ["NicPlug", "NicUnplug", "NicUpdate", "DiskPlug", "DiskUnplug", "MemoryPlug", "SetCpus", "SetTicket"];

impl Driver {
    /// Does the change that is called `method`.
    pub(crate) fn perform_change(
        &self,
        method: &str,
        p: &Parameters,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Answer, Error> {
        let vm = p.vm.as_deref().ok_or(Error::Missing("vm"))?;
        let device = || p.device.as_deref().ok_or(Error::Missing("device"));
        let (timeout, with_diff) = (p.timeout_ms.map(Duration::from_millis), p.diff);
        let properties = || -> Vec<(String, String)> {
            p.properties.iter().filter_map(|(n, v)| Some((n.clone(), v.clone()?))).collect()
        };
        let plug = || {
            let xml = p.xml.clone().ok_or(Error::Missing("xml"))?.into_bytes();
            Ok::<_, Error>(PlugRequest { vm, xml, properties: properties(), timeout, with_diff, cancel })
        };
        let unplug = || {
            let wait = p.wait_ms.map_or(UNPLUG, Duration::from_millis);
            let grace = Duration::from_millis(p.grace_ms.unwrap_or(0));
            Ok::<_, Error>(UnplugRequest { vm, device: device()?, wait, grace, with_diff, cancel })
        };
        let changed = match method {
            "NicPlug" => self.nic_plug(&plug()?, watch, reports),
            "DiskPlug" => self.disk_plug(&plug()?, watch, reports),
            // Hooks at the points of memory get the properties of the VM only.
            "MemoryPlug" => {
                self.memory_plug(&PlugRequest { properties: Vec::new(), ..plug()? }, watch, reports)
            }
            "NicUnplug" => self.nic_unplug(&unplug()?, watch, reports),
            "DiskUnplug" => self.disk_unplug(&unplug()?, watch, reports),
            "NicUpdate" => {
                let change = match &p.xml {
                    Some(xml) => NicChange::Xml(xml.clone().into_bytes()),
                    None => NicChange::Parts {
                        link_up: p.link_up,
                        bridge: p.bridge.as_deref(),
                        network: p.network.as_deref(),
                    },
                };
                let request = NicUpdate {
                    vm,
                    nic: device()?,
                    change,
                    properties: properties(),
                    timeout,
                    with_diff,
                    cancel,
                };
                self.nic_update(&request, watch, reports)
            }
            "SetCpus" => {
                let count = p.count.ok_or(Error::Missing("count"))?;
                self.set_cpus(&CpusRequest { vm, count, timeout, cancel }, watch, reports)
            }
            "SetTicket" => {
                let mut parameters = CustomProperties::default();
                for (name, value) in properties() {
                    parameters.set(name, value);
                }
                let request = TicketRequest {
                    vm,
                    ticket: p.ticket.clone().ok_or(Error::Missing("ticket"))?,
                    graphics: p.graphics,
                    valid: p.valid_ms.map(Duration::from_millis),
                    connected: p.connected,
                    parameters,
                    timeout,
                    cancel,
                };
                self.set_ticket(&request, watch, reports)
            }
            _ => return Err(Error::Missing("method")),
        }?;
        Ok(changed.into())
    }
}

impl From<Changed> for Answer {
    fn from(changed: Changed) -> Self {
        let Changed { name, uuid, what, late, warnings } = changed;
        Self { name: Some(name), uuid: Some(uuid), what: Some(what), late, warnings, ..Self::default() }
    }
}
