// SPDX-License-Identifier: Apache-2.0
//! The calls of one start (KubeVirt 1.9 and main): OnDefineDomain two or three times, each with another mixture
//! of the original and of the last answer. The hooks here are of the kind that must not run twice.

use crate::bed::Bed;
use crate::documents::{domain, vmi, vmi_with};
use crate::launcher::Collected;
use serde_json::json;
use virt_hooks_domxml::{Document, Element, NewElement};

/// Ten hooks, each of which edits again when it runs on its own result.
pub fn install_hooks(bed: &Bed) {
    let hooks: &[(&str, &str)] = &[
        // A CPU feature more: the second would make libvirt refuse the domain.
        ("10_cpuflags", r#"sed -i "s|</cpu>|<feature policy='require' name='svm'/></cpu>|" "$_hook_domxml""#),
        // Two arguments of QEMU, behind those that are there.
        (
            "20_qemucmdline",
            r#"grep -q 'qemu:commandline>' "$_hook_domxml" || sed -i "s|</domain>|<qemu:commandline></qemu:commandline></domain>|" "$_hook_domxml"
            sed -i "s|</qemu:commandline>|<qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/site,string=x'/></qemu:commandline>|" "$_hook_domxml""#,
        ),
        // Everything boots one later, and the host device first.
        (
            "30_boot_hostdev",
            r#"awk '{ line = $0; out = ""
                while (match(line, /<boot order="[0-9]+"/)) {
                    n = substr(line, RSTART + 13, RLENGTH - 14)
                    out = out substr(line, 1, RSTART - 1) "<boot order=\"" n + 1 "\""; line = substr(line, RSTART + RLENGTH) }
                line = out line; sub(/<\/hostdev>/, "<boot order=\"1\"/></hostdev>", line); print line }' "$_hook_domxml" > "$_hook_domxml.new"
            cat "$_hook_domxml.new" > "$_hook_domxml"; rm "$_hook_domxml.new""#,
        ),
        // A serial console into a file, at the next free port.
        (
            "40_log_console",
            r#"n=$(grep -o '<serial ' "$_hook_domxml" | wc -l)
            sed -i "s|</devices>|<serial type='file'><source path='/var/log/console-$n.log'/><target port='$n'/></serial></devices>|" "$_hook_domxml""#,
        ),
        // The firmware's messages, with arguments whose first is one that is there already.
        (
            "50_log_firmware",
            r#"sed -i "s|</qemu:commandline>|<qemu:arg value='-chardev'/><qemu:arg value='file,id=fw,path=/var/log/fw.log'/><qemu:arg value='-device'/><qemu:arg value='isa-debugcon,iobase=0x402,chardev=fw'/></qemu:commandline>|" "$_hook_domxml""#,
        ),
        // A CD, as the next free SATA disk.
        (
            "60_httpsisoboot",
            r#"n=$(grep -o 'device="cdrom"' "$_hook_domxml" | wc -l); dev=sd$(echo $n | tr 0123 abcd)
            sed -i "s|</devices>|<disk type=\"network\" device=\"cdrom\"><source protocol=\"https\" name=\"/boot.iso\"><host name=\"iso.example\" port=\"443\"/></source><target dev=\"$dev\" bus=\"sata\"/><readonly/></disk></devices>|" "$_hook_domxml""#,
        ),
        // A number that grows.
        (
            "70_more_memory",
            r#"awk '{ if (match($0, /<memory unit="b">[0-9]+/)) { n = substr($0, RSTART + 17, RLENGTH - 17)
                sub(/<memory unit="b">[0-9]+/, "<memory unit=\"b\">" sprintf("%d", n + 4096)) } print }' "$_hook_domxml" > "$_hook_domxml.new"
            cat "$_hook_domxml.new" > "$_hook_domxml"; rm "$_hook_domxml.new""#,
        ),
        // A text that grows.
        (
            "75_name_of_the_maker",
            r#"sed -i 's|\(<entry name="manufacturer">[^<]*\)</entry>|\1 and Co</entry>|' "$_hook_domxml""#,
        ),
        // A device that goes: only one, every time.
        (
            "80_no_balloon",
            r#"sed -i '/<memballoon/{s|<memballoon[^>]*>||;s|</memballoon>||}' "$_hook_domxml""#,
        ),
        // A device of the same kind as those that are there: a second driver for the disk's queue.
        (
            "85_queues",
            r#"sed -i 's|\(<driver cache="none"[^>]* discard="unmap"\)\( queues="\([0-9]*\)"\)*|\1 queues="2\3"|' "$_hook_domxml""#,
        ),
    ];
    for (name, script) in hooks {
        bed.hook("before_vm_start", name, &format!("set -e\n{script}"));
    }
    bed.hook(
        "before_device_create",
        "50_vhost",
        r#"sed -i "s|</interface>|<driver name='vhost' queues='$queues'/></interface>|" "$_hook_domxml""#,
    );
}

/// What each of them is to have done, once: text and how often it stands there.
const EDITS: &[(&str, usize)] = &[
    ("name='svm'", 1),
    ("value='-fw_cfg'", 1),
    ("value='name=opt/site,string=x'", 1),
    ("<boot order=\"1\"", 1),
    ("<boot order=\"2\"", 1),
    ("<boot order=\"3\"", 1),
    ("<boot ", 3),
    ("<serial type='file'>", 1),
    ("console-1.log", 1),
    ("<serial ", 2),
    ("value='-chardev'", 1),
    ("value='-device'", 1),
    ("<qemu:arg ", 6),
    ("qemu:commandline>", 2),
    ("device=\"cdrom\"", 1),
    ("dev=\"sda\"", 1),
    ("<memory unit=\"b\">1073745920<", 1),
    ("KubeVirt and Co<", 1),
    ("memballoon", 0),
    (" queues=\"2\"", 2),
    ("<driver name='vhost' queues='4'/>", 1),
    ("<interface ", 1),
    ("<disk ", 3),
];

fn assert_once(xml: &str, when: &str) {
    Document::parse(xml).unwrap();
    for (text, times) in EDITS {
        assert_eq!(xml.matches(text).count(), *times, "{text} {when}:\n{xml}");
    }
}

/// What differs between versions of KubeVirt.
#[derive(Clone, Copy, Debug)]
pub struct Kubevirt {
    /// Whether the first call, with placeholders, is made.
    placeholders: usize,
    /// Whether `qemu:commandline` comes back (main since #18460).
    keeps_commandline: bool,
    /// Whether there is a third call.
    root_ports: usize,
}

fn devices(doc: &Document) -> Element {
    doc.find("devices").unwrap()
}

/// What libvirt makes of devices when the domain is defined and read back.
fn libvirt(doc: &mut Document) {
    let all: Vec<Element> = doc.children(devices(doc)).collect();
    for (n, device) in all.into_iter().enumerate() {
        let kind = doc.name(device).to_owned();
        if matches!(kind.as_str(), "disk" | "hostdev" | "video" | "controller" | "interface") {
            let has_own = doc.child(device, "address").is_some();
            if !has_own {
                let address =
                    NewElement::new("address").attribute("type", "pci").attribute("domain", "0x0000");
                let address = address.attribute("bus", format!("0x{:02x}", n + 1)).attribute("slot", "0x00");
                doc.append(device, address.attribute("function", "0x0")).unwrap();
            }
        }
        if kind == "hostdev" {
            let source = doc.find_below(device, "source/address").unwrap();
            // Numbers its own way.
            doc.set_attribute(source, "slot", "0x0").unwrap();
            doc.append(device, "<driver name='vfio'/>").unwrap();
        }
        if kind == "serial" {
            let target = doc.child(device, "target").unwrap();
            doc.set_attribute(target, "type", "isa-serial").unwrap();
            if doc.child(target, "model").is_none() {
                doc.append(target, "<model name='isa-serial'/>").unwrap();
            }
        }
    }
    doc.append_device("<controller type='sata' index='0'><alias name='sata0'/></controller>").unwrap();
    doc.append_device("<input type='mouse' bus='ps2'/>").unwrap();
    doc.append_device("<audio id='1' type='none'/>").unwrap();
}

fn without(doc: &mut Document, kind: &str) -> Vec<String> {
    let found = doc.devices(kind);
    found
        .into_iter()
        .map(|e| {
            let text = doc.source(e).to_owned();
            doc.remove(e).unwrap();
            text
        })
        .collect()
}

/// The calls of one start, and the last answer.
fn start(sidecar: &Collected, kubevirt: Kubevirt, vmi: &[u8]) -> String {
    let mut spec = Document::parse(domain()).unwrap();
    if kubevirt.placeholders > 0 {
        let mut copy = spec.clone();
        for n in 0..kubevirt.placeholders {
            let nic = format!(
                "<interface type=\"ethernet\"><target dev=\"placeholder-{n}\" managed=\"no\"/><model type=\"virtio-non-transitional\"/></interface>"
            );
            copy.append_device(&nic).unwrap();
        }
        let answer = String::from_utf8(sidecar.define(copy.as_bytes(), vmi).unwrap()).unwrap();
        assert_eq!(answer.matches("placeholder-").count(), kubevirt.placeholders, "{answer}");
        let mut defined = Document::parse(answer.as_str()).unwrap();
        assert_eq!(defined.devices("interface").len(), 1 + kubevirt.placeholders);
        libvirt(&mut defined);
        // Of all that, only devices that are no interfaces are taken over.
        without(&mut defined, "interface");
        let nics = without(&mut spec, "interface");
        let new = defined.source(devices(&defined)).to_owned();
        let old = devices(&spec);
        let new = spec.replace(old, &new).unwrap();
        for nic in &nics {
            spec.append(new, nic).unwrap();
        }
    }
    let answer = String::from_utf8(sidecar.define(spec.as_bytes(), vmi).unwrap()).unwrap();
    assert_once(&answer, "after the second call");
    if kubevirt.root_ports == 0 {
        return answer;
    }
    // KubeVirt reads what its schema knows.
    let mut third = Document::parse(answer).unwrap();
    if !kubevirt.keeps_commandline
        && let Some(commandline) = third.first_named("qemu:commandline")
    {
        third.remove(commandline).unwrap();
    }
    let root = third.root();
    let metadata = third.child(root, "metadata").unwrap();
    third.remove(metadata).unwrap();
    third
        .append(root, "<metadata><kubevirt xmlns=\"http://kubevirt.io\"><uid/></kubevirt></metadata>")
        .unwrap();
    for n in 0..kubevirt.root_ports {
        let port =
            format!("<controller type=\"pci\" index=\"{}\" model=\"pcie-root-port\"></controller>", n + 1);
        third.append_device(&port).unwrap();
    }
    let answer = String::from_utf8(sidecar.define(third.as_bytes(), vmi).unwrap()).unwrap();
    assert_eq!(answer.matches("pcie-root-port").count(), kubevirt.root_ports);
    answer
}

const VERSIONS: &[Kubevirt] = &[
    Kubevirt { placeholders: 0, keeps_commandline: false, root_ports: 0 },
    Kubevirt { placeholders: 4, keeps_commandline: false, root_ports: 0 },
    Kubevirt { placeholders: 2, keeps_commandline: false, root_ports: 3 },
    Kubevirt { placeholders: 2, keeps_commandline: true, root_ports: 3 },
    Kubevirt { placeholders: 0, keeps_commandline: true, root_ports: 8 },
];

fn annotated(uid: &str) -> Vec<u8> {
    vmi_with(uid, json!({"device.hooks.virt-hooks.io/default.queues": "4"}))
}

#[test]
fn every_edit_is_there_once_after_one_two_or_three_calls() {
    let bed = Bed::new();
    bed.package(&[("queues", "device", "[0-9]+", "4")]);
    install_hooks(&bed);
    let _server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    for (n, kubevirt) in VERSIONS.iter().enumerate() {
        let vmi = annotated(&format!("uid-{n}"));
        let first = start(&sidecar, *kubevirt, &vmi);
        assert_once(&first, &format!("with {kubevirt:?}"));
        // The controller retries a start that failed later on: from the beginning.
        assert_eq!(start(&sidecar, *kubevirt, &vmi), first, "{kubevirt:?}");
    }
}

#[test]
fn a_container_that_is_restarted_between_two_calls_knows_of_the_first() {
    let bed = Bed::new();
    bed.package(&[("queues", "device", "[0-9]+", "4")]);
    install_hooks(&bed);
    let vmi = annotated("uid");
    let mut server = bed.sidecar(&[]);
    let first = bed.collect().define(domain().as_bytes(), &vmi).unwrap();
    // Not even time to say goodbye.
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let _again = bed.sidecar(&[]);
    let second = bed.collect().define(&first, &vmi).unwrap();
    assert_once(std::str::from_utf8(&second).unwrap(), "after a restart");
}

#[test]
fn edits_others_changed_are_kept_and_hooks_do_not_run_again() {
    let bed = Bed::new();
    bed.hook(
        "before_vm_start",
        "50_io",
        "echo run >> OUT/runs; sed -i 's|<iothreads>\\([0-9]*\\)</iothreads>|<iothreads>\\11</iothreads>|;s|</cpu>|<feature name=\"svm\"/></cpu>|' \"$_hook_domxml\"",
    );
    let server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    let vmi = vmi("uid");
    let first = String::from_utf8(sidecar.define(domain().as_bytes(), &vmi).unwrap()).unwrap();
    assert!(first.contains("<iothreads>11</iothreads>"));
    // Neither 1 nor 11: what the hook would make of it is anybody's guess.
    let odd = domain().replace("<iothreads>1<", "<iothreads>12<");
    let second = String::from_utf8(sidecar.define(odd.as_bytes(), &vmi).unwrap()).unwrap();
    assert!(second.contains("<iothreads>12</iothreads>"), "{second}");
    assert_eq!(second.matches("\"svm\"").count(), 1, "what was missing is made again: {second}");
    assert_eq!(bed.out("runs"), "run\n");
    assert!(server.log().contains("hooks are not run again"), "{}", server.log());
}

#[test]
fn hooks_see_no_placeholders() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_count", "grep -c '<interface' \"$_hook_domxml\" > OUT/count");
    let _server = bed.sidecar(&[]);
    let with = domain().replace(
        "<channel type",
        "<interface type=\"ethernet\"><target dev=\"placeholder-0\"/></interface><channel type",
    );
    let answer = String::from_utf8(bed.collect().define(with.as_bytes(), &vmi("uid")).unwrap()).unwrap();
    assert_eq!(bed.out("count"), "1\n");
    assert_eq!(answer.matches("placeholder-0").count(), 1);
}

#[test]
fn without_edits_the_answer_is_the_question() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_looks", "cat \"$_hook_domxml\" > OUT/seen");
    let _server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    let answer = sidecar.define(domain().as_bytes(), &vmi("uid")).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), domain());
    assert_eq!(bed.out("seen"), domain());
}
