// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use virt_hooks_engine::{Package, Packages};

const JSON: &str = include_str!("../../fixtures/ovirt/vm.json");
const OVF: &str = include_str!("../../fixtures/ovirt/vm.ovf");
const DOMAIN: &str = include_str!("../../fixtures/ovirt/domain.xml");

/// The bundled ones.
fn packages() -> Vec<Arc<Package>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks");
    let (packages, problems) = Packages::new(Some(dir)).all();
    assert_eq!((packages.len() >= 26, problems), (true, Vec::new()));
    packages
}

fn converted(text: &str, options: &Options) -> Conversion {
    convert(&read("vm", text.as_bytes()).unwrap(), &packages(), options)
}

fn of_vm(properties: &[(&str, &str)]) -> Machine {
    let properties = properties.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Machine { properties, ..Machine::default() }
}

fn of_nic(nic: &str, property: &str, value: &str) -> Machine {
    let device =
        Device { name: nic.to_owned(), mac: None, properties: vec![(property.to_owned(), value.to_owned())] };
    Machine { devices: vec![device], ..Machine::default() }
}

fn annotations(conversion: &Conversion) -> Vec<(&str, &str)> {
    conversion.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>) -> String {
    let said = read("vm", text.as_ref()).unwrap_err().to_string();
    assert!(!said.contains('\n'), "{said}");
    said
}

#[test]
fn the_rest_api() {
    let c = converted(JSON, &Options::default());
    assert_eq!((c.source, c.vm.as_deref()), (Source::Json, Some("web1")));
    assert_eq!(
        annotations(&c),
        [
            ("device.hooks.virt-hooks.io/nic1.extnet", "lab-net"),
            ("hooks.virt-hooks.io/backup_password", "hunter2-of-web1"),
            ("hooks.virt-hooks.io/hugepages", "1048576"),
            ("hooks.virt-hooks.io/sap_agent", "true"),
            ("hooks.virt-hooks.io/site_tier", "gold"),
            ("hooks.virt-hooks.io/smbios", "{'serial': '1234', 'vendor': 'Example'}"),
            ("hooks.virt-hooks.io/spiceoptions", "{'streaming': {'mode': 'filter'}}"),
        ]
    );
    assert_eq!(c.install, ["cpuflags", "smbios"]);
    let verdicts: Vec<_> = c.hooks.iter().map(|h| (h.package.as_str(), h.verdict)).collect();
    assert_eq!(
        verdicts,
        [
            ("cpuflags", Verdict::Portable),
            ("smbios", Verdict::Portable),
            ("extnet", Verdict::NoCounterpart),
            ("spiceoptions", Verdict::NoCounterpart),
            ("vhostmd", Verdict::NoCounterpart),
        ]
    );
    assert!(c.hooks.iter().all(|h| !h.why.is_empty() && !h.points.is_empty()));
    let told = c.warnings.join("\n");
    for part in [
        "NIC nic2: only a link to its vNIC profile",
        "hugepages: oVirt's own, not a hook's; in KubeVirt: spec.domain.memory.hugepages",
        "site_tier: no hook package here declares it",
        "backup_password: its value looks like a secret",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn the_three_kinds_agree() {
    let smbios = ("hooks.virt-hooks.io/smbios", "{'serial': '1234', 'vendor': 'Example'}");
    let sap = ("hooks.virt-hooks.io/sap_agent", "true");
    let ovf = converted(OVF, &Options::default());
    assert_eq!(
        annotations(&ovf),
        [
            ("device.hooks.virt-hooks.io/nic1.extnet", "lab-net"),
            ("device.hooks.virt-hooks.io/nic2.queues", "4"),
            ("device.hooks.virt-hooks.io/nic2.vmfex", "Prod-VLAN-20"),
            sap,
            smbios
        ]
    );
    assert_eq!(ovf.source, Source::Ovf);
    assert!(ovf.warnings.iter().any(|w| w.starts_with("nic2 has no name in the OVF")), "{:?}", ovf.warnings);
    let domain = converted(DOMAIN, &Options::default());
    assert_eq!(annotations(&domain), [("device.hooks.virt-hooks.io/nic2.extnet", "lab-net"), sap, smbios]);
    assert_eq!(domain.source, Source::Domain);
    let told = domain.warnings.join("\n");
    assert!(told.contains("(extnet) of a device that the domain does not have"), "{told}");
    assert!(told.contains("<interface> nic2: libvirt does not know its name"), "{told}");
    for c in [&ovf, &domain] {
        assert_eq!(
            (c.vm.as_deref(), &c.install[..]),
            (Some("web1"), &["cpuflags".into(), "smbios".into()][..])
        );
    }
}

#[test]
fn devices_get_the_names_they_have_in_kubevirt() {
    let rename = |from: &str| Options {
        rename: BTreeMap::from([(from.to_owned(), "net-0".to_owned())]),
        ..Options::default()
    };
    for from in ["nic1", "56:6f:00:00:00:01"] {
        let c = converted(JSON, &rename(from));
        assert!(c.annotations.contains_key("device.hooks.virt-hooks.io/net-0.extnet"), "{from}: {c:?}");
    }
    let c = converted(JSON, &rename("nic7"));
    assert!(c.warnings.contains(&"no device nic7 here: it was not given another name".to_owned()));
}

#[test]
fn secrets_are_carried_and_not_shown() {
    let c = converted(JSON, &Options::default());
    let password = c.properties.iter().find(|p| p.name == "backup_password").unwrap();
    assert_eq!((password.value.as_str(), password.secret), ("***", true));
    let shown = format!("{c:?}{:?}{:?}{:?}", c.warnings, c.properties, c.hooks);
    assert!(!shown.contains("hunter2"), "{shown}");
    // Neither is one that the host says is one and whose value its package refuses.
    let options = Options { secrets: vec!["diskunmap".to_owned()], ..Options::default() };
    let c = convert(&of_vm(&[("diskunmap", "swordfish")]), &packages(), &options);
    assert_eq!(annotations(&c), [("hooks.virt-hooks.io/diskunmap", "swordfish")]);
    let told = c.warnings.join("\n");
    assert!(
        told.contains("package diskunmap does not allow its value") && !told.contains("swordfish"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_carried_is_told() {
    let long = "x".repeat(64);
    for (name, why) in [
        ("LD_PRELOAD", "no hook is ever given a variable of this name"),
        ("_x", "cannot name an annotation"),
        ("x_", "cannot name an annotation"),
        ("a b", "cannot name an annotation"),
        (long.as_str(), "64 characters"),
    ] {
        let c = convert(&of_vm(&[(name, "v")]), &packages(), &Options::default());
        assert!(c.annotations.is_empty() && c.properties[0].annotation.is_none(), "{name}");
        assert!(
            c.warnings.iter().any(|w| w.contains("not carried over: ") && w.contains(why)),
            "{:?}",
            c.warnings
        );
    }
    for (nic, why) in [("nic.1", "--rename"), ("", "--rename"), ("é", "--rename"), (&*long, "71 characters")]
    {
        let c = convert(&of_nic(nic, "extnet", "x"), &packages(), &Options::default());
        assert!(c.annotations.is_empty(), "{nic}");
        assert!(c.warnings.iter().any(|w| w.contains(why)), "{:?}", c.warnings);
    }
    let big = "v".repeat(70_000);
    for (value, why) in [("a\0b", "NUL"), (big.as_str(), "70000 bytes")] {
        let c = convert(&of_vm(&[("p", value)]), &packages(), &Options::default());
        assert!(c.annotations.is_empty() && c.warnings.iter().any(|w| w.contains(why)), "{:?}", c.warnings);
    }
}

#[test]
fn what_will_not_work_is_told() {
    let c = convert(&of_vm(&[("diskunmap", "maybe")]), &packages(), &Options::default());
    assert!(
        c.warnings.iter().any(|w| w.contains("VMs with it will not start: property diskunmap: \"maybe\"")),
        "{:?}",
        c.warnings
    );
    let c = convert(&of_vm(&[("extnet", "lab")]), &packages(), &Options::default());
    assert_eq!(c.warnings, ["extnet: package extnet declares it, but not for VMs"]);
    assert!(c.hooks.is_empty());
    let c = convert(&of_vm(&[("smbios", "{}"), ("smbios", "{'a': 'b'}")]), &packages(), &Options::default());
    assert!(c.warnings[0].contains("twice"), "{:?}", c.warnings);
    let values = "x".repeat(60_000);
    let many = [("a", &*values), ("b", &*values), ("c", &*values), ("d", &*values), ("e", &*values)];
    let c = convert(&of_vm(&many), &packages(), &Options::default());
    assert!(c.warnings.iter().any(|w| w.contains("takes 262144 at most")), "{:?}", c.warnings);
}

#[test]
fn a_package_that_does_not_say_is_no_promise() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("p")).unwrap();
    std::fs::write(
        dir.path().join("p/hook.toml"),
        "manifest = 1\nname = \"p\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
         [[point]]\nname = \"before_vm_start\"\nfile = \"50_p\"\n\
         [[property]]\nname = \"p\"\nscope = \"vm\"\nexample = \"x\"\ndescription = \"d\"\n",
    )
    .unwrap();
    let (packages, _) = Packages::new(Some(dir.path().to_owned())).all();
    let c = convert(&of_vm(&[("p", "v")]), &packages, &Options::default());
    assert_eq!((c.hooks[0].verdict, &c.install[..]), (Verdict::Unknown, &["p".to_owned()][..]));
    assert!(c.hooks[0].why.contains("[portability]"));
}

#[test]
fn spoilt_inputs_are_refused_with_their_place() {
    assert!(refused("").starts_with("vm: it is empty; give the JSON of a VM"));
    assert!(refused("hello").starts_with("vm: it is neither JSON nor XML; "));
    assert!(refused(b"\xff\xfe<\0").starts_with("vm: it is neither JSON nor XML; "));
    assert_eq!(refused("{\"name\": \"x\",\n  oops}"), "vm:2:3: key must be a string");
    assert!(refused("{\"a\": 1}").starts_with("vm: the document: no VM: "));
    assert!(refused("[]").starts_with("vm: the document: an object is due here"));
    assert!(refused("{\"vm\": [{}, {}]}").starts_with("vm: vm: 2 VMs"));
    let broken = JSON.replacen("\"value\": \"true\"", "\"value\": true", 1);
    assert_eq!(refused(&broken), "vm: custom_properties.custom_property[1].value: a string is due here");
    let broken = JSON.replacen("\"name\": \"extnet\", ", "", 1);
    assert_eq!(
        refused(&broken),
        "vm: nics.nic[0].vnic_profile.custom_properties.custom_property[0]: a custom property without a name"
    );
    let broken = JSON.replacen("\"nic\": [", "\"nic\": 7, \"x\": [", 1);
    assert_eq!(refused(&broken), "vm: nics.nic: an array is due here");
    assert!(refused("<domain>\n<name></domain>").starts_with("vm: line 2, column "));
    assert!(refused("<vm/>").contains("Accept: application/json"));
    assert!(refused("<html/>").contains("its root element is <html>"));
    assert!(refused(OVF.replace("Content", "Contents")).contains("vm:2: <ovf:Envelope>: no <Content>"));
    let broken = OVF.replacen("extnet=lab-net", "hunter2", 1);
    let said = refused(&broken);
    assert_eq!(said, "vm:24: <rasd:CustomProperties>: property 1 of the list is not of the form name=value");
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(refused(&tar).contains("take the .ovf out of it"));
}

#[test]
fn huge_inputs_are_bounded() {
    assert_eq!(
        refused(" ".repeat(LARGEST_INPUT + 1)),
        "vm: more than 4 MiB, which no description of a VM has"
    );
    assert!(refused("[".repeat(100_000)).contains("recursion limit"));
    assert!(refused("<a>".repeat(100_000)).starts_with("vm: line 1, column"));
}

#[test]
fn a_list_of_one_is_a_vm() {
    let list = format!("{{\"vm\": [{JSON}]}}");
    assert_eq!(read("vm", list.as_bytes()), read("vm", JSON.as_bytes()));
    let with_mark = [b"\xEF\xBB\xBF", JSON.as_bytes()].concat();
    assert_eq!(read("vm", &with_mark), read("vm", JSON.as_bytes()));
}
