// SPDX-License-Identifier: Apache-2.0
//! The devices of a host, with VDSM's names: from libvirt, or from `/sys` where the driver has none.

use super::{Files, Inquiry, attribute_at, read_xml, text_at};
use crate::driver::Driver;
use crate::error::Error;
use serde_json::{Map, Value, json};
use virt_hooks_libvirt::{ErrorKind, NodeDevice};

impl Driver {
    /// The devices of the host, keyed by libvirt's names: what `after_hostdev_list_by_caps` makes of them (VDSM
    /// sequence 4.19; there is no point before it).
    ///
    /// # Errors
    /// libvirt does not answer. Hooks cannot make it fail.
    pub fn host_devices(&self, inquiry: &mut Inquiry<'_>) -> Result<Value, Error> {
        let files = Files::of_host();
        let devices = match self.connection.node_devices() {
            Ok(devices) => devices.iter().filter_map(|d| of_libvirt(d, &files)).collect(),
            // The embedded driver knows no devices.
            Err(e) if matches!(e.kind, ErrorKind::Unsupported | ErrorKind::NoConnect) => {
                pci_of_kernel(&files)
            }
            Err(e) => return Err(Error::Unreachable(e)),
        };
        inquiry.changed_by(self, "after_hostdev_list_by_caps", Value::Object(devices), Value::is_object)
    }
}

/// One device; `None` where its XML cannot be read.
fn of_libvirt(device: &NodeDevice, files: &Files) -> Option<(String, Value)> {
    let doc = read_xml(&device.xml).ok()?;
    let root = doc.root();
    let capability = doc.child(root, "capability")?;
    let kind = doc.attribute(capability, "type")?.into_owned();
    // The machine itself: the parent of all others.
    if kind == "system" {
        return None;
    }
    let mut params = Map::new();
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            params.insert(key.to_owned(), value.into());
        }
    };
    set("parent", text_at(&doc, root, "parent"));
    set("driver", text_at(&doc, root, "driver/name"));
    for part in ["vendor", "product"] {
        set(part, text_at(&doc, capability, part));
        set(&format!("{part}_id"), attribute_at(&doc, capability, part, "id"));
    }
    set("iommu_group", attribute_at(&doc, capability, "iommuGroup", "number"));
    set("numa_node", attribute_at(&doc, capability, "numa", "node"));
    set("interface", text_at(&doc, capability, "interface"));
    set("block", text_at(&doc, capability, "block"));
    let parts: &[&str] = match kind.as_str() {
        "pci" => &["domain", "bus", "slot", "function"],
        "usb_device" => &["bus", "device"],
        "scsi" => &["host", "bus", "target", "lun"],
        _ => &[],
    };
    let address: Map<String, Value> = parts
        .iter()
        .filter_map(|part| Some(((*part).to_owned(), text_at(&doc, capability, part)?.into())))
        .collect();
    if kind == "pci" {
        let functions = doc.children(capability).find(|&c| doc.has(c, "type", "virt_functions"));
        if let Some(most) = functions.and_then(|f| doc.attribute(f, "maxCount")?.parse::<u64>().ok()) {
            params.insert("totalvfs".into(), most.into());
        }
        let bridge = doc.children(capability).any(|c| doc.has(c, "type", "pci-bridge"));
        let assignable = !bridge && params.contains_key("iommu_group");
        params.insert("is_assignable".into(), assignable.to_string().into());
        if let Some(physical) = physical_function(&address, files) {
            params.insert("physfn".into(), physical.into());
        }
    }
    if !address.is_empty() {
        params.insert("address".into(), address.into());
    }
    params.insert("capability".into(), kind.into());
    Some((device.name.clone(), json!({"params": params})))
}

/// libvirt's name of the device whose virtual function this is.
fn physical_function(address: &Map<String, Value>, files: &Files) -> Option<String> {
    let part = |name: &str| address.get(name)?.as_str()?.parse::<u32>().ok();
    let (domain, bus, slot, function) = (part("domain")?, part("bus")?, part("slot")?, part("function")?);
    let bdf = format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}");
    files.link(&format!("sys/bus/pci/devices/{bdf}/physfn")).map(|bdf| libvirt_name(&bdf))
}

/// `0000:00:19.0` as libvirt calls it.
fn libvirt_name(bdf: &str) -> String {
    format!("pci_{}", bdf.replace([':', '.'], "_"))
}

/// The PCI devices the kernel knows, as libvirt would tell them.
fn pci_of_kernel(files: &Files) -> Map<String, Value> {
    files.list("sys/bus/pci/devices").iter().filter_map(|bdf| pci(bdf, files)).collect()
}

fn pci(bdf: &str, files: &Files) -> Option<(String, Value)> {
    let (domain, rest) = bdf.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (slot, function) = rest.split_once('.')?;
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    let address = json!({
        "domain": number(domain)?.to_string(), "bus": number(bus)?.to_string(),
        "slot": number(slot)?.to_string(), "function": number(function)?.to_string(),
    });
    let path = |attribute: &str| format!("sys/bus/pci/devices/{bdf}/{attribute}");
    let mut params = Map::new();
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            params.insert(key.to_owned(), value.into());
        }
    };
    set("vendor_id", files.read(&path("vendor")));
    set("product_id", files.read(&path("device")));
    set("driver", files.link(&path("driver")));
    let group = files.link(&path("iommu_group"));
    set("iommu_group", group.clone());
    // -1: the host has no nodes.
    set("numa_node", files.read(&path("numa_node")).filter(|n| n != "-1"));
    set("physfn", files.link(&path("physfn")).map(|bdf| libvirt_name(&bdf)));
    // 06: a bridge, which is not handed to a VM.
    let bridge = files.read(&path("class")).is_some_and(|class| class.starts_with("0x06"));
    set("is_assignable", Some((!bridge && group.is_some()).to_string()));
    let above = std::fs::canonicalize(files.path(&format!("sys/bus/pci/devices/{bdf}"))).ok();
    let above = above.as_deref().and_then(|p| p.parent()?.file_name()?.to_str());
    let parent = above.filter(|p| p.contains('.') && p.contains(':')).map(libvirt_name);
    set("parent", Some(parent.unwrap_or_else(|| "computer".to_owned())));
    set("capability", Some("pci".to_owned()));
    if let Some(most) = files.number(&path("sriov_totalvfs")) {
        params.insert("totalvfs".into(), most.into());
    }
    params.insert("address".into(), address);
    Some((libvirt_name(bdf), json!({"params": params})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const XML: &str = "<device><name>pci_0000_00_19_0</name><path>/sys/devices/pci0000:00/0000:00:19.0</path>\
        <parent>computer</parent><driver><name>e1000e</name></driver><capability type='pci'><class>0x020000</class>\
        <domain>0</domain><bus>0</bus><slot>25</slot><function>0</function>\
        <product id='0x1502'>Ethernet</product><vendor id='0x8086'>Intel</vendor>\
        <capability type='virt_functions' maxCount='8'/><numa node='0'/>\
        <iommuGroup number='5'><address domain='0x0000' bus='0x00' slot='0x19' function='0x0'/></iommuGroup>\
        </capability></device>";

    #[test]
    fn libvirts_xml_in_vdsms_words() {
        let device = NodeDevice { name: "pci_0000_00_19_0".to_owned(), xml: XML.to_owned() };
        let dir = tempfile::tempdir().unwrap();
        let (name, value) = of_libvirt(&device, &Files::below(dir.path())).unwrap();
        let expected = json!({"params": {
            "capability": "pci", "is_assignable": "true", "vendor_id": "0x8086", "vendor": "Intel",
            "product_id": "0x1502", "product": "Ethernet", "iommu_group": "5", "numa_node": "0",
            "driver": "e1000e", "parent": "computer", "totalvfs": 8,
            "address": {"domain": "0", "bus": "0", "slot": "25", "function": "0"}}});
        assert_eq!((name.as_str(), value), ("pci_0000_00_19_0", expected));
    }

    #[test]
    fn the_kernels_files_in_the_same_words() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("sys/devices/pci0000:00/0000:00:19.0");
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(dir.path().join("sys/bus/pci/devices")).unwrap();
        fs::create_dir_all(dir.path().join("sys/kernel/iommu_groups/5")).unwrap();
        symlink(
            "../../../devices/pci0000:00/0000:00:19.0",
            dir.path().join("sys/bus/pci/devices/0000:00:19.0"),
        )
        .unwrap();
        symlink("../../../kernel/iommu_groups/5", device.join("iommu_group")).unwrap();
        for (name, text) in [
            ("vendor", "0x8086\n"),
            ("device", "0x1502\n"),
            ("class", "0x020000\n"),
            ("numa_node", "-1\n"),
            ("sriov_totalvfs", "8\n"),
        ] {
            fs::write(device.join(name), text).unwrap();
        }
        let expected = json!({"pci_0000_00_19_0": {"params": {
            "capability": "pci", "is_assignable": "true", "vendor_id": "0x8086", "product_id": "0x1502",
            "iommu_group": "5", "parent": "computer", "totalvfs": 8,
            "address": {"domain": "0", "bus": "0", "slot": "25", "function": "0"}}}});
        assert_eq!(Value::Object(pci_of_kernel(&Files::below(dir.path()))), expected);
    }
}
