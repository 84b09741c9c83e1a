// SPDX-License-Identifier: Apache-2.0
//! Makes a VM one that QEMU can emulate on this host.

use super::machine::{Arch, Pretence, pretence};
use virt_hooks_sdk::{Context, Document, EditError, Element, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    emulate(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn emulate(hook: &Context) -> Result<(), Failure> {
    let Some(pretence) = pretence(hook)? else { return Ok(()) };
    let real = Arch::of_the_host()?;
    let mut domain = hook.domain()?;
    if domain.name(domain.root()) != "domain" {
        return Err(Failure::go_on("faqemu: expected a domain"));
    }
    change(&mut domain, real, &pretence)?;
    Ok(domain.save()?)
}

/// Everything a rule is about may be missing; then the rule does nothing.
fn change(domain: &mut Document, real: Arch, pretence: &Pretence) -> Result<(), EditError> {
    let root = domain.root();
    domain.set_attribute(root, "type", "qemu")?;
    let os = domain.first_named("os");
    let os_type = os.and_then(|os| first_below(domain, os, "type"));
    if let Some(os_type) = os_type {
        domain.set_attribute(os_type, "arch", real.name())?;
    }
    plain_cpu(domain)?;
    match (real, pretence.arch) {
        (Arch::Ppc64Le, effective) => {
            if let Some(graphics) = domain.first_named("graphics") {
                domain.set_attribute(graphics, "type", "vnc")?;
            }
            remove_all(domain, "sound")?;
            if effective == Arch::X86 {
                x86_on_power(domain, os, os_type)?;
            }
        }
        (Arch::X86, Arch::Ppc64Le) => {
            for controller in domain.all_named("controller") {
                let spapr: Vec<_> =
                    domain.children(controller).filter(|&e| domain.has(e, "type", "spapr-vio")).collect();
                for child in spapr {
                    domain.remove(child)?;
                }
            }
            if let Some(os_type) = os_type {
                domain.set_attribute(os_type, "machine", "pc-i440fx-rhel7.1.0")?;
            }
        }
        _ => {}
    }
    if let Some(memory) = &pretence.memory {
        for name in ["memory", "currentMemory"] {
            if let Some(element) = domain.first_named(name) {
                domain.set_text(element, memory)?;
            }
        }
    }
    Ok(())
}

/// Takes from the CPU what only KVM has: the host's own CPU, and a model with its features. libvirt takes no
/// features without a model.
fn plain_cpu(domain: &mut Document) -> Result<(), EditError> {
    let Some(cpu) = domain.first_named("cpu") else { return Ok(()) };
    if let Some(model) = first_below(domain, cpu, "model") {
        domain.remove(model)?;
    }
    let features: Vec<_> = domain.children(cpu).filter(|&e| domain.name(e) == "feature").collect();
    for feature in features {
        domain.remove(feature)?;
    }
    if domain.attribute(cpu, "mode").is_some_and(|mode| mode != "custom") {
        for attribute in ["mode", "migratable", "check"] {
            domain.remove_attribute(cpu, attribute)?;
        }
    }
    Ok(())
}

fn x86_on_power(
    domain: &mut Document,
    os: Option<Element>,
    os_type: Option<Element>,
) -> Result<(), EditError> {
    if let Some(model) = domain.first_named("video").and_then(|video| first_below(domain, video, "model")) {
        domain.set_attribute(model, "type", "vga")?;
        domain.remove_attribute(model, "ram")?;
        domain.remove_attribute(model, "vgamem")?;
    }
    remove_all(domain, "smartcard")?;
    if let Some(os_type) = os_type {
        domain.set_attribute(os_type, "machine", "pseries")?;
    }
    if let Some(bios) = os.and_then(|os| first_below(domain, os, "bios")) {
        domain.remove(bios)?;
    }
    for name in ["sysinfo", "smbios"] {
        if let Some(found) = domain.first_named(name) {
            domain.remove(found)?;
        }
    }
    for disk in domain.all_named("disk") {
        if first_below(domain, disk, "target").is_some_and(|target| domain.has(target, "bus", "ide")) {
            domain.remove(disk)?;
        }
    }
    for channel in domain.all_named("channel") {
        if domain.has(channel, "type", "spicevmc") {
            domain.remove(channel)?;
        }
    }
    if let Some(memory) = domain.first_named("maxMemory") {
        domain.set_attribute(memory, "slots", "2")?;
        domain.set_text(memory, "1073741824")?;
    }
    Ok(())
}

fn first_below(domain: &Document, top: Element, name: &str) -> Option<Element> {
    domain.descendants(top).skip(1).find(|&e| domain.name(e) == name)
}

fn remove_all(domain: &mut Document, name: &str) -> Result<(), EditError> {
    for element in domain.all_named(name) {
        // One inside another went with it.
        if domain.contains(element) {
            domain.remove(element)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(xml: &str, real: Arch, arch: Arch, memory: Option<&str>) -> String {
        let pretence = Pretence { arch, memory: memory.map(str::to_owned) };
        let mut domain = Document::parse(xml).unwrap();
        change(&mut domain, real, &pretence).unwrap();
        let once = domain.as_str().to_owned();
        change(&mut domain, real, &pretence).unwrap();
        assert_eq!(domain.as_str(), once);
        once
    }

    #[test]
    fn the_cpu_is_plain() {
        let xml = "<domain type='kvm'><os><type arch='x86_64'>hvm</type></os><cpu match='exact'><model>X</model>\
             <feature name='a'/><topology cores='1'/><feature name='b'/></cpu></domain>";
        assert_eq!(
            after(xml, Arch::X86, Arch::X86, None),
            "<domain type='qemu'><os><type arch='x86_64'>hvm</type></os><cpu match='exact'>\
             <topology cores='1'/></cpu></domain>"
        );
        let passthrough =
            "<domain type='kvm'><cpu mode='host-passthrough' migratable='on' check='none'/></domain>";
        assert_eq!(after(passthrough, Arch::X86, Arch::X86, None), "<domain type='qemu'><cpu/></domain>");
    }

    #[test]
    fn what_is_missing_is_no_failure() {
        for arch in [Arch::X86, Arch::Ppc64Le, Arch::S390x] {
            for real in [Arch::X86, Arch::Ppc64Le, Arch::Aarch64] {
                assert_eq!(after("<domain/>", real, arch, Some("1")), "<domain type=\"qemu\"/>");
            }
        }
    }

    #[test]
    fn memory_keeps_its_unit() {
        let xml =
            "<domain type='qemu'><memory unit='KiB'>9<x/></memory><currentMemory>9</currentMemory></domain>";
        assert_eq!(
            after(xml, Arch::X86, Arch::X86, Some("")),
            "<domain type='qemu'><memory unit='KiB'></memory><currentMemory></currentMemory></domain>"
        );
    }

    #[test]
    fn power_on_x86() {
        let xml = "<domain type='kvm'><os><type arch='ppc64le' machine='pseries'>hvm</type></os><devices>\
             <controller><address type='spapr-vio' a='1'/><address type='spapr-vio' a='2'/><x/></controller>\
             <sound/></devices></domain>";
        assert_eq!(
            after(xml, Arch::X86, Arch::Ppc64Le, None),
            "<domain type='qemu'><os><type arch='x86_64' machine='pc-i440fx-rhel7.1.0'>hvm</type></os><devices>\
             <controller><x/></controller><sound/></devices></domain>"
        );
    }

    #[test]
    fn x86_on_power_loses_what_power_has_not() {
        let xml = "<domain type='kvm'><maxMemory slots='16'>1</maxMemory><sysinfo type='smbios'/>\
             <os><type arch='x86_64' machine='q35'>hvm</type><smbios mode='sysinfo'/><bios useserial='yes'/></os>\
             <devices><graphics type='spice'/><video><model type='qxl' ram='1' vgamem='2' vram='3'/></video>\
             <smartcard/><smartcard/><sound/><disk><target bus='ide'/></disk><disk><target bus='scsi'/></disk>\
             <channel type='spicevmc'/><channel type='unix'/></devices></domain>";
        assert_eq!(
            after(xml, Arch::Ppc64Le, Arch::X86, None),
            "<domain type='qemu'><maxMemory slots='2'>1073741824</maxMemory>\
             <os><type arch='ppc64le' machine='pseries'>hvm</type></os>\
             <devices><graphics type='vnc'/><video><model type='vga' vram='3'/></video>\
             <disk><target bus='scsi'/></disk><channel type='unix'/></devices></domain>"
        );
    }

    #[test]
    fn power_on_power() {
        let xml = "<domain type='kvm'><graphics type='spice'/><sound/><smartcard/></domain>";
        assert_eq!(
            after(xml, Arch::Ppc64Le, Arch::Ppc64Le, None),
            "<domain type='qemu'><graphics type='vnc'/><smartcard/></domain>"
        );
    }

    #[test]
    fn the_switch_comes_first_and_the_payload_must_be_a_domain() {
        run(&mut Context::for_test()).unwrap();
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("etc/vdsm")).unwrap();
        std::fs::write(host.path().join("etc/vdsm/vdsm.conf"), "[vars]\nfake_kvm_support = true\n").unwrap();
        for xml in ["<network type='x'/>", "<<"] {
            let mut hook = Context::for_test().with_host(host.path()).with_xml(xml);
            assert_eq!(run(&mut hook).unwrap_err().exit_code(), 1);
            assert_eq!(hook.xml_text(), xml);
        }
    }
}
