// SPDX-License-Identifier: Apache-2.0
//! A disk as VDSM describes it to hooks: an object with VDSM's names, made from the domain XML and put back.

use serde_json::{Map, Value};
use virt_hooks_domxml::{Document, EditError, Element, NewElement, OVIRT_VM_NAMESPACE};

/// VDSM's ids of an image, which its metadata holds.
const IDS: [&str; 4] = ["poolID", "domainID", "imageID", "volumeID"];

/// Why an answer cannot be put into the XML.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// It is no JSON object; the engine sees to that before.
    #[error("not a JSON object: {0}")]
    Json(#[from] serde_json::Error),
    /// A value is of a type that no attribute can have.
    #[error("{key}: a text is expected")]
    Type { key: &'static str },
    /// A value is none of those there are.
    #[error("{key}: \"{value}\" is none of {known}")]
    Value { key: &'static str, value: String, known: &'static str },
    /// It would become a network disk, of which the description says too little.
    #[error("diskType: only a disk that is a network disk in the XML can be one")]
    Network,
    /// The text cannot be written as XML.
    #[error("{0}")]
    Edit(#[from] EditError),
}

/// The description of a disk.
#[derive(Debug)]
pub(crate) struct Drive(Map<String, Value>);

impl Drive {
    /// Describes a disk or CD-ROM; `None` for one without a source, and for floppies.
    pub(crate) fn read(doc: &Document, disk: Element) -> Option<Self> {
        let of = |child: &str, name: &str| {
            doc.child(disk, child).and_then(|c| doc.attribute(c, name)).map(std::borrow::Cow::into_owned)
        };
        let own = |name: &str| doc.attribute(disk, name).map(std::borrow::Cow::into_owned);
        let device = own("device").unwrap_or_else(|| "disk".to_owned());
        if !matches!(device.as_str(), "disk" | "cdrom" | "lun") {
            return None;
        }
        let kind = own("type").unwrap_or_else(|| "file".to_owned());
        let path = location(&kind).and_then(|attribute| of("source", attribute));
        let source = doc.child(disk, "source")?;
        if path.is_none() && doc.attributes(source).next().is_none() && doc.children(source).next().is_none()
        {
            return None;
        }
        let mut map = Map::new();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), Value::String(value));
            }
        };
        put("device", Some(device));
        put("type", Some("disk".to_owned()));
        put("diskType", Some(kind));
        put("path", path);
        let format = of("driver", "type").unwrap_or_else(|| "raw".to_owned());
        put("format", Some(if format == "qcow2" { "cow".to_owned() } else { format }));
        put("iface", of("target", "bus"));
        let name = of("target", "dev");
        let index = name.as_deref().and_then(index);
        put("name", name);
        put("serial", doc.child(disk, "serial").map(|s| doc.text(s).trim().to_owned()));
        put("cache", of("driver", "cache"));
        put("alias", of("alias", "name"));
        put("bootOrder", of("boot", "order"));
        let errors = if of("driver", "error_policy").as_deref() == Some("enospace") { "on" } else { "off" };
        put("propagateErrors", Some(errors.to_owned()));
        put("shared", Some(doc.child(disk, "shareable").is_some().to_string()));
        for id in IDS {
            put(id, vdsm_id(doc, disk, id));
        }
        map.insert("discard".to_owned(), Value::Bool(of("driver", "discard").as_deref() == Some("unmap")));
        if let Some(index) = index {
            map.insert("index".to_owned(), index.into());
        }
        let mut parameters = Map::new();
        if let Some(thread) = of("driver", "iothread") {
            parameters.insert("pinToIoThread".to_owned(), Value::String(thread));
        }
        map.insert("specParams".to_owned(), Value::Object(parameters));
        Some(Self(map))
    }

    /// As hooks get it.
    pub(crate) fn json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// Merges an answer over the description, and changes the disk where they differ.
    pub(crate) fn put_back(
        &self,
        doc: &mut Document,
        disk: Element,
        answer: &[u8],
    ) -> Result<(), DriveError> {
        let answer: Map<String, Value> = serde_json::from_slice(answer)?;
        let changed = |key: &'static str| match answer.get(key) {
            Some(value) if self.0.get(key) != Some(value) => text(key, value).map(Some),
            _ => Ok(None),
        };
        self.put_source(doc, disk, changed("path")?, changed("diskType")?.as_deref())?;
        if let Some(format) = changed("format")? {
            set(doc, disk, "driver", "type", if format == "cow" { "qcow2" } else { &format })?;
        }
        for (key, child, attribute) in [
            ("cache", "driver", "cache"),
            ("iface", "target", "bus"),
            ("name", "target", "dev"),
            ("alias", "alias", "name"),
            ("bootOrder", "boot", "order"),
        ] {
            if let Some(value) = changed(key)? {
                set(doc, disk, child, attribute, &value)?;
            }
        }
        if let Some(device) = changed("device")? {
            doc.set_attribute(disk, "device", &device)?;
        }
        if let Some(discard) = changed("discard")? {
            let value = if truth("discard", &discard)? { "unmap" } else { "ignore" };
            set(doc, disk, "driver", "discard", value)?;
        }
        if let Some(errors) = changed("propagateErrors")? {
            let value = if truth("propagateErrors", &errors)? { "enospace" } else { "stop" };
            set(doc, disk, "driver", "error_policy", value)?;
        }
        if let Some(serial) = changed("serial")? {
            let element = doc.ensure_child(disk, "serial")?;
            doc.set_text(element, &serial)?;
        }
        if let Some(shared) = changed("shared")? {
            match (truth("shared", &shared)?, doc.child(disk, "shareable")) {
                (true, None) => drop(doc.ensure_child(disk, "shareable")?),
                (false, Some(element)) => doc.remove(element)?,
                _ => {}
            }
        }
        let thread = |map: &Map<String, Value>| Some(map.get("specParams")?.get("pinToIoThread")?.clone());
        if let Some(value) = thread(&answer).filter(|value| Some(value) != thread(&self.0).as_ref()) {
            set(doc, disk, "driver", "iothread", &text("specParams", &value)?)?;
        }
        Ok(())
    }

    fn put_source(
        &self,
        doc: &mut Document,
        disk: Element,
        path: Option<String>,
        kind: Option<&str>,
    ) -> Result<(), DriveError> {
        if path.is_none() && kind.is_none() {
            return Ok(());
        }
        let before = self.0.get("diskType").and_then(Value::as_str).unwrap_or("file");
        let after = match kind {
            Some(kind) => kind,
            // A volume of a pool, say: a path takes its place.
            None if location(before).is_none() => "file",
            None => before,
        };
        let Some(attribute) = location(after) else {
            let value = after.to_owned();
            return Err(DriveError::Value { key: "diskType", value, known: "file, block, network" });
        };
        if after == "network" && before != "network" {
            return Err(DriveError::Network);
        }
        let path = path.or_else(|| Some(self.0.get("path")?.as_str()?.to_owned())).unwrap_or_default();
        let source = doc.ensure_child(disk, "source")?;
        if after == before {
            doc.set_attribute(source, attribute, &path)?;
        } else {
            doc.set_attribute(disk, "type", after)?;
            doc.replace(source, NewElement::new("source").attribute(attribute, path))?;
        }
        // What lies below an image belongs to the image that was.
        match doc.child(disk, "backingStore") {
            Some(chain) => Ok(doc.remove(chain)?),
            None => Ok(()),
        }
    }
}

/// The attribute of `<source>` that says where a disk of this type is.
fn location(kind: &str) -> Option<&'static str> {
    match kind {
        "file" => Some("file"),
        "block" => Some("dev"),
        "network" => Some("name"),
        _ => None,
    }
}

/// An attribute of a child, which is made where it is missing.
fn set(
    doc: &mut Document,
    disk: Element,
    child: &str,
    attribute: &str,
    value: &str,
) -> Result<(), DriveError> {
    let element = match doc.child(disk, child) {
        Some(element) => element,
        None if child == "driver" => doc.append(disk, NewElement::new("driver").attribute("name", "qemu"))?,
        None => doc.ensure_child(disk, child)?,
    };
    Ok(doc.set_attribute(element, attribute, value)?)
}

fn text(key: &'static str, value: &Value) -> Result<String, DriveError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(DriveError::Type { key }),
    }
}

fn truth(key: &'static str, value: &str) -> Result<bool, DriveError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "shared" => Ok(true),
        "false" | "off" | "none" | "exclusive" | "" => Ok(false),
        _ => Err(DriveError::Value { key, value: value.to_owned(), known: "true, false" }),
    }
}

/// The place of a device among those of its bus, from its name: 0 of `vda`, 26 of `sdaa`.
fn index(name: &str) -> Option<u32> {
    let letters = ["vd", "sd", "hd", "xvd"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let number = letters.bytes().try_fold(0u32, |sum, letter| {
        letter.is_ascii_lowercase().then(|| u32::from(letter - b'a') + 1)?.checked_add(sum.checked_mul(26)?)
    })?;
    number.checked_sub(1)
}

/// One of VDSM's ids of the disk's image, from its metadata.
fn vdsm_id(doc: &Document, disk: Element, id: &str) -> Option<String> {
    let metadata = doc.child(doc.root(), "metadata")?;
    let vm = doc.child_in(metadata, OVIRT_VM_NAMESPACE, "vm")?;
    let entry = doc.children(vm).find(|&d| {
        doc.is_in(d, OVIRT_VM_NAMESPACE, "device")
            && virt_hooks_engine::properties::DeviceEntry::which(doc, d).is_about(doc, disk)
    })?;
    doc.child_in(entry, OVIRT_VM_NAMESPACE, id).map(|e| doc.text(e).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "<domain><metadata><o:vm xmlns:o='http://ovirt.org/vm/1.0'>\
        <o:device devtype='disk' name='sdb'><o:imageID>i-1</o:imageID></o:device></o:vm></metadata><devices>\
        <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' error_policy='enospace' discard='unmap' iothread='2'/>\
        <source file='/a.qcow2' startupPolicy='optional'/><backingStore/><target dev='vdaa' bus='virtio'/><serial>S</serial><boot order='1'/><alias name='ua-1'/></disk>\
        <disk type='block' device='cdrom'><source dev='/dev/sr0'/><target dev='sdb'/><shareable/></disk>\
        <disk type='file' device='cdrom'><target dev='sdc'/></disk>\
        <disk type='file' device='floppy'><source file='/f'/><target dev='fda'/></disk>\
        <disk type='volume'><source pool='p' volume='v'/><target dev='hdb'/></disk>\
        </devices></domain>";

    fn disks() -> (Document, Vec<Element>) {
        let doc = Document::parse(DOMAIN).unwrap();
        let disks = doc.devices("disk");
        (doc, disks)
    }

    #[test]
    fn a_disk_is_described_in_vdsms_words() {
        let (doc, disks) = disks();
        let described: Vec<Option<Value>> = disks
            .iter()
            .map(|&d| Drive::read(&doc, d).map(|drive| serde_json::from_str(&drive.json()).unwrap()))
            .collect();
        assert_eq!(
            described[0],
            Some(serde_json::json!({
                "device": "disk", "type": "disk", "diskType": "file", "path": "/a.qcow2", "format": "cow", "iface": "virtio",
                "name": "vdaa", "index": 26, "serial": "S", "cache": "none", "alias": "ua-1", "bootOrder": "1", "discard": true,
                "propagateErrors": "on", "shared": "false", "specParams": {"pinToIoThread": "2"}
            }))
        );
        assert_eq!(
            described[1],
            Some(serde_json::json!({
                "device": "cdrom", "type": "disk", "diskType": "block", "path": "/dev/sr0", "format": "raw", "name": "sdb",
                "index": 1, "discard": false, "propagateErrors": "off", "shared": "true", "specParams": {}, "imageID": "i-1"
            }))
        );
        assert_eq!((&described[2], &described[3]), (&None, &None), "no source, and a floppy");
        assert_eq!(described[4].as_ref().unwrap().get("path"), None);
    }

    fn after(disk: usize, answer: &str) -> Result<String, String> {
        let (mut doc, disks) = disks();
        let drive = Drive::read(&doc, disks[disk]).unwrap();
        let done = drive.put_back(&mut doc, disks[disk], answer.as_bytes());
        done.map(|()| doc.source(disks[disk]).to_owned()).map_err(|e| e.to_string())
    }

    #[test]
    fn an_answer_with_nothing_new_changes_no_byte() {
        let (doc, disks) = disks();
        let same = Drive::read(&doc, disks[0]).unwrap().json();
        assert_eq!(after(0, &same).unwrap(), doc.source(disks[0]));
        assert_eq!(after(0, "{\"unheard\": {\"of\": 1}}").unwrap(), doc.source(disks[0]), "keys are merged");
    }

    #[test]
    fn an_answer_is_put_back() {
        let all = after(
            0,
            r#"{"path": "/b & c", "format": "raw", "cache": "writeback", "discard": "false", "propagateErrors": "off",
                "serial": "T", "bootOrder": 2, "shared": true, "iface": "scsi", "name": "sda", "specParams": {"pinToIoThread": 3}}"#,
        );
        assert_eq!(
            all.unwrap(),
            "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback' error_policy='stop' discard='ignore' iothread='3'/>\
             <source file='/b &amp; c' startupPolicy='optional'/><target dev='sda' bus='scsi'/><serial>T</serial><boot order='2'/><alias name='ua-1'/><shareable/></disk>"
        );
        let local = after(0, r#"{"path": "/dev/vg/lv", "diskType": "block", "format": "cow"}"#).unwrap();
        assert!(local.starts_with("<disk type='block' ") && local.contains("<source dev=\"/dev/vg/lv\"/>"));
        assert!(local.contains("type='qcow2'") && !local.contains("backingStore"), "{local}");
        let volume = after(4, r#"{"path": "/v.qcow2", "format": "cow"}"#).unwrap();
        assert_eq!(
            volume,
            "<disk type='file'><source file=\"/v.qcow2\"/><target dev='hdb'/><driver name=\"qemu\" type=\"qcow2\"/></disk>"
        );
        assert!(!after(1, r#"{"shared": "none"}"#).unwrap().contains("shareable"));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_refused() {
        assert_eq!(after(0, r#"{"path": ["/b"]}"#).unwrap_err(), "path: a text is expected");
        assert_eq!(
            after(0, r#"{"diskType": "tape"}"#).unwrap_err(),
            "diskType: \"tape\" is none of file, block, network"
        );
        assert!(after(0, r#"{"diskType": "network"}"#).unwrap_err().starts_with("diskType: only a disk"));
        assert!(after(0, r#"{"discard": "perhaps"}"#).unwrap_err().contains("none of true, false"));
        assert!(after(0, r#"{"serial": "\u0000"}"#).is_err());
        assert!(after(0, "[]").is_err());
    }

    #[test]
    fn names_have_a_place() {
        let places = ["vda", "sdz", "hdaa", "xvdb", "fda", "vd", "vd1", "vdzzzzzzzzzz"].map(index);
        assert_eq!(places, [Some(0), Some(25), Some(26), Some(1), None, None, None, None]);
    }
}
