// SPDX-License-Identifier: Apache-2.0
//! `convert`.

use crate::case::{Case, Done};
use serde_json::{Value, json};
use std::path::Path;

const JSON: &str = include_str!("../../../../crates/package/fixtures/ovirt/vm.json");
const OVF: &str = include_str!("../../../../crates/package/fixtures/ovirt/vm.ovf");

fn bundled() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks").canonicalize().unwrap().display().to_string()
}

fn ovirt(input: &str, arguments: &[&str]) -> Done {
    let case = Case::new().file("vm", input);
    case.says("convert ovirt vm --packages").arguments([bundled()]).arguments(arguments).run().ended(0)
}

#[test]
fn people_get_a_report() {
    let out = ovirt(JSON, &[]).stdout;
    for part in [
        "VM web1 (a VM of oVirt's REST API)\n",
        "smbios",
        "read by smbios",
        "  smbios: portable\n",
        "  spiceoptions: no counterpart\n    KubeVirt has VNC only",
        "virt-hooks-kubevirt manifests --image IMAGE --hook cpuflags --hook smbios | kubectl apply -f -",
        "        annotations:\n          device.hooks.virt-hooks.io/nic1.extnet: lab-net\n",
        "backup_password: its value looks like a secret",
        "NIC nic2: only a link",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    // Once, where it is to be used.
    assert_eq!(out.matches("hunter2").count(), 1, "{out}");
}

#[test]
fn programs_get_all_of_it() {
    let answer: Value = serde_json::from_str(&ovirt(JSON, &["--format", "json"]).stdout).unwrap();
    assert_eq!(answer["source"], "ovirt-json");
    assert_eq!(answer["install"], json!(["cpuflags", "smbios"]));
    assert_eq!(answer["hooks"][0]["verdict"], "portable");
    assert_eq!(answer["annotations"]["hooks.virt-hooks.io/backup_password"], "hunter2-of-web1");
    let password = answer["properties"].as_array().unwrap().iter().find(|p| p["name"] == "backup_password");
    assert_eq!(password.unwrap()["value"], "***");
}

#[test]
fn kubectl_gets_a_patch() {
    let done = ovirt(OVF, &["--format", "yaml", "--rename", "nic1=net-0", "--hooks", "smbios"]);
    let patch: Value = serde_saphyr::from_str(&done.stdout).unwrap();
    assert_eq!(
        patch,
        json!({"spec": {"template": {"metadata": {"annotations": {
            "device.hooks.virt-hooks.io/net-0.extnet": "lab-net",
            "device.hooks.virt-hooks.io/nic2.queues": "4",
            "device.hooks.virt-hooks.io/nic2.vmfex": "Prod-VLAN-20",
            "hooks.virt-hooks.io/sap_agent": "true",
            "hooks.virt-hooks.io/smbios": "{'serial': '1234', 'vendor': 'Example'}"
        }}}}})
    );
    // Of the chosen packages none reads it.
    assert!(done.stderr.contains("warning: sap_agent: no hook package here declares it"), "{}", done.stderr);
}

#[test]
fn what_is_installed_is_asked_and_the_input_may_be_piped() {
    let manifest = std::fs::read_to_string(Path::new(&bundled()).join("smbios/hook.toml")).unwrap();
    let case = Case::new().file("packages/smbios/hook.toml", manifest);
    let done = case.says("convert ovirt - --format json").input(OVF).run().ended(0);
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["install"], json!(["smbios"]));
    let done = Case::new().says("convert ovirt -").input(OVF).run().ended(0);
    assert!(done.stdout.contains("no hook package in "), "{}", done.stdout);
    let case = Case::new().file("packages/broken/hook.toml", "nonsense");
    let done = case.says("convert ovirt -").input(OVF).run().ended(0);
    assert!(
        done.stderr.contains("warning: not asked: ") && done.stderr.contains("hook.toml:1"),
        "{}",
        done.stderr
    );
}

#[test]
fn mistakes_are_one_line() {
    let refused = |arguments: &str, code| Case::new().file("vm", "{}").says(arguments).run().refused(code);
    assert!(refused("convert ovirt vm", 3).starts_with("vm: the document: no VM"));
    assert!(refused("convert ovirt none", 3).starts_with("read none: No such file"));
    assert!(refused("convert ovirt .", 3).starts_with("read .: Is a directory"));
    assert!(
        refused("convert ovirt vm --packages none", 2).contains("packages directory none does not exist")
    );
    assert!(refused("convert ovirt vm --hooks nosuch", 2).contains("no hook package \"nosuch\""));
    assert!(refused("convert ovirt vm --rename nic1", 2).contains("give it as DEVICE=NAME"));
    let long = "x".repeat((4 << 20) + 2);
    assert!(
        Case::new().file("vm", long).says("convert ovirt vm").run().refused(3).contains("more than 4 MiB")
    );
}

#[test]
fn a_terminal_is_safe_from_what_is_in_there() {
    let json = r#"{"name": "a\u001b[2Jb", "custom_properties": {"custom_property": [{"name": "x\u001b", "value": "\u001b[0m"}]}}"#;
    let done = ovirt(json, &[]);
    assert!(!done.stdout.contains('\u{1b}'), "{}", done.stdout);
}
