// SPDX-License-Identifier: Apache-2.0
//! The capabilities of a host, with VDSM's names.

use super::{Files, Inquiry, nics, read_xml};
use crate::driver::Driver;
use crate::error::Error;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use virt_hooks_domxml::{Document, Element};

impl Driver {
    /// The capabilities of the host, with VDSM's names and the installed hooks: `before_get_caps`, then what
    /// can be told of it, then `after_get_caps`, which may change it (VDSM sequence 4.19, contract 5.10).
    ///
    /// # Errors
    /// Hooks refuse it; libvirt does not answer. Hooks after it cannot make it fail.
    pub fn host_caps(&self, inquiry: &mut Inquiry<'_>) -> Result<Value, Error> {
        inquiry.may(self, "before_get_caps", "host capabilities")?;
        let files = Files::of_host();
        let doc = read_xml(&self.connection.capabilities().map_err(Error::Unreachable)?)?;
        let mut caps = Map::new();
        of_libvirt(&doc, &files, &mut caps);
        processors(&files, super::text_at(&doc, doc.root(), "host/cpu/model").as_deref(), &mut caps);
        of_kernel(&files, &mut caps);
        nics::capabilities(&files, &mut caps);
        caps.insert("packages2".into(), self.versions(&files));
        match self.engine.installed() {
            Ok(installed) => {
                let hooks: Map<String, Value> = installed
                    .into_iter()
                    .map(|(point, hooks)| {
                        let sums = hooks.into_iter().map(|(name, sum)| (name, json!({"checksum": sum})));
                        (point, Value::Object(sums.collect()))
                    })
                    .collect();
                caps.insert("hooks".into(), hooks.into());
            }
            // As under VDSM, where the hooks cannot be listed the key is left out.
            Err(trouble) => inquiry.watch.warning(&trouble.line()),
        }
        inquiry.changed_by(self, "after_get_caps", caps.into(), Value::is_object)
    }

    fn versions(&self, files: &Files) -> Value {
        let mut packages = Map::new();
        let mut add = |name: &str, version: String| {
            packages.insert(name.to_owned(), json!({"version": version, "release": ""}));
        };
        if let Ok(version) = self.connection.lib_version() {
            add("libvirt", version.to_string());
        }
        if let Ok(version) = self.connection.hypervisor_version() {
            add("qemu-kvm", version.to_string());
        }
        if let Some(release) = files.read("proc/sys/kernel/osrelease") {
            add("kernel", release);
        }
        add("virt-hooks", env!("CARGO_PKG_VERSION").to_owned());
        packages.into()
    }
}

/// What libvirt's capabilities say.
fn of_libvirt(doc: &Document, files: &Files, caps: &mut Map<String, Value>) {
    let root = doc.root();
    let host_arch = super::text_at(doc, root, "host/cpu/arch").unwrap_or_default();
    let guests = doc.find_all("guest/arch");
    let native: Vec<Element> = guests.into_iter().filter(|&arch| doc.has(arch, "name", &host_arch)).collect();
    let domain_types: BTreeSet<String> = native
        .iter()
        .flat_map(|&arch| doc.find_all_below(arch, "domain"))
        .filter_map(|domain| doc.attribute(domain, "type").map(std::borrow::Cow::into_owned))
        .collect();
    // libvirt names it as long as QEMU has it built in; the device says whether this host has it.
    let kvm = domain_types.contains("kvm") && files.exists("dev/kvm");
    caps.insert("kvmEnabled".into(), kvm.to_string().into());
    // What VDSM calls a VM, whatever accelerates it.
    let vm_types = if domain_types.iter().any(|t| t == "kvm" || t == "qemu") { vec!["kvm"] } else { vec![] };
    caps.insert("vmTypes".into(), vm_types.into());
    let machines: BTreeSet<String> = native
        .iter()
        .flat_map(|&arch| doc.find_all_below(arch, "machine"))
        .map(|machine| doc.text(machine).trim().to_owned())
        .collect();
    caps.insert("emulatedMachines".into(), machines.into_iter().collect::<Vec<_>>().into());
    if let Some(uuid) = super::text_at(doc, root, "host/uuid") {
        caps.insert("uuid".into(), uuid.into());
    }
    let number = |text: String| text.parse::<u64>().ok();
    let sizes: BTreeSet<u64> = doc
        .find_all("host/cpu/pages")
        .into_iter()
        .filter_map(|pages| number(doc.attribute(pages, "size")?.into_owned()))
        // The smallest is the ordinary page.
        .collect();
    caps.insert("hugepages".into(), sizes.into_iter().skip(1).collect::<Vec<_>>().into());
    let mut nodes = Map::new();
    let mut distances = Map::new();
    for cell in doc.find_all("host/topology/cells/cell") {
        let Some(id) = doc.attribute(cell, "id") else { continue };
        let cpus: Vec<u64> = doc
            .find_all_below(cell, "cpus/cpu")
            .into_iter()
            .filter_map(|cpu| number(doc.attribute(cpu, "id")?.into_owned()))
            .collect();
        let memory = super::text_at(doc, cell, "memory").and_then(number).unwrap_or(0);
        nodes.insert(id.to_string(), json!({"cpus": cpus, "totalMemory": (memory >> 10).to_string()}));
        let far: Vec<u64> = doc
            .find_all_below(cell, "distances/sibling")
            .into_iter()
            .filter_map(|sibling| number(doc.attribute(sibling, "value")?.into_owned()))
            .collect();
        if !far.is_empty() {
            distances.insert(id.to_string(), far.into());
        }
    }
    caps.insert("numaNodes".into(), nodes.into());
    caps.insert("numaNodeDistance".into(), distances.into());
}

/// What the kernel says of the processors.
fn processors(files: &Files, model: Option<&str>, caps: &mut Map<String, Value>) {
    let text = files.read("proc/cpuinfo").unwrap_or_default();
    let mut online = Vec::new();
    let mut cores = BTreeSet::new();
    let mut sockets = BTreeSet::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let about: BTreeMap<&str, &str> =
            block.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.trim(), v.trim())).collect();
        let Some(number) = about.get("processor").and_then(|n| n.parse::<u64>().ok()) else { continue };
        online.push(number);
        // Some processors, and some VMs, tell no topology: then each is a core.
        let socket = about.get("physical id").copied().unwrap_or("0").to_owned();
        let core = about.get("core id").map_or_else(|| format!("cpu{number}"), |c| (*c).to_owned());
        sockets.insert(socket.clone());
        cores.insert((socket, core));
        for (key, name) in [("cpuModel", "model name"), ("cpuSpeed", "cpu MHz")] {
            if let Some(value) = about.get(name) {
                caps.entry(key).or_insert_with(|| (*value).into());
            }
        }
        if let Some(flags) = about.get("flags").or_else(|| about.get("Features")) {
            // Under VDSM the models a guest can have are among them; this is the one libvirt names.
            let model = model.map(|m| format!("model_{m}"));
            let flags = flags.split_whitespace().chain(model.as_deref());
            caps.entry("cpuFlags").or_insert_with(|| flags.collect::<Vec<_>>().join(",").into());
        }
    }
    let online: Vec<String> = online.iter().map(ToString::to_string).collect();
    for (key, count) in
        [("cpuThreads", online.len()), ("cpuCores", cores.len()), ("cpuSockets", sockets.len())]
    {
        caps.insert(key.into(), count.to_string().into());
    }
    caps.insert("onlineCpus".into(), online.join(",").into());
}

/// What else the kernel and the system say.
fn of_kernel(files: &Files, caps: &mut Map<String, Value>) {
    if let Some(total) = files.kibibytes("proc/meminfo", "MemTotal") {
        caps.insert("memSize".into(), (total >> 10).to_string().into());
    }
    if let Some(arguments) = files.read("proc/cmdline") {
        caps.insert("kernelArgs".into(), arguments.into());
    }
    let release = files.read("etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let line = release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    let system = json!({
        "name": value("NAME"), "version": value("VERSION_ID"), "release": "",
        "pretty_name": value("PRETTY_NAME"),
    });
    caps.insert("operatingSystem".into(), system);
    let mode = match files.read("sys/fs/selinux/enforce").as_deref() {
        Some("1") => "1",
        Some(_) => "0",
        None => "-1",
    };
    caps.insert("selinux".into(), json!({"mode": mode}));
    let iommu = !files.list("sys/kernel/iommu_groups").is_empty();
    caps.insert("hostdevPassthrough".into(), iommu.to_string().into());
    let nested = ["kvm_intel", "kvm_amd"]
        .iter()
        .filter_map(|module| files.read(&format!("sys/module/{module}/parameters/nested")))
        .any(|on| on == "Y" || on == "1");
    caps.insert("nestedVirtualization".into(), nested.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_cores_and_sockets_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        let block = |n: u32, socket: u32, core: u32| {
            format!(
                "processor\t: {n}\nphysical id\t: {socket}\ncore id\t\t: {core}\nflags\t\t: fpu vme\nmodel name\t: X\n\n"
            )
        };
        let text: String =
            [(0, 0, 0), (1, 0, 0), (2, 0, 1), (3, 1, 0)].map(|(n, s, c)| block(n, s, c)).concat();
        std::fs::write(dir.path().join("proc/cpuinfo"), text).unwrap();
        let mut caps = Map::new();
        processors(&Files::below(dir.path()), Some("qemu64"), &mut caps);
        let about = ["cpuThreads", "cpuCores", "cpuSockets", "onlineCpus", "cpuFlags", "cpuModel"];
        assert_eq!(
            about.map(|k| caps[k].as_str().unwrap()),
            ["4", "3", "2", "0,1,2,3", "fpu,vme,model_qemu64", "X"]
        );
    }

    #[test]
    fn what_libvirt_says_of_another_architecture_is_not_the_hosts() {
        let xml = "<capabilities><host><uuid>u</uuid><cpu><arch>x86_64</arch><model>qemu64</model>\
             <pages unit='KiB' size='4'/><pages unit='KiB' size='2048'/></cpu>\
             <topology><cells><cell id='0'><memory unit='KiB'>2048</memory><cpus><cpu id='0'/><cpu id='1'/></cpus>\
             <distances><sibling id='0' value='10'/></distances></cell></cells></topology></host>\
             <guest><arch name='aarch64'><machine>virt</machine><domain type='kvm'/></arch></guest>\
             <guest><arch name='x86_64'><machine>q35</machine><machine>pc</machine><domain type='qemu'/></arch></guest>\
             </capabilities>";
        let mut caps = Map::new();
        let empty = tempfile::tempdir().unwrap();
        of_libvirt(&read_xml(xml).unwrap(), &Files::below(empty.path()), &mut caps);
        assert_eq!(caps["kvmEnabled"], "false");
        assert_eq!(caps["vmTypes"], json!(["kvm"]));
        assert_eq!(caps["emulatedMachines"], json!(["pc", "q35"]));
        assert_eq!(caps["hugepages"], json!([2048]));
        assert_eq!(caps["numaNodes"], json!({"0": {"cpus": [0, 1], "totalMemory": "2"}}));
        assert_eq!(caps["numaNodeDistance"], json!({"0": [10]}));
    }
}
