// SPDX-License-Identifier: Apache-2.0
//! The domain XML of a VM about to start, or to arrive.

use super::cancel::Cancel;
use super::driver::{Driver, Firing, LARGEST_ANSWER};
use super::properties::Properties;
use super::refusal::Refusal;
use super::repeat::{Last, Repeat};
use super::vmi::Vmi;
use crate::log;
use virt_hooks_domxml::{Document, Element};
use virt_hooks_engine::{Check, Vm};

/// How the target devices of KubeVirt's dummy interfaces are named: they hold slots for hot-plugged ones, and
/// are gone after the call (KubeVirt 1.9).
const PLACEHOLDER: &str = "placeholder-";
/// How KubeVirt makes an alias of the name of a disk or interface.
const ALIAS: &str = "ua-";

/// How deep elements may be nested: far more than any domain has, and little enough to compare documents with a
/// function that calls itself.
const DEEPEST: usize = 256;

/// Why KubeVirt asks about a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It is about to start.
    Boot,
    /// It is about to leave for another node; the answer has no effect.
    MigrationSource,
    /// It is about to arrive; the answer has no effect.
    MigrationTarget,
}

impl Driver {
    /// Whether any hook would run for a domain about to start.
    ///
    /// # Errors
    /// A directory of hooks cannot be listed.
    pub fn has_domain_hooks(&self) -> Result<bool, Refusal> {
        Ok(self.shim.as_ref().is_some_and(|s| !s.domain.is_empty())
            || self.has_hooks(&self.point("before_vm_start"))?
            || self.has_hooks(&self.point("before_device_create"))?)
    }

    /// The domain with the edits of all hooks: always a complete document.
    ///
    /// # Errors
    /// What was given is no domain or no VMI, a hook refuses, or the time is over.
    pub fn define_domain(
        &self,
        xml: &[u8],
        vmi: &Vmi,
        occasion: Occasion,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Refusal> {
        let (doc, vm) = read(xml, vmi)?;
        let mut properties = self.properties(vmi)?;
        let vm = Vm { properties: std::mem::take(&mut properties.vm), ..vm };
        match occasion {
            Occasion::Boot => self.boot(xml, doc, vmi, &vm, &properties, cancel),
            Occasion::MigrationSource => {
                self.migrate("before_vm_migrate_source", "migration-source", xml, &vm, cancel)
            }
            Occasion::MigrationTarget => {
                self.migrate("before_vm_migrate_destination", "migration-target", xml, &vm, cancel)
            }
        }
    }

    /// For side effects: the domain stays as it is.
    fn migrate(
        &self,
        point: &str,
        reason: &str,
        xml: &[u8],
        vm: &Vm,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Refusal> {
        let point = self.point(point);
        let payload = xml.into();
        let firing = Firing { point: &point, payload, vm, device: None, reason, check: Check::None };
        self.fire(firing, cancel)?;
        Ok(xml.to_vec())
    }

    fn boot(
        &self,
        xml: &[u8],
        mut doc: Document,
        vmi: &Vmi,
        vm: &Vm,
        properties: &Properties,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Refusal> {
        if !self.has_domain_hooks()? {
            return Ok(xml.to_vec());
        }
        let placeholders = take_placeholders(&mut doc)?;
        let last = self.repeats.get(vmi.uid()).map_err(|e| {
            Refusal::Trouble(format!("read what hooks did to {} before: {e}; remove that file", vmi.label()))
        })?;
        let doc = match last.as_ref().map(|last| last.undo(&doc)) {
            None => doc,
            Some(Repeat::Run(doc)) => doc,
            Some(Repeat::Keep(doc, why)) => {
                log::say(&format!(
                    "{}: hooks are not run again, their edits of the last call are kept: {why}",
                    vmi.label()
                ));
                return whole(doc, &placeholders);
            }
        };
        let given = doc.as_str().to_owned();
        let doc = self.devices(doc, vm, properties, vmi, cancel)?;
        let point = self.point("before_vm_start");
        let firing = Firing {
            point: &point,
            payload: doc.into_bytes().into(),
            vm,
            device: None,
            reason: "boot",
            check: Check::Full,
        };
        let mut left = self.fire(firing, cancel)?.bytes().to_vec();
        if let Some(shim) = &self.shim {
            left = shim.define_domain(left, vmi.json(), vm, self.engine.settings(), cancel)?;
        }
        let doc = checked(left, vm)?;
        let kept = if doc.as_str() == given {
            self.repeats.forget(vmi.uid())
        } else {
            self.repeats.put(vmi.uid(), Last { given, left: doc.as_str().to_owned() })
        };
        if let Err(e) = kept {
            log::say(&format!("warning: {}: keep what hooks did, for the next call: {e}", vmi.label()));
        }
        whole(doc, &placeholders)
    }

    /// `before_device_create` for each device that has properties (emulated: KubeVirt has no such event).
    fn devices(
        &self,
        mut doc: Document,
        vm: &Vm,
        properties: &Properties,
        vmi: &Vmi,
        cancel: &Cancel,
    ) -> Result<Document, Refusal> {
        let point = self.point("before_device_create");
        if properties.devices.is_empty() || !self.has_hooks(&point)? {
            return Ok(doc);
        }
        let mut found: Vec<(Element, &str)> = Vec::new();
        for device in devices(&doc) {
            let name = alias(&doc, device).and_then(|a| a.strip_prefix(ALIAS).map(str::to_owned));
            let known = name.and_then(|n| properties.devices.get_key_value(&n));
            found.extend(known.map(|(name, _)| (device, name.as_str())));
        }
        for name in properties.devices.keys().filter(|n| !found.iter().any(|(_, f)| f == n)) {
            log::say(&format!("{}: properties of \"{name}\": the domain has no such device", vmi.label()));
        }
        for (device, name) in found {
            let payload = doc.standalone(device).into();
            let firing = Firing {
                point: &point,
                payload,
                vm,
                device: properties.devices.get(name),
                reason: "boot",
                check: Check::Full,
            };
            let before = firing.payload.clone();
            let after = self.fire(firing, cancel)?;
            if after != before {
                let xml = String::from_utf8_lossy(after.bytes());
                doc.replace(device, &*xml).map_err(|e| {
                    Refusal::Veto(format!(
                        "before_device_create: what hooks left of \"{name}\" does not fit: {e}"
                    ))
                })?;
            }
        }
        Ok(doc)
    }
}

/// Reads what was given.
fn read(xml: &[u8], vmi: &Vmi) -> Result<(Document, Vm), Refusal> {
    let malformed = |why: String| Refusal::Malformed(format!("domain XML of {}: {why}", vmi.label()));
    if xml.is_empty() {
        return Err(malformed("empty".to_owned()));
    }
    let doc = Document::parse(xml).map_err(|e| malformed(e.to_string()))?;
    if is_too_deep(&doc) {
        return Err(malformed(format!("elements are nested more than {DEEPEST} deep")));
    }
    let root = doc.name(doc.root());
    if root != "domain" {
        return Err(malformed(format!("the root element is <{root}>, not <domain>")));
    }
    let text =
        |name| doc.child(doc.root(), name).map(|e| doc.text(e).trim().to_owned()).filter(|t| !t.is_empty());
    // libvirt knows the VM by the UUID of the XML; KubeVirt's own object has another.
    let id = text("uuid").or_else(|| vmi.firmware_uuid().map(str::to_owned));
    let vm = Vm {
        id: id.unwrap_or_else(|| vmi.uid().to_owned()),
        name: text("name").or_else(|| Some(vmi.domain_name())),
        ..Vm::default()
    };
    Ok((doc, vm))
}

fn is_too_deep(doc: &Document) -> bool {
    let mut around: Vec<Element> = Vec::new();
    doc.descendants(doc.root()).any(|element| {
        let parent = doc.parent(element);
        while around.last().is_some_and(|last| Some(*last) != parent) {
            around.pop();
        }
        around.push(element);
        around.len() > DEEPEST
    })
}

fn devices(doc: &Document) -> Vec<Element> {
    doc.find_all("devices").into_iter().flat_map(|d| doc.children(d)).collect()
}

fn alias(doc: &Document, device: Element) -> Option<String> {
    let alias = doc.child(device, "alias")?;
    doc.attribute(alias, "name").map(std::borrow::Cow::into_owned)
}

/// Takes KubeVirt's dummy interfaces out, so that hooks neither count nor change them.
fn take_placeholders(doc: &mut Document) -> Result<Vec<String>, Refusal> {
    let dummies: Vec<Element> = doc
        .devices("interface")
        .into_iter()
        .filter(|&nic| {
            let target = doc.child(nic, "target").and_then(|t| doc.attribute(t, "dev"));
            target.is_some_and(|t| t.starts_with(PLACEHOLDER))
        })
        .collect();
    let mut taken = Vec::with_capacity(dummies.len());
    for dummy in dummies {
        taken.push(doc.standalone(dummy));
        doc.remove(dummy).map_err(|e| Refusal::Trouble(format!("take out a placeholder interface: {e}")))?;
    }
    Ok(taken)
}

/// What all hooks left, before it is used.
fn checked(xml: Vec<u8>, vm: &Vm) -> Result<Document, Refusal> {
    let doc = Document::parse(xml)
        .map_err(|e| Refusal::Trouble(format!("the hooks left no well-formed domain XML: {e}")))?;
    if is_too_deep(&doc) {
        return Err(Refusal::Veto(format!(
            "the hooks left elements that are nested more than {DEEPEST} deep"
        )));
    }
    let uuid = doc.child(doc.root(), "uuid").map(|u| doc.text(u).trim().to_owned());
    if doc.name(doc.root()) != "domain" || uuid.is_some_and(|u| !u.eq_ignore_ascii_case(&vm.id)) {
        return Err(Refusal::Veto("the hooks left another domain than they were given".to_owned()));
    }
    Ok(doc)
}

/// The answer: with KubeVirt's dummy interfaces, and of a size it takes.
fn whole(mut doc: Document, placeholders: &[String]) -> Result<Vec<u8>, Refusal> {
    for dummy in placeholders {
        doc.append_device(dummy)
            .map_err(|e| Refusal::Trouble(format!("put a placeholder interface back: {e}")))?;
    }
    let bytes = doc.into_bytes();
    if bytes.len() > LARGEST_ANSWER {
        return Err(Refusal::TooLarge(format!(
            "the domain XML has {} bytes after the hooks; KubeVirt takes {LARGEST_ANSWER} at most",
            bytes.len()
        )));
    }
    Ok(bytes)
}
