// SPDX-License-Identifier: Apache-2.0
//! Changing a network interface of a running VM (VDSM's sequence 4.14).

use crate::devices::Changed;
use crate::devices::given::Given;
use crate::devices::live::{alias, changed, read};
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::{About, Occasion};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_domxml::Document;
use virt_hooks_engine::Watch;
use virt_hooks_engine::machine::{CustomDevice, Machine};
use virt_hooks_libvirt::{Affect, Domain};

/// What a network interface is to become.
#[derive(Clone)]
pub enum NicChange<'a> {
    /// What this XML says. Start from the live one: libvirt takes what is left out as a change.
    Xml(Vec<u8>),
    /// As it is, but for these.
    Parts {
        /// Whether the link is up.
        link_up: Option<bool>,
        /// The bridge of the host that it is part of.
        bridge: Option<&'a str>,
        /// The network of libvirt that it is part of.
        network: Option<&'a str>,
    },
}

/// The length of an XML only: it may hold secrets.
impl fmt::Debug for NicChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xml(xml) => write!(f, "Xml({} bytes)", xml.len()),
            Self::Parts { link_up, bridge, network } => f
                .debug_struct("Parts")
                .field("link_up", link_up)
                .field("bridge", bridge)
                .field("network", network)
                .finish(),
        }
    }
}

/// A change of a network interface of a running VM.
#[derive(Clone)]
pub struct NicUpdate<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// The interface, by alias, MAC address or target.
    pub nic: &'a str,
    /// What it is to become.
    pub change: NicChange<'a>,
    /// Properties for the hooks of this change, over those that the interface has.
    pub properties: Vec<(String, String)>,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the operation is given up, as long as libvirt was not asked.
    pub cancel: Option<BorrowedFd<'a>>,
}

const OPERATION: &str = "update an interface of VM";
const FAIL: &str = "after_update_device_fail";

impl Driver {
    /// Changes a network interface of a running VM. `reports` gets the record of each event.
    ///
    /// # Errors
    /// A veto, with nothing changed; or libvirt's refusal, after which the interface is what it was before (C04). After
    /// either `after_update_device_fail` was fired.
    pub fn nic_update(
        &self,
        request: &NicUpdate<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        let live = self.live(request.vm, request.cancel, watch, reports)?;
        let nic = live.device("interface", request.nic)?;
        let earlier = live.machine.device_xml(&nic);
        let wanted = compose(&earlier, &request.change)?;
        let mut properties = nic.properties().clone();
        for (name, value) in &request.properties {
            properties.set(name.as_str(), value.as_str());
        }
        let about = About { device: Some(&nic.label), parameters: Some(&properties), ..About::default() };
        let mut occasion = Occasion {
            driver: self,
            operation: OPERATION,
            reason: "nic-update",
            vm: live.vm(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "nothing was changed",
            with_diff: request.with_diff,
            reports,
            watch,
        };
        let outcome = occasion.fire_about("before_update_device", &wanted, about);
        let sent = match occasion.settle(outcome, |_| ()) {
            Ok(sent) => String::from_utf8_lossy(sent.bytes()).into_owned(),
            Err(veto) => {
                occasion.cancel = None;
                occasion.fire_about(FAIL, &wanted, about);
                return Err(veto);
            }
        };
        if let Err(given_up) = occasion.check_interrupt() {
            occasion.cancel = None;
            occasion.fire_about(FAIL, &sent, about);
            return Err(given_up);
        }
        occasion.cancel = None;
        occasion.watch.step(&format!("update {} of VM {}", nic.label, live.machine.name()));
        let updated = live.domain.update_device(&sent, Affect::Live);
        occasion.watch.step_done();
        if let Err(source) = updated {
            occasion.fire_about(FAIL, &sent, about);
            let restored = restore(&live.domain, &live.machine, &nic, &earlier);
            let error = occasion.failed(source, "nobody knows whether the interface was changed");
            return Err(match (restored, error) {
                (Err(restore), Error::Refused { operation, vm, source }) => {
                    Error::NotRestored { operation, vm, source, restore }
                }
                (_, error) => error,
            });
        }
        let done = changed(&live.domain, nic.label.clone());
        live.unlock();
        occasion.fire_about("after_update_device", &sent, about);
        Ok(done)
    }
}

/// Sees that the interface is what it was, after an update that libvirt may have done in part.
fn restore(domain: &Domain, before: &Machine, nic: &CustomDevice, earlier: &str) -> Result<(), String> {
    let sent = domain.update_device(earlier, Affect::Live);
    let now = read(domain).map_err(|e| e.to_string())?;
    let name = alias(before, nic);
    let same =
        now.devices("interface").iter().any(|d| alias(&now, d) == name && now.device_xml(d) == earlier);
    match sent {
        _ if same => Ok(()),
        Ok(()) => Err("libvirt took it and shows another one".to_owned()),
        Err(e) => Err(e.message),
    }
}

fn compose(earlier: &str, change: &NicChange<'_>) -> Result<String, Error> {
    match change {
        NicChange::Xml(xml) => Ok(Given::read(xml, "interface")?.xml),
        NicChange::Parts { link_up, bridge, network } => {
            parts(earlier, *link_up, *bridge, *network).map_err(|e| Error::DeviceXml(e.to_string()))
        }
    }
}

fn parts(
    earlier: &str,
    link_up: Option<bool>,
    bridge: Option<&str>,
    network: Option<&str>,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut doc = Document::parse(earlier)?;
    let root = doc.root();
    if let Some(up) = link_up {
        let link = doc.ensure_child(root, "link")?;
        doc.set_attribute(link, "state", if up { "up" } else { "down" })?;
    }
    for (kind, name) in [("bridge", bridge), ("network", network)] {
        let Some(name) = name else { continue };
        doc.set_attribute(root, "type", kind)?;
        let source = doc.ensure_child(root, "source")?;
        // What libvirt says of the port it made belongs to the source that was.
        let others: Vec<String> =
            doc.attributes(source).map(|(n, _)| n.to_owned()).filter(|n| n != kind).collect();
        for other in others {
            doc.remove_attribute(source, &other)?;
        }
        doc.set_attribute(source, kind, name)?;
    }
    Ok(doc.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_changed_and_the_rest_is_kept() {
        let earlier = "<interface type='network'><source network='a' portid='p' bridge='virbr0'/><link state='up'/><alias name='net0'/></interface>";
        assert_eq!(
            parts(earlier, Some(false), None, None).unwrap(),
            earlier.replace("state='up'", "state='down'")
        );
        assert_eq!(
            parts(earlier, None, Some("br1"), None).unwrap(),
            "<interface type='bridge'><source bridge='br1'/><link state='up'/><alias name='net0'/></interface>"
        );
        assert_eq!(
            parts(earlier, None, None, Some("b")).unwrap(),
            "<interface type='network'><source network='b'/><link state='up'/><alias name='net0'/></interface>"
        );
        assert_eq!(
            parts("<interface type='user'/>", Some(true), None, None).unwrap(),
            "<interface type='user'><link state=\"up\"/></interface>"
        );
    }
}
