// SPDX-License-Identifier: Apache-2.0
//! A VM of oVirt's REST API, version 4, in JSON: `GET /ovirt-engine/api/vms/ID?follow=nics.vnic_profile`.

use super::{ConvertError, Device, Machine, Source};
use serde_json::{Map, Value};

/// A place in the document.
struct At<'a> {
    file: &'a str,
    path: String,
}

/// An object and where it is.
type Placed<'a, 'v> = (At<'a>, &'v Map<String, Value>);

pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Machine, ConvertError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| ConvertError::Json {
        file: file.to_owned(),
        line: e.line(),
        column: e.column(),
        // Its place is said already.
        reason: e.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })?;
    let root = At { file, path: String::new() };
    let whole = root.object(&value)?;
    // A search answers with a list; of one VM is as good as the VM.
    let (at, vm) = match whole.get("vm") {
        Some(Value::Array(vms)) if vms.len() == 1 => {
            let at = root.key("vm").index(0);
            let vm = at.object(&vms[0])?;
            (at, vm)
        }
        Some(Value::Array(vms)) => {
            return Err(root.key("vm").wrong(&format!("{} VMs; give one", vms.len())));
        }
        _ => (root, whole),
    };
    let is_vm =
        ["custom_properties", "nics", "name", "id", "disk_attachments"].iter().any(|k| vm.contains_key(*k));
    if !is_vm {
        return Err(at.wrong("no VM: it has neither name nor id, custom_properties nor nics"));
    }
    let mut machine = Machine {
        source: Source::Json,
        name: at.text(vm, "name")?,
        properties: at.properties(vm, "custom_properties")?,
        ..Machine::default()
    };
    for (at, nic) in at.list(vm, "nics", "nic")? {
        nic_properties(&at, nic, &mut machine)?;
    }
    Ok(machine)
}

fn nic_properties(at: &At<'_>, nic: &Map<String, Value>, machine: &mut Machine) -> Result<(), ConvertError> {
    let place = machine.devices.len() + 1;
    let name = at.text(nic, "name")?.unwrap_or_else(|| format!("nic{place}"));
    let mac = match nic.get("mac") {
        None | Some(Value::Null) => None,
        Some(mac) => {
            let at = at.key("mac");
            at.text(at.object(mac)?, "address")?
        }
    };
    let mut properties = Vec::new();
    match nic.get("vnic_profile") {
        None | Some(Value::Null) => {}
        Some(profile) => {
            let at = at.key("vnic_profile");
            let profile = at.object(profile)?;
            for key in ["custom_properties", "custom_device_properties"] {
                properties.extend(at.properties(profile, key)?);
            }
            // A link has its address and id only.
            if !profile.keys().any(|k| !matches!(k.as_str(), "href" | "id" | "link")) {
                machine.remarks.push(format!(
                    "NIC {name}: only a link to its vNIC profile is here, where its properties are: \
                     ask with ?follow=nics.vnic_profile"
                ));
            }
        }
    }
    for key in ["custom_properties", "custom_device_properties"] {
        properties.extend(at.properties(nic, key)?);
    }
    machine.devices.push(Device { name, mac, properties });
    Ok(())
}

impl<'a> At<'a> {
    fn key(&self, key: &str) -> At<'a> {
        let dot = if self.path.is_empty() { "" } else { "." };
        At { file: self.file, path: format!("{}{dot}{key}", self.path) }
    }

    fn index(&self, at: usize) -> At<'a> {
        At { file: self.file, path: format!("{}[{at}]", self.path) }
    }

    fn wrong(&self, reason: &str) -> ConvertError {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        ConvertError::Shape { file: self.file.to_owned(), path: path.to_owned(), reason: reason.to_owned() }
    }

    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, ConvertError> {
        value.as_object().ok_or_else(|| self.wrong("an object is due here"))
    }

    fn text(&self, object: &Map<String, Value>, key: &str) -> Result<Option<String>, ConvertError> {
        match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.key(key).wrong("a string is due here")),
        }
    }

    /// The objects of `{outer: {inner: [...]}}`; none where there is nothing.
    fn list<'v>(
        &self,
        object: &'v Map<String, Value>,
        outer: &str,
        inner: &str,
    ) -> Result<Vec<Placed<'a, 'v>>, ConvertError> {
        let Some(holder) = object.get(outer).filter(|v| !v.is_null()) else { return Ok(Vec::new()) };
        let at = self.key(outer);
        let Some(list) = at.object(holder)?.get(inner).filter(|v| !v.is_null()) else {
            return Ok(Vec::new());
        };
        let at = at.key(inner);
        let list = list.as_array().ok_or_else(|| at.wrong("an array is due here"))?;
        list.iter()
            .enumerate()
            .map(|(n, value)| {
                let at = at.index(n);
                let object = at.object(value)?;
                Ok((at, object))
            })
            .collect()
    }

    fn properties(
        &self,
        object: &Map<String, Value>,
        key: &str,
    ) -> Result<Vec<(String, String)>, ConvertError> {
        let mut properties = Vec::new();
        for (at, property) in self.list(object, key, "custom_property")? {
            let Some(name) = at.text(property, "name")? else {
                return Err(at.wrong("a custom property without a name"));
            };
            properties.push((name, at.text(property, "value")?.unwrap_or_default()));
        }
        Ok(properties)
    }
}
