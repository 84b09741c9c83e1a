// SPDX-License-Identifier: Apache-2.0
//! The XML of a device as a request brings it.

use crate::error::Error;
use virt_hooks_domxml::{Document, Element};
use virt_hooks_engine::CustomProperties;
use virt_hooks_engine::machine::label;
use virt_hooks_engine::properties;

/// A device that a request brings.
#[derive(Debug)]
pub(super) struct Given {
    /// Its XML, byte by byte as it was given.
    pub(super) xml: String,
    /// Custom properties that came with it.
    pub(super) properties: CustomProperties,
    /// What to call it.
    pub(super) label: String,
    doc: Document,
    element: Element,
}

impl Given {
    /// Reads the XML of a device of this kind: the element itself, or VDSM's `<hotplug>` around it, which has
    /// `<devices>` with the device and `<metadata>` with its custom properties.
    pub(super) fn read(xml: &[u8], kind: &'static str) -> Result<Self, Error> {
        let bad = |what: String| Error::DeviceXml(what);
        let doc = Document::parse(xml).map_err(|e| bad(e.to_string()))?;
        let root = doc.root();
        if doc.name(root) == kind {
            let (xml, label) = (doc.as_str().to_owned(), label(&doc, root));
            return Ok(Self { xml, properties: CustomProperties::default(), label, doc, element: root });
        }
        if doc.name(root) != "hotplug" {
            return Err(bad(format!("the root element is <{}>, not <{kind}>", doc.name(root))));
        }
        let devices: Vec<Element> =
            doc.child(root, "devices").map(|d| doc.children(d).collect()).unwrap_or_default();
        let [device] = devices[..] else {
            return Err(bad(format!("<hotplug> holds {} devices: give one", devices.len())));
        };
        if doc.name(device) != kind {
            return Err(bad(format!("the device is <{}>, not <{kind}>", doc.name(device))));
        }
        Ok(Self {
            xml: doc.standalone(device),
            properties: properties::about(&properties::of_devices(&doc), &doc, device).unwrap_or_default(),
            label: label(&doc, device),
            element: device,
            doc,
        })
    }

    /// Its properties, after those that `machine` has for it already.
    pub(super) fn all_properties(&self, machine: &Document) -> CustomProperties {
        let known = properties::about(&properties::of_devices(machine), &self.doc, self.element);
        let mut all = known.unwrap_or_default();
        for (name, value) in self.properties.iter() {
            all.set(name, value.to_vec());
        }
        all
    }
}

/// A memory module, where its XML is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryModule {
    /// Its size in MiB.
    pub size_mib: u64,
    /// The NUMA node of the guest that it belongs to.
    pub node: u32,
}

impl MemoryModule {
    /// Its XML.
    pub fn xml(self) -> String {
        let Self { size_mib, node } = self;
        format!(
            "<memory model=\"dimm\"><target><size unit=\"MiB\">{size_mib}</size><node>{node}</node></target></memory>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(p: &CustomProperties) -> Vec<(String, String)> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        p.iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn a_device_is_taken_byte_by_byte() {
        let xml = "<?xml version='1.0'?>\n<interface  type='user'>\n<mac address='52:54:00:00:00:01'/></interface>\n";
        let given = Given::read(xml.as_bytes(), "interface").unwrap();
        assert_eq!((given.xml.as_str(), given.label.as_str()), (xml, "interface 52:54:00:00:00:01"));
        assert!(given.properties.is_empty());
    }

    #[test]
    fn vdsms_envelope_brings_properties() {
        let xml = "<hotplug xmlns:o='http://ovirt.org/vm/1.0' xmlns:q='urn:q'><devices><interface q:x='1'><mac address='52:54:00:00:00:01'/></interface></devices>\
            <metadata><o:vm><o:device devtype='interface' mac_address='52:54:00:00:00:01'><o:custom><o:qos>0.5</o:qos></o:custom></o:device></o:vm></metadata></hotplug>";
        let given = Given::read(xml.as_bytes(), "interface").unwrap();
        assert_eq!(
            given.xml,
            "<interface xmlns:q=\"urn:q\" q:x='1'><mac address='52:54:00:00:00:01'/></interface>"
        );
        assert_eq!(pairs(&given.properties), [("qos".into(), "0.5".into())]);
        let stored = "<domain><metadata><v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device mac_address='52:54:00:00:00:01'>\
            <v:custom><v:property name='qos'>0.1</v:property></v:custom></v:device></v:vm></metadata></domain>";
        let all = given.all_properties(&Document::parse(stored).unwrap());
        assert_eq!(
            pairs(&all),
            [("qos".into(), "0.1".into()), ("qos".into(), "0.5".into())],
            "the last wins"
        );
    }

    #[test]
    fn what_is_no_such_device_is_refused() {
        let say = |xml: &str| Given::read(xml.as_bytes(), "disk").unwrap_err().to_string();
        assert_eq!(say("<interface/>"), "device XML: the root element is <interface>, not <disk>");
        assert_eq!(say("<hotplug/>"), "device XML: <hotplug> holds 0 devices: give one");
        assert_eq!(
            say("<hotplug><devices><hostdev/></devices></hotplug>"),
            "device XML: the device is <hostdev>, not <disk>"
        );
        assert!(say("<disk>").starts_with("device XML: line 1"));
    }

    #[test]
    fn a_module_is_composed() {
        let xml = MemoryModule { size_mib: 64, node: 1 }.xml();
        assert!(Given::read(xml.as_bytes(), "memory").is_ok());
        assert!(xml.contains("<size unit=\"MiB\">64</size><node>1</node>"));
    }
}
