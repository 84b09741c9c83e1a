// SPDX-License-Identifier: Apache-2.0
//! Custom properties of a VM and its devices, in the domain's own XML metadata.

use crate::driver::Driver;
use crate::error::Error;
use crate::pause::Served;
use virt_hooks_contract::Scope;
use virt_hooks_contract::env::is_property_name;
use virt_hooks_domxml::{Document, Element};
use virt_hooks_engine::{Machine, NAMESPACE, PREFIX, Watch};
use virt_hooks_libvirt::{Affect, Domain, XmlFlags};

/// What to set, and where.
#[derive(Clone)]
pub struct SetRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// The device whose properties are meant, by alias; `None`: the VM's own.
    pub device: Option<&'a str>,
    /// Properties and their values; `None` removes one.
    pub properties: Vec<(String, Option<String>)>,
}

impl Driver {
    /// Sets custom properties, in the stored definition and in the running VM, as far as there are such.
    ///
    /// Names and values are checked against the manifests of installed hook packages: a name nobody knows is
    /// worth a warning.
    ///
    /// # Errors
    /// A value that a manifest does not allow, with nothing set; no such VM or device; libvirt's refusal.
    pub fn set(&self, request: &SetRequest<'_>, watch: &mut dyn Watch) -> Result<Served, Error> {
        let domain = self.connection.lookup(request.vm).map_err(Error::Unreachable)?;
        // Two that set at once would each write what it read.
        let place = self.place(domain.uuid(), domain.name(), None, watch, &mut Vec::new())?;
        let refuse = |problem: String| Error::Property { vm: domain.name().to_owned(), problem };
        for (name, value) in &request.properties {
            if !is_property_name(name) {
                return Err(refuse(format!(
                    "\"{}\" is not a name: use letters, digits, \"_\", \"-\" and \".\"",
                    name.escape_debug()
                )));
            }
            if let Some(value) = value {
                self.check_value(name, value, request.device.is_some(), watch).map_err(&refuse)?;
            }
        }
        let active = domain.is_active().map_err(Error::Unreachable)?;
        let stored = domain.is_persistent().map_err(Error::Unreachable)?;
        // All is made before anything is set.
        let mut made = Vec::new();
        for (wanted, affect) in [(stored, Affect::Config), (active, Affect::Live)] {
            if wanted {
                made.push((affect, changed(&domain, affect, request).map_err(&refuse)?));
            }
        }
        for (affect, element) in made {
            domain.set_metadata(NAMESPACE, PREFIX, element.as_deref(), affect).map_err(|source| {
                Error::Refused {
                    operation: "set a property of VM",
                    vm: domain.name().to_owned(),
                    source: Box::new(source),
                }
            })?;
        }
        drop(place);
        Ok(Served { name: domain.name().to_owned(), uuid: domain.uuid().to_owned() })
    }

    /// An error where a manifest objects to the value; a warning where none knows the name.
    fn check_value(
        &self,
        name: &str,
        value: &str,
        of_device: bool,
        watch: &mut dyn Watch,
    ) -> Result<(), String> {
        let (packages, problems) = self.engine.packages().all();
        problems.iter().for_each(|problem| watch.warning(problem));
        let scope = if of_device { Scope::Device } else { Scope::Vm };
        let mut elsewhere = None;
        let mut known = false;
        for package in &packages {
            for property in package.manifest.property.iter().filter(|p| p.name == name) {
                if property.scope != scope {
                    elsewhere = Some(property.scope);
                    continue;
                }
                known = true;
                if let Some(objection) = package.objection(name, value.as_bytes()) {
                    return Err(format!("{objection} (package {})", package.name()));
                }
            }
        }
        if !known {
            let of = match elsewhere {
                Some(Scope::Vm) => " of this kind: it is a property of VMs, not of devices",
                Some(Scope::Device) => " of this kind: it is a property of devices; give one with --device",
                Some(Scope::Network) => " of this kind: it is a property of networks",
                None => "",
            };
            watch.warning(&format!("no installed hook package has a property \"{name}\"{of}"));
        }
        Ok(())
    }
}

/// Our element of the metadata as it is to be; `None` where nothing is left of it.
fn changed(domain: &Domain, affect: Affect, request: &SetRequest<'_>) -> Result<Option<String>, String> {
    let flags = XmlFlags { inactive: affect == Affect::Config, ..XmlFlags::default() };
    let xml = domain.xml(flags).map_err(|e| e.to_string())?;
    let machine = Machine::read(xml.as_bytes()).map_err(|e| e.to_string())?;
    if let Some(alias) = request.device
        && !has_device(machine.doc(), alias)
    {
        return Err(format!(
            "it has no device with the alias \"{alias}\": \"virsh dumpxml\" shows them; a stored definition keeps \
             only aliases that begin with \"ua-\""
        ));
    }
    let known = domain.metadata(NAMESPACE, affect).map_err(|e| e.to_string())?;
    let mut holder = holder(known.as_deref())?;
    for (name, value) in &request.properties {
        holder.change(request.device, name, value.as_deref()).map_err(|e| e.to_string())?;
    }
    let doc = holder.doc();
    Ok(doc.child(doc.root(), "metadata").and_then(|m| doc.child_in(m, NAMESPACE, "vm")).map(|vm| {
        // libvirt gives the namespace its prefix itself.
        doc.source(vm).replacen(&format!(" xmlns=\"{NAMESPACE}\""), "", 1)
    }))
}

/// A domain with nothing but our metadata, in which it can be edited as in any other. libvirt gives the element
/// without its namespace.
fn holder(element: Option<&str>) -> Result<Machine, String> {
    let element = match element {
        Some(element) => {
            let at = element.find("<vm").ok_or("our metadata is not what it should be: remove it")? + 3;
            format!("{} xmlns=\"{NAMESPACE}\"{}", &element[..at], &element[at..])
        }
        None => format!("<vm xmlns=\"{NAMESPACE}\"/>"),
    };
    Machine::read(format!("<domain><name>x</name><metadata>{element}</metadata></domain>").as_bytes())
        .map_err(|e| e.to_string())
}

fn has_device(doc: &Document, alias: &str) -> bool {
    let about = |device: Element| {
        doc.child(device, "alias").and_then(|a| doc.attribute(a, "name")).is_some_and(|name| name == alias)
    };
    doc.child(doc.root(), "devices").is_some_and(|devices| doc.children(devices).any(about))
}
