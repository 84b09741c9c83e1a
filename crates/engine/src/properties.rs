// SPDX-License-Identifier: Apache-2.0
//! Custom properties in the metadata of a domain XML.
//!
//! VDSM keeps them under `vm/custom` and `vm/device[…]/custom` in its own namespace, one element per property.
//! Ours have the same shape in our namespace, but the property's name is an attribute, because not every
//! name of a property can be the name of an element:
//!
//! ```xml
//! <virt-hooks:vm xmlns:virt-hooks="http://virt-hooks.io/vm/1.0">
//!   <virt-hooks:custom><virt-hooks:property name="smbios">{'serial': '1'}</virt-hooks:property></virt-hooks:custom>
//!   <virt-hooks:device alias="ua-1"><virt-hooks:custom/></virt-hooks:device>
//! </virt-hooks:vm>
//! ```

use crate::event::CustomProperties;
use virt_hooks_domxml::{Document, EditError, Element, NewElement, OVIRT_VM_NAMESPACE};

/// The namespace of our metadata.
pub const NAMESPACE: &str = "http://virt-hooks.io/vm/1.0";
/// The prefix it is written with.
pub const PREFIX: &str = "virt-hooks";

/// A `device` entry: which device is meant, and its properties.
#[derive(Clone, Debug)]
pub struct DeviceEntry {
    alias: Option<String>,
    mac: Option<String>,
    name: Option<String>,
    kind: Option<String>,
    /// Its properties.
    pub properties: CustomProperties,
}

/// Properties of the VM: VDSM's first, so that ours win.
pub fn of_vm(doc: &Document) -> CustomProperties {
    vms(doc)
        .flat_map(|(vm, uri)| doc.child_in(vm, uri, "custom").map(|custom| (custom, uri)))
        .flat_map(|(custom, uri)| listed(doc, custom, uri))
        .collect()
}

/// Devices with an entry for custom properties, even an empty one.
pub fn of_devices(doc: &Document) -> Vec<DeviceEntry> {
    let mut entries = Vec::new();
    for (vm, uri) in vms(doc) {
        for device in doc.children(vm).filter(|&d| doc.is_in(d, uri, "device")) {
            let Some(custom) = doc.child_in(device, uri, "custom") else { continue };
            let properties = listed(doc, custom, uri).into_iter().collect();
            entries.push(DeviceEntry { properties, ..DeviceEntry::which(doc, device) });
        }
    }
    entries
}

/// The properties of a device; `None` where no entry is about it. VDSM's entry comes before ours, which wins.
pub fn about(entries: &[DeviceEntry], doc: &Document, device: Element) -> Option<CustomProperties> {
    let mut about = entries.iter().filter(|e| e.is_about(doc, device));
    let mut properties = about.next()?.properties.clone();
    for more in about {
        for (name, value) in more.properties.iter() {
            properties.set(name, value.to_vec());
        }
    }
    Some(properties)
}

impl DeviceEntry {
    /// Which device a `device` element of the metadata means; without its properties.
    pub fn which(doc: &Document, entry: Element) -> Self {
        let text =
            |name| doc.attribute(entry, name).map(std::borrow::Cow::into_owned).filter(|v| !v.is_empty());
        Self {
            alias: text("alias"),
            mac: text("mac_address"),
            name: text("name"),
            kind: text("devtype"),
            properties: CustomProperties::default(),
        }
    }

    /// Whether this entry is about `device`: by alias; else by MAC address; else by kind and target name.
    pub fn is_about(&self, doc: &Document, device: Element) -> bool {
        let below = |child: &str, attribute: &str| {
            doc.child(device, child)
                .and_then(|c| doc.attribute(c, attribute))
                .map(std::borrow::Cow::into_owned)
        };
        if let Some(kind) = &self.kind
            && doc.local_name(device) != kind
        {
            return false;
        }
        match (&self.alias, &self.mac, &self.name) {
            (Some(alias), mac, _) if below("alias", "name").is_some() || mac.is_none() => {
                below("alias", "name").as_ref() == Some(alias)
            }
            (_, Some(mac), _) => below("mac", "address").is_some_and(|m| m.eq_ignore_ascii_case(mac)),
            (None, None, Some(name)) => below("target", "dev").as_ref() == Some(name),
            _ => false,
        }
    }
}

fn vms(doc: &Document) -> impl Iterator<Item = (Element, &'static str)> {
    let metadata = doc.child(doc.root(), "metadata");
    [OVIRT_VM_NAMESPACE, NAMESPACE]
        .into_iter()
        .filter_map(move |uri| metadata.and_then(|m| doc.child_in(m, uri, "vm")).map(|vm| (vm, uri)))
}

fn listed(doc: &Document, custom: Element, uri: &'static str) -> Vec<(String, String)> {
    doc.children(custom)
        // A property is text: what has elements in it is something else.
        .filter(|&p| doc.children(p).next().is_none())
        .filter_map(|p| {
            let name = if uri == NAMESPACE {
                doc.attribute(p, "name")?.into_owned()
            } else {
                doc.local_name(p).to_owned()
            };
            Some((name, doc.text(p).into_owned()))
        })
        .collect()
}

/// The mark of a definition that hooks were applied to: what [`mark`] wrote.
pub(crate) fn marked(doc: &Document) -> Option<String> {
    let vm = doc.child_in(doc.child(doc.root(), "metadata")?, NAMESPACE, "vm")?;
    let applied = doc.child_in(vm, NAMESPACE, "applied")?;
    Some(doc.attribute(applied, "digest")?.into_owned())
}

/// Marks a definition as one that hooks were applied to.
pub(crate) fn mark(doc: &mut Document, digest: &str) -> Result<(), EditError> {
    let vm = ensure_vm(doc)?;
    if let Some(applied) = doc.child_in(vm, NAMESPACE, "applied") {
        return doc.set_attribute(applied, "digest", digest);
    }
    let applied = NewElement::new(prefixed(doc, vm, "applied")).attribute("digest", digest);
    doc.append(vm, applied).map(drop)
}

/// Sets a property of the VM in our metadata.
pub(crate) fn set(doc: &mut Document, name: &str, value: &str) -> Result<(), EditError> {
    let vm = ensure_vm(doc)?;
    set_below(doc, vm, name, value)
}

/// Sets a property of a device, by its alias, in our metadata.
pub(crate) fn set_of_device(
    doc: &mut Document,
    alias: &str,
    name: &str,
    value: &str,
) -> Result<(), EditError> {
    let vm = ensure_vm(doc)?;
    let device = match device_entry(doc, vm, alias) {
        Some(device) => device,
        None => {
            let entry = NewElement::new(prefixed(doc, vm, "device")).attribute("alias", alias);
            doc.append(vm, entry)?
        }
    };
    set_below(doc, device, name, value)
}

/// Removes a property of the VM, or of a device by its alias, from our metadata.
pub(crate) fn unset(doc: &mut Document, device: Option<&str>, name: &str) -> Result<(), EditError> {
    let ours = |doc: &Document| {
        let metadata = doc.child(doc.root(), "metadata")?;
        let vm = doc.child_in(metadata, NAMESPACE, "vm")?;
        let holder = match device {
            Some(alias) => device_entry(doc, vm, alias)?,
            None => vm,
        };
        let custom = doc.child_in(holder, NAMESPACE, "custom")?;
        doc.children(custom).find(|&p| doc.has(p, "name", name))
    };
    match ours(doc) {
        Some(property) => doc.remove(property),
        None => Ok(()),
    }
}

fn device_entry(doc: &Document, vm: Element, alias: &str) -> Option<Element> {
    doc.children(vm).find(|&d| doc.is_in(d, NAMESPACE, "device") && doc.has(d, "alias", alias))
}

fn set_below(doc: &mut Document, holder: Element, name: &str, value: &str) -> Result<(), EditError> {
    let custom = match doc.child_in(holder, NAMESPACE, "custom") {
        Some(c) => c,
        None => doc.append(holder, NewElement::new(prefixed(doc, holder, "custom")))?,
    };
    let known = doc.children(custom).find(|&p| doc.has(p, "name", name));
    match known {
        Some(p) => doc.set_text(p, value),
        None => {
            let property =
                NewElement::new(prefixed(doc, custom, "property")).attribute("name", name).text(value);
            doc.append(custom, property).map(drop)
        }
    }
}

/// `local` with the prefix that our metadata has in this document.
fn prefixed(doc: &Document, vm: Element, local: &str) -> String {
    match doc.name(vm).split_once(':') {
        Some((prefix, _)) => format!("{prefix}:{local}"),
        None => local.to_owned(),
    }
}

/// The element of our metadata, made where it is missing.
fn ensure_vm(doc: &mut Document) -> Result<Element, EditError> {
    let metadata = match doc.child(doc.root(), "metadata") {
        Some(m) => m,
        // libvirt takes the children of <domain> in any order; here people look for it.
        None => {
            match ["title", "description", "uuid", "name"].iter().find_map(|n| doc.child(doc.root(), n)) {
                Some(before) => doc.insert_after(before, NewElement::new("metadata"))?,
                None => doc.ensure_child(doc.root(), "metadata")?,
            }
        }
    };
    match doc.child_in(metadata, NAMESPACE, "vm") {
        Some(vm) => Ok(vm),
        None => doc.append(metadata, format!("<{PREFIX}:vm xmlns:{PREFIX}=\"{NAMESPACE}\"/>").as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVIRT: &str = "<domain><name>x</name><metadata><o:vm xmlns:o='http://ovirt.org/vm/1.0'><o:custom><o:smbios>1</o:smbios><o:n type='int'>7</o:n><o:nested><o:a/></o:nested></o:custom>\
        <o:device devtype='interface' mac_address='56:6F:00:00:00:01'><o:custom><o:qos>0.5</o:qos></o:custom></o:device>\
        <o:device devtype='disk' name='vda'><o:custom/></o:device><o:device devtype='disk' name='vdb'/>\
        <o:device devtype='hostdev' alias='ua-1'><o:custom><o:c>d</o:c></o:custom></o:device></o:vm></metadata>\
        <devices><interface><mac address='56:6f:00:00:00:01'/></interface><disk><target dev='vda'/></disk><hostdev><alias name='ua-1'/></hostdev></devices></domain>";

    fn pairs(p: &CustomProperties) -> Vec<(String, String)> {
        p.iter()
            .map(|(n, v)| (String::from_utf8_lossy(n).into(), String::from_utf8_lossy(v).into()))
            .collect()
    }

    #[test]
    fn vdsms_metadata_is_read() {
        let doc = Document::parse(OVIRT).unwrap();
        assert_eq!(pairs(&of_vm(&doc)), [("smbios".into(), "1".into()), ("n".into(), "7".into())]);
        let entries = of_devices(&doc);
        assert_eq!(entries.len(), 3, "one without custom is none of ours");
        let devices: Vec<Element> = doc.children(doc.find("devices").unwrap()).collect();
        for (entry, device) in entries.iter().zip(&devices) {
            let about: Vec<bool> = devices.iter().map(|&d| entry.is_about(&doc, d)).collect();
            assert_eq!(about.iter().filter(|a| **a).count(), 1);
            assert!(entry.is_about(&doc, *device));
        }
        assert_eq!(pairs(&entries[0].properties), [("qos".into(), "0.5".into())]);
        assert!(entries[1].properties.is_empty());
    }

    #[test]
    fn ours_is_written_read_and_wins() {
        let mut doc = Document::parse(OVIRT).unwrap();
        set(&mut doc, "smbios", "<2> & \"3\"").unwrap();
        set(&mut doc, "odd name", "x").unwrap();
        set(&mut doc, "smbios", "3").unwrap();
        let again = Document::parse(doc.as_str()).unwrap();
        assert_eq!(pairs(&of_vm(&again)).last().unwrap().0, "odd name");
        assert!(pairs(&of_vm(&again)).contains(&("smbios".into(), "3".into())));
        assert_eq!(again.as_str().matches("property name=\"smbios\"").count(), 1);
    }

    #[test]
    fn a_domain_without_metadata_gets_some() {
        let mut doc = Document::parse("<domain>\n  <name>x</name>\n  <devices/>\n</domain>").unwrap();
        set(&mut doc, "a", "b").unwrap();
        assert_eq!(
            doc.as_str(),
            "<domain>\n  <name>x</name>\n  <metadata>\n    <virt-hooks:vm xmlns:virt-hooks=\"http://virt-hooks.io/vm/1.0\">\n      \
             <virt-hooks:custom>\n        <virt-hooks:property name=\"a\">b</virt-hooks:property>\n      </virt-hooks:custom>\n    \
             </virt-hooks:vm>\n  </metadata>\n  <devices/>\n</domain>"
        );
    }
}
