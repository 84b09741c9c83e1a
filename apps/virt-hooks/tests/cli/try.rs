// SPDX-License-Identifier: Apache-2.0
//! `try`.

use crate::case::{Case, then};
use std::fs;

#[test]
fn a_file_alone_with_what_lies_beside_it() {
    let done = Case::new()
        .executable(
            "x/greet",
            "sed -i \"s/web1/$(cat \"${0%/*}/table.txt\")/\" \"$_hook_domxml\"; echo hello >&2",
        )
        .executable("x/other", "touch \"$(dirname \"$0\")/other-ran\"; exit 1")
        .file("x/table.txt", "web2")
        .says("try x/greet --point before_vm_start --payload dom.xml --output -")
        .run()
        .ended(0);
    assert!(done.stdout.contains("<name>web2</name>"), "{}", done.stdout);
    for line in [
        "fine          greet, changed the payload",
        "| hello",
        "-  <name>web1</name>",
        "+  <name>web2</name>",
    ] {
        assert!(done.stderr.contains(line), "{line} is missing in {}", done.stderr);
    }
    assert!(!done.stderr.contains("other"), "{}", done.stderr);
    // Nothing is changed, and nothing is recorded.
    assert_eq!(done.read("dom.xml"), crate::case::DOMAIN);
    assert!(!done.path("state").exists() && !done.path("x/other-ran").exists());
}

#[test]
fn a_failure_is_shown_with_its_words() {
    let done = Case::new()
        .executable("bad", "echo 'no licence left' >&2; exit 2")
        .says("try bad --point before_vm_start")
        .run()
        .ended(1);
    assert!(done.stderr.starts_with("payload: sample domain, "), "{}", done.stderr);
    assert!(done.stderr.contains("bad: exit code 2: no licence left"), "{}", done.stderr);
    let hangs = Case::new().executable("slow", "exec sleep 1000");
    let done = hangs.says("try slow --point after_vm_start --timeout 300ms").run().ended(1);
    assert!(done.stderr.contains("timed out"), "{}", done.stderr);
}

#[test]
fn every_sample_can_be_given() {
    let done = Case::new().says("try --sample list").run().ended(0);
    let names: Vec<&str> = done.stdout.lines().skip(1).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let point = match name {
            "drive" => "after_disk_prepare",
            "network-request" => "before_network_setup",
            "vm-stats" => "after_get_vm_stats",
            "stats" => "after_get_stats",
            "caps" => "after_get_caps",
            "hostdev-list" => "after_hostdev_list_by_caps",
            "domain" | "domain-q35" => "before_vm_start",
            _ => "before_device_create",
        };
        let arguments = ["try", "h", "--point", point, "--sample", name];
        Case::new().executable("h", "exit 0").arguments(arguments).run().ended(0);
    }
}

#[test]
fn properties_of_vm_and_device_reach_it() {
    let done = Case::new()
        .executable("h", "echo \"$a-$b-$vmId\" >&2")
        .says("try h --point before_nic_hotplug -p a=1 --device-property b=2")
        .run()
        .ended(0);
    assert!(done.stderr.contains("| 1-2-"), "{}", done.stderr);
}

#[test]
fn a_package_is_tried_as_its_manifest_says() {
    let done = Case::new().says("new hook a --point before_vm_start").run().ended(0);
    let manifest = done.read("a/hook.toml").replace("type = \"text\"", "pattern = \"[A-Z].*\"");
    fs::write(done.path("a/hook.toml"), manifest + "\n[when]\nproperty = [\"a\"]\n").unwrap();
    let done = then(done, &["try", "a", "--point", "before_vm_start"]).ended(0);
    assert!(done.stderr.contains("not run: its package runs it only with property a"), "{}", done.stderr);
    let done = then(done, &["try", "a", "--point", "before_vm_start", "-p", "a=small"]).ended(1);
    assert!(done.stderr.contains("property a: \"small\" does not match [A-Z].*"), "{}", done.stderr);
    let done = then(done, &["try", "a", "--point", "before_vm_start", "-p", "a=Large"]).ended(0);
    assert!(done.stderr.contains("+  <title>Large</title>"), "{}", done.stderr);
    let said = then(done, &["try", "a", "--point", "after_vm_start"]).refused(2);
    assert_eq!(said, "a has no hook at after_vm_start: it has some at before_vm_start");
}

#[test]
fn bad_input() {
    let refused =
        |arguments: &str, code| Case::new().executable("h", "exit 0").says(arguments).run().refused(code);
    assert!(refused("try", 2).starts_with("try needs a hook and a point"));
    assert!(refused("try h", 2).starts_with("try needs a hook and a point"));
    assert!(refused("try h --point before_vm_strat", 2).contains("did you mean \"before_vm_start\"?"));
    assert_eq!(
        refused("try none --point before_vm_start", 2),
        "none does not exist: give a hook's file, or a package's directory"
    );
    assert_eq!(refused("try dom.xml --point before_vm_start", 3), "dom.xml is not executable: chmod 755 it");
    assert!(refused("try hooks --point before_vm_start", 3).starts_with("hooks is no hook package"));
    assert!(
        refused("try h --point before_vm_start --sample nix", 2)
            .starts_with("no sample \"nix\": there are domain,")
    );
    assert!(
        refused("try h --point before_vm_start --sample caps", 2)
            .starts_with("sample caps is json, and before_vm_start has xml")
    );
    assert!(
        refused("try h --point before_vdsm_start --sample caps", 2)
            .starts_with("before_vdsm_start has no payload")
    );
    assert!(
        refused("try h --point before_vm_start --payload none", 3)
            .starts_with("read the payload from none: ")
    );
    assert!(
        refused("try h --point before_vm_start --payload dom.xml --sample domain", 2)
            .contains("cannot be used with")
    );
}
