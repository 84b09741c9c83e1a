// SPDX-License-Identifier: Apache-2.0
//! Custom properties of devices in the live metadata of a VM: kept when a device comes, dropped when it goes.
//!
//! Only entries in our own namespace are written. Those in VDSM's are read everywhere, and left to VDSM.

use virt_hooks_domxml::{Document, EditError, Element, NewElement};
use virt_hooks_engine::CustomProperties;
use virt_hooks_engine::properties::{DeviceEntry, NAMESPACE, PREFIX};
use virt_hooks_libvirt::{Affect, Domain};

/// Keeps the properties of a device of `machine`, the live XML that has it.
pub(super) fn keep(
    domain: &Domain,
    machine: &Document,
    device: Element,
    properties: &CustomProperties,
) -> Result<(), String> {
    if properties.is_empty() {
        return Ok(());
    }
    change(domain, |doc| {
        let entry = match entry(doc, machine, device) {
            Some(entry) => entry,
            None => doc.append(doc.root(), named(machine, device))?,
        };
        let known = doc.children(entry).find(|&c| doc.local_name(c) == "custom");
        let custom = match known {
            Some(custom) => custom,
            None => doc.append(entry, NewElement::new("custom"))?,
        };
        for (name, value) in properties.iter() {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            let known = doc.children(custom).find(|&p| doc.has(p, "name", &name));
            match known {
                Some(known) => doc.set_text(known, &value)?,
                None => {
                    let property = NewElement::new("property").attribute("name", name).text(value);
                    doc.append(custom, property)?;
                }
            }
        }
        Ok(())
    })
}

/// Drops the properties of a device that is gone; `machine` is the live XML that still had it.
pub(super) fn forget(domain: &Domain, machine: &Document, device: Element) -> Result<(), String> {
    change(domain, |doc| {
        while let Some(entry) = entry(doc, machine, device) {
            doc.remove(entry)?;
        }
        Ok(())
    })
}

fn change(domain: &Domain, edit: impl FnOnce(&mut Document) -> Result<(), EditError>) -> Result<(), String> {
    let said = |e: &dyn std::fmt::Display| format!("custom properties in the VM's metadata: {e}");
    let before = domain.metadata(NAMESPACE, Affect::Live).map_err(|e| said(&e))?;
    // libvirt gives the element without prefix and namespace, and takes it so.
    let mut doc =
        Document::parse(before.clone().unwrap_or_else(|| "<vm/>".to_owned())).map_err(|e| said(&e))?;
    edit(&mut doc).map_err(|e| said(&e))?;
    if !doc.is_changed() {
        return Ok(());
    }
    let left = doc.children(doc.root()).next().is_some();
    let xml = left.then(|| doc.as_str());
    domain.set_metadata(NAMESPACE, PREFIX, xml, Affect::Live).map_err(|e| said(&e))
}

fn entry(doc: &Document, machine: &Document, device: Element) -> Option<Element> {
    doc.children(doc.root())
        .filter(|&e| doc.local_name(e) == "device")
        .find(|&e| DeviceEntry::which(doc, e).is_about(machine, device))
}

/// A new entry. As in VDSM's metadata: an interface is known by its address, a disk by its target, all others by alias.
fn named(machine: &Document, device: Element) -> NewElement {
    let below = |child, attribute| {
        machine
            .child(device, child)
            .and_then(|c| machine.attribute(c, attribute))
            .map(std::borrow::Cow::into_owned)
    };
    let kind = machine.local_name(device);
    let entry = NewElement::new("device").attribute("devtype", kind);
    match kind {
        "interface" => entry.attribute("mac_address", below("mac", "address").unwrap_or_default()),
        "disk" => entry.attribute("name", below("target", "dev").unwrap_or_default()),
        _ => entry.attribute("alias", below("alias", "name").unwrap_or_default()),
    }
}
