// SPDX-License-Identifier: Apache-2.0
//! The domain XML of a VM, as `virsh dumpxml` gives it, with the metadata of VDSM or of virt-hooks.

use super::{Device, Machine, Source};
use virt_hooks_domxml::{Document, Element};
use virt_hooks_engine::{CustomProperties, properties};

pub(super) fn read(doc: &Document) -> Machine {
    let name = doc.child(doc.root(), "name").map(|n| doc.text(n).trim().to_owned());
    let mut machine = Machine {
        source: Source::Domain,
        name: name.filter(|n| !n.is_empty()),
        properties: pairs(&properties::of_vm(doc)),
        ..Machine::default()
    };
    let entries = properties::of_devices(doc);
    let devices: Vec<Element> =
        doc.child(doc.root(), "devices").map(|d| doc.children(d).collect()).unwrap_or_default();
    let mut nics = 0;
    for &device in &devices {
        let kind = doc.local_name(device);
        nics += usize::from(kind == "interface");
        let Some(properties) = properties::about(&entries, doc, device).filter(|p| !p.is_empty()) else {
            continue;
        };
        let below = |child: &str, attribute: &str| {
            doc.child(device, child)
                .and_then(|c| doc.attribute(c, attribute))
                .map(std::borrow::Cow::into_owned)
        };
        let name = match (kind, below("target", "dev"), below("alias", "name")) {
            ("interface", _, _) => format!("nic{nics}"),
            ("disk", Some(target), _) => target,
            (_, _, Some(alias)) => alias,
            _ => kind.to_owned(),
        };
        machine.remarks.push(format!(
            "<{kind}> {name}: libvirt does not know its name in oVirt, and this one is made of its place: check it, \
             or give another"
        ));
        machine.devices.push(Device { name, mac: below("mac", "address"), properties: pairs(&properties) });
    }
    for entry in &entries {
        if !entry.properties.is_empty() && !devices.iter().any(|&d| entry.is_about(doc, d)) {
            let names: Vec<_> =
                entry.properties.iter().map(|(n, _)| String::from_utf8_lossy(n).into_owned()).collect();
            machine.remarks.push(format!(
                "the metadata has properties ({}) of a device that the domain does not have: not carried over",
                names.join(", ")
            ));
        }
    }
    machine
}

/// They come from text.
fn pairs(properties: &CustomProperties) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    properties.iter().map(|(name, value)| (text(name), text(value))).collect()
}
