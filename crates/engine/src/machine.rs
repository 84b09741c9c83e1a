// SPDX-License-Identifier: Apache-2.0
//! A VM as its domain XML describes it.

use crate::event::{CustomProperties, Vm};
use crate::identity::{canonical_uuid, random_uuid};
use crate::properties;
use virt_hooks_domxml::{Document, Element, NewElement};

/// A domain XML that cannot be used; its text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("domain XML: {0}")]
pub struct MachineError(pub String);

/// A VM and its domain XML.
#[derive(Clone, Debug)]
pub struct Machine {
    doc: Document,
    /// What events say of it.
    pub vm: Vm,
}

/// A device as it stands in a domain XML, with its custom properties.
pub struct CustomDevice {
    /// The element, in the document of its [`Machine`].
    pub element: Element,
    properties: CustomProperties,
    /// What to call it: its alias, else its kind and address.
    pub label: String,
}

impl CustomDevice {
    /// Its custom properties, of both kinds of metadata.
    pub fn properties(&self) -> &CustomProperties {
        &self.properties
    }
}

impl Machine {
    /// Reads a domain XML. A VM without a UUID gets one, because hooks and launch flags need it.
    ///
    /// # Errors
    /// It is no domain XML, or one without a name or with a broken UUID.
    pub fn read(xml: &[u8]) -> Result<Self, MachineError> {
        let bad = |e: &dyn std::fmt::Display| MachineError(e.to_string());
        let mut doc = Document::parse(xml).map_err(|e| bad(&e))?;
        if doc.name(doc.root()) != "domain" {
            return Err(MachineError(format!(
                "the root element is <{}>, not <domain>",
                doc.name(doc.root())
            )));
        }
        let text =
            |doc: &Document, name| doc.child(doc.root(), name).map(|e| (e, doc.text(e).trim().to_owned()));
        let Some((name_element, name)) = text(&doc, "name").filter(|(_, n)| !n.is_empty()) else {
            return Err(MachineError("it has no <name>".to_owned()));
        };
        let id = match text(&doc, "uuid") {
            Some((_, uuid)) => {
                canonical_uuid(&uuid).ok_or_else(|| MachineError(format!("\"{uuid}\" is not a UUID")))?
            }
            None => {
                let uuid = random_uuid().map_err(|e| bad(&e))?;
                doc.insert_after(name_element, NewElement::new("uuid").text(&uuid)).map_err(|e| bad(&e))?;
                uuid
            }
        };
        let properties = properties::of_vm(&doc);
        Ok(Self { doc, vm: Vm { id, name: Some(name), properties } })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.vm.name.as_deref().unwrap_or(&self.vm.id)
    }

    /// libvirt's id of the VM's present life; empty where it does not run.
    pub fn life(&self) -> String {
        self.doc.attribute(self.doc.root(), "id").unwrap_or_default().into_owned()
    }

    /// The XML as it stands.
    pub fn xml(&self) -> &str {
        self.doc.as_str()
    }

    /// Sets a custom property, in the XML too.
    ///
    /// # Errors
    /// XML cannot hold the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), MachineError> {
        properties::set(&mut self.doc, name, value)
            .map_err(|e| MachineError(format!("cannot take the property \"{name}\": {e}")))?;
        self.vm.properties.set(name, value);
        Ok(())
    }

    /// The mark of a stored definition that hooks were applied to: [`Engine::fingerprint`](crate::Engine::fingerprint)
    /// as it was then.
    pub fn mark(&self) -> Option<String> {
        properties::marked(&self.doc)
    }

    /// Marks the XML as one that hooks were applied to.
    ///
    /// # Errors
    /// XML cannot hold the mark.
    pub fn set_mark(&mut self, digest: &str) -> Result<(), MachineError> {
        properties::mark(&mut self.doc, digest).map_err(|e| MachineError(format!("cannot take a mark: {e}")))
    }

    /// Sets a custom property in our metadata, of the VM or of the device with an alias; `None` removes it.
    ///
    /// # Errors
    /// The XML cannot take it.
    pub fn change(
        &mut self,
        device: Option<&str>,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), MachineError> {
        let done = match (device, value) {
            (None, Some(value)) => properties::set(&mut self.doc, name, value),
            (Some(alias), Some(value)) => properties::set_of_device(&mut self.doc, alias, name, value),
            (device, None) => properties::unset(&mut self.doc, device, name),
        };
        done.map_err(|e| MachineError(format!("cannot take the property \"{name}\": {e}")))
    }

    /// Takes over what hooks made of the XML; properties stay as they were given, and the metadata is theirs.
    ///
    /// # Errors
    /// It is no XML any more.
    pub fn replace(&mut self, xml: &[u8]) -> Result<(), MachineError> {
        self.doc = Document::parse(xml).map_err(|e| MachineError(e.to_string()))?;
        Ok(())
    }

    /// The devices with an entry for custom properties, in document order.
    pub fn custom_devices(&self) -> Vec<CustomDevice> {
        let entries = properties::of_devices(&self.doc);
        let Some(devices) = self.doc.child(self.doc.root(), "devices").filter(|_| !entries.is_empty()) else {
            return Vec::new();
        };
        self.doc
            .children(devices)
            .filter_map(|element| {
                let properties = properties::about(&entries, &self.doc, element)?;
                Some(CustomDevice { element, properties, label: label(&self.doc, element) })
            })
            .collect()
    }

    /// The devices of a kind, such as `interface`, in document order, with what properties they have.
    pub fn devices(&self, kind: &str) -> Vec<CustomDevice> {
        let entries = properties::of_devices(&self.doc);
        let all = self.doc.devices(kind).into_iter();
        all.map(|element| CustomDevice {
            element,
            properties: properties::about(&entries, &self.doc, element).unwrap_or_default(),
            label: label(&self.doc, element),
        })
        .collect()
    }

    /// The XML, taken apart.
    pub fn doc(&self) -> &Document {
        &self.doc
    }

    /// The XML, to be edited.
    pub fn doc_mut(&mut self) -> &mut Document {
        &mut self.doc
    }

    /// The XML of one device as a document of its own.
    pub fn device_xml(&self, device: &CustomDevice) -> String {
        self.doc.standalone(device.element)
    }

    /// Puts what hooks made of a device in its place (C30: where it stood, not at the end).
    ///
    /// # Errors
    /// It is no single element.
    pub fn replace_device(&mut self, device: &CustomDevice, xml: &str) -> Result<(), MachineError> {
        self.doc
            .replace(device.element, xml)
            .map(drop)
            .map_err(|e| MachineError(format!("cannot take {} from its hooks: {e}", device.label)))
    }
}

/// What to call a device: its kind, with its alias, else its address.
pub fn label(doc: &Document, device: Element) -> String {
    let kind = doc.local_name(device);
    let below = |child, attribute| doc.child(device, child).and_then(|c| doc.attribute(c, attribute));
    match below("alias", "name").or_else(|| below("mac", "address")).or_else(|| below("target", "dev")) {
        Some(which) => format!("{kind} {which}"),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_without_uuid_gets_one() {
        let m = Machine::read(b"<domain><name>x</name></domain>").unwrap();
        assert!(m.xml().contains(&format!("<name>x</name><uuid>{}</uuid>", m.vm.id)), "{}", m.xml());
    }

    #[test]
    fn what_is_no_domain_is_refused_in_one_line() {
        let say = |xml: &str| Machine::read(xml.as_bytes()).unwrap_err().to_string();
        assert_eq!(say("<network/>"), "domain XML: the root element is <network>, not <domain>");
        assert_eq!(say("<domain/>"), "domain XML: it has no <name>");
        assert_eq!(say("<domain><name>x</name><uuid>7</uuid></domain>"), "domain XML: \"7\" is not a UUID");
        assert!(say("<domain>").starts_with("domain XML: line 1"));
        assert!(say("").contains("empty"));
    }

    #[test]
    fn a_device_stands_alone_and_goes_back_to_its_place() {
        let xml = "<domain xmlns:q='urn:q'><name>x</name><metadata><v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device alias='ua-1'><v:custom/></v:device></v:vm></metadata>\
                   <devices><a/><interface q:x='1'><alias name='ua-1'/></interface><b/></devices></domain>";
        let mut m = Machine::read(xml.as_bytes()).unwrap();
        let devices = m.custom_devices();
        assert_eq!((devices.len(), devices[0].label.as_str()), (1, "interface ua-1"));
        let alone = m.device_xml(&devices[0]);
        assert_eq!(alone, "<interface xmlns:q=\"urn:q\" q:x='1'><alias name='ua-1'/></interface>");
        m.replace_device(&devices[0], "<?xml version=\"1.0\" encoding=\"utf-8\"?><interface/>").unwrap();
        assert!(m.xml().contains("<a/><interface/><b/>"), "{}", m.xml());
    }
}
