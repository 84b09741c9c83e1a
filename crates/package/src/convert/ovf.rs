// SPDX-License-Identifier: Apache-2.0
//! An OVF as oVirt writes it: properties as `name=value`, separated by `;`.

use super::{ConvertError, Device, Machine, Source};
use virt_hooks_contract::env::is_property_name;
use virt_hooks_domxml::{Document, Element};

/// `rasd:ResourceType` of a NIC.
const NIC: &str = "10";
/// Elements with properties of the VM: all of them, and the two kinds apart.
const OF_VM: [&str; 3] = ["PredefinedProperties", "UserDefinedProperties", "CustomProperties"];

pub(super) fn read(file: &str, doc: &Document) -> Result<Machine, ConvertError> {
    let named = |parent: Element, name: &str| doc.children(parent).find(|&e| doc.local_name(e) == name);
    let content = named(doc.root(), "Content").or_else(|| named(doc.root(), "VirtualSystem"));
    let Some(content) = content else {
        return Err(ConvertError::element(
            file,
            doc,
            doc.root(),
            "no <Content> or <VirtualSystem> in it: this OVF describes no VM".to_owned(),
        ));
    };
    let mut machine = Machine { source: Source::Ovf, ..Machine::default() };
    let name = named(content, "Name").map(|n| doc.text(n).trim().to_owned()).filter(|n| !n.is_empty());
    machine.name = name;
    for element in doc.children(content).filter(|&e| OF_VM.contains(&doc.local_name(e))) {
        for (name, value) in split(file, doc, element)? {
            // What is in the list of all is in that of its kind too.
            if !machine.properties.iter().any(|p| p.0 == name && p.1 == value) {
                machine.properties.push((name, value));
            }
        }
    }
    let mut places = [0_usize; 2];
    for item in doc.descendants(content).filter(|&e| doc.local_name(e) == "Item") {
        let text = |name: &str| {
            named(item, name).map(|e| doc.text(e).trim().to_owned()).filter(|text| !text.is_empty())
        };
        let is_nic = text("ResourceType").as_deref() == Some(NIC);
        let place = &mut places[usize::from(is_nic)];
        *place += 1;
        let properties = match named(item, "CustomProperties") {
            Some(element) => split(file, doc, element)?,
            None => Vec::new(),
        };
        if properties.is_empty() {
            continue;
        }
        // A NIC has its name; what is called ElementName or Caption is for people.
        let name = text("Name").unwrap_or_else(|| {
            let made = format!("{}{place}", if is_nic { "nic" } else { "device" });
            machine
                .remarks
                .push(format!("{made} has no name in the OVF and is called so by its place: check it"));
            made
        });
        machine.devices.push(Device { name, mac: text("MACAddress"), properties });
    }
    Ok(machine)
}

fn split(file: &str, doc: &Document, element: Element) -> Result<Vec<(String, String)>, ConvertError> {
    let text = doc.text(element);
    let mut properties = Vec::new();
    for (n, one) in text.split(';').enumerate() {
        let one = one.trim();
        if one.is_empty() {
            continue;
        }
        match one.split_once('=') {
            Some((name, value)) if is_property_name(name.trim()) => {
                properties.push((name.trim().to_owned(), value.to_owned()));
            }
            // Its words may be the rest of a secret.
            _ => {
                let reason = format!("property {} of the list is not of the form name=value", n + 1);
                return Err(ConvertError::element(file, doc, element, reason));
            }
        }
    }
    Ok(properties)
}
