// SPDX-License-Identifier: Apache-2.0
//! Plugins: what changes a domain in a pod, and what acts on a node.

use crate::bed::{Bed, Server, is_gone, until};
use crate::documents::{UUID, domain, vmi_with};
use crate::grpc::{
    DEADLINE_EXCEEDED, FAILED_PRECONDITION, Failed, INVALID_ARGUMENT, UNAVAILABLE, UNIMPLEMENTED,
};
use crate::launcher::{Mutate, mutate, mutate_with, node_hook};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

struct Plugin {
    bed: Bed,
    domain: PathBuf,
    node: PathBuf,
}

impl Plugin {
    fn new() -> Self {
        let bed = Bed::new();
        let (domain, node) = (bed.make("plugin").join("hooks.sock"), bed.make("node").join("hooks.sock"));
        Self { bed, domain, node }
    }

    fn start(&self, more: &[&str]) -> Server {
        let mut arguments = vec![
            "plugin",
            "--domain-socket",
            self.domain.to_str().unwrap(),
            "--node-socket",
            self.node.to_str().unwrap(),
        ];
        arguments.extend(more);
        let server = self.bed.server(&arguments);
        until("both sockets are served", || self.domain.exists() && self.node.exists());
        server
    }

    fn log_at(&self, points: &[&str]) {
        for point in points {
            let script =
                "echo \"$_hook_point $vmId $size $_hook_reason $(wc -c < \"$_hook_domxml\")\" >> OUT/events";
            self.bed.hook(point, "50_log", script);
        }
    }

    fn events(&self) -> Vec<String> {
        self.bed.out("events").lines().map(str::to_owned).collect()
    }
}

fn vmi(uid: &str, status: Value) -> Vec<u8> {
    let mut vmi: Value = serde_json::from_slice(&vmi_with(
        uid,
        json!({"hooks.virt-hooks.io/size": "7", "hooks.virt-hooks.io/PATH": "/tmp"}),
    ))
    .unwrap();
    vmi["status"] = status;
    serde_json::to_vec(&vmi).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_domain_is_changed_at_boot_and_only_looked_at_in_a_migration() {
    let plugin = Plugin::new();
    plugin.bed.hook(
        "before_vm_start",
        "50_append",
        "sed -i 's|</cpu>|<feature name=\"svm\"/></cpu>|' \"$_hook_domxml\"",
    );
    plugin.log_at(&["before_vm_migrate_destination", "before_vm_migrate_source"]);
    plugin.bed.hook("before_vm_migrate_destination", "60_edits", "echo nonsense > \"$_hook_domxml\"");
    let _server = plugin.start(&[]);
    let vmi = vmi("u", json!({}));
    let first = text(mutate(&plugin.domain, domain().as_bytes(), &vmi, "Boot").unwrap());
    assert_eq!(first.matches("\"svm\"").count(), 1);
    let again = text(mutate(&plugin.domain, first.as_bytes(), &vmi, "Boot").unwrap());
    assert_eq!(again, first);
    for (context, point) in [
        ("MigrationTarget", "before_vm_migrate_destination"),
        ("MigrationSource", "before_vm_migrate_source"),
    ] {
        assert_eq!(text(mutate(&plugin.domain, domain().as_bytes(), &vmi, context).unwrap()), domain());
        let events = plugin.events();
        assert!(events.last().unwrap().starts_with(&format!("{point} {UUID}  ")), "{events:?}");
        assert!(events.last().unwrap().ends_with(&domain().len().to_string()), "{events:?}");
    }
    for (request, said) in [
        (Mutate { domain_type: "xen".into(), ..Mutate::default() }, "domain_type \"xen\""),
        (Mutate::default(), "VMI: empty"),
        (Mutate { vmi: vmi.clone(), ..Mutate::default() }, "domain XML of shop/web: empty"),
    ] {
        let failed = mutate_with(&plugin.domain, &request).unwrap_err();
        assert!(failed.status().0 == INVALID_ARGUMENT && failed.status().1.contains(said), "{failed:?}");
    }
    let failed = mutate(&plugin.domain, domain().as_bytes(), &vmi, "Resume").unwrap_err();
    assert!(failed.status().0 == INVALID_ARGUMENT && failed.status().1.contains("Resume"), "{failed:?}");
    // Each service has its own socket.
    assert_eq!(mutate(&plugin.node, b"", &vmi, "Boot").unwrap_err().status().0, UNIMPLEMENTED);
    assert_eq!(node_hook(&plugin.domain, "PostVMStart", &vmi, "n").unwrap_err().status().0, UNIMPLEMENTED);
}

const MAPPING: &[(&str, &str)] = &[
    ("PreVMStart", "kubevirt_pre_vm_start"),
    ("PostVMStart", "after_vm_start"),
    ("PreVMStop", "before_vm_destroy"),
    ("PostVMStop", "after_vm_destroy"),
    ("PreMigrationSource", "before_vm_migrate_source"),
    ("PreMigrationTarget", "before_vm_migrate_destination"),
    ("PostMigrationSource", "after_vm_migrate_source"),
    ("PostMigrationTarget", "after_vm_migrate_destination"),
];

#[test]
fn points_of_the_node_fire_points_of_hooks_once() {
    let plugin = Plugin::new();
    plugin.bed.package(&[("size", "vm", "[0-9]+", "7")]);
    plugin.log_at(&MAPPING.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    let mut server = plugin.start(&[]);
    let status = |phase: &str, migration: &str| json!({"phase": phase, "nodeName": "n1", "migrationState": {"migrationUid": migration}});
    let mut expected = Vec::new();
    for (point, hook_point) in MAPPING {
        expected.push(format!("{hook_point} {UUID} 7 {point} 0"));
        // The controller retries, also when the phase is another by then.
        for phase in ["Scheduled", "Running", "Running"] {
            node_hook(&plugin.node, point, &vmi("u", status(phase, "m1")), "n1").unwrap();
            assert_eq!(plugin.events(), expected, "{point}");
        }
    }
    // A restart of the pod forgets nothing.
    server.terminate();
    server.ended();
    let _server = plugin.start(&[]);
    for (point, _) in MAPPING {
        node_hook(&plugin.node, point, &vmi("u", status("Running", "m1")), "n1").unwrap();
    }
    assert_eq!(plugin.events(), expected);
    // Another migration, another start, another node.
    let count = expected.len();
    node_hook(&plugin.node, "PreMigrationSource", &vmi("u", status("Running", "m2")), "n1").unwrap();
    node_hook(&plugin.node, "PostVMStart", &vmi("u2", status("Running", "m1")), "n1").unwrap();
    node_hook(&plugin.node, "PostMigrationTarget", &vmi("u", status("Running", "m1")), "n2").unwrap();
    assert_eq!(plugin.events().len(), count + 3);
    // A migration that cannot be told from others is fired each time.
    for _ in 0..2 {
        node_hook(&plugin.node, "PreMigrationSource", &vmi("u", json!({})), "n1").unwrap();
    }
    assert_eq!(plugin.events().len(), count + 5);
    for (point, vmi) in [
        ("PreVMPause", vmi("u", json!({}))),
        ("prevmstart", vmi("u", json!({}))),
        ("", vmi("u", json!({}))),
        ("PostVMStart", b"{".to_vec()),
    ] {
        assert_eq!(node_hook(&plugin.node, point, &vmi, "n1").unwrap_err().status().0, INVALID_ARGUMENT);
    }
}

#[test]
fn what_was_refused_is_fired_again() {
    let plugin = Plugin::new();
    plugin.bed.hook(
        "before_vm_migrate_source",
        "50_no",
        "echo x >> OUT/events; [ -e OUT/allow ] || { echo 'pinned here' >&2; exit 2; }",
    );
    let mut server = plugin.start(&[]);
    let vmi = vmi("u", json!({"migrationState": {"migrationUid": "m"}}));
    for _ in 0..2 {
        let failed = node_hook(&plugin.node, "PreMigrationSource", &vmi, "n1").unwrap_err();
        assert!(
            failed.status().0 == FAILED_PRECONDITION
                && failed.status().1.contains("50_no: exit code 2: pinned here"),
            "{failed:?}"
        );
    }
    fs::write(plugin.bed.path("out/allow"), "").unwrap();
    for _ in 0..2 {
        node_hook(&plugin.node, "PreMigrationSource", &vmi, "n1").unwrap();
    }
    assert_eq!(plugin.events().len(), 3);
    // A hook that fails where failures are only told of was fired all the same.
    plugin.bed.hook("after_vm_start", "50_fails", "echo y >> OUT/after; exit 2");
    for _ in 0..2 {
        node_hook(&plugin.node, "PostVMStart", &vmi, "n1").unwrap();
    }
    assert_eq!(plugin.bed.out("after"), "y\n");
    assert!(server.is_running());
}

#[test]
fn one_that_is_cut_off_is_fired_again() {
    let plugin = Plugin::new();
    plugin.bed.hook(
        "after_vm_start",
        "50_slow",
        "echo $$ > OUT/pid; echo x >> OUT/runs; [ -e OUT/quick ] || exec sleep 600",
    );
    let mut server = plugin.start(&["--budget", "500ms"]);
    let vmi = vmi("u", json!({}));
    let failed = node_hook(&plugin.node, "PostVMStart", &vmi, "n1").unwrap_err();
    assert!(failed.status().0 == DEADLINE_EXCEEDED && failed.status().1.contains("50_slow"), "{failed:?}");
    until("it is gone", || is_gone(&plugin.bed.wait_for("pid")));
    server.terminate();
    server.ended();
    fs::write(plugin.bed.path("out/quick"), "").unwrap();
    let _server = plugin.start(&[]);
    for _ in 0..2 {
        node_hook(&plugin.node, "PostVMStart", &vmi, "n1").unwrap();
    }
    assert_eq!(plugin.bed.out("runs"), "x\nx\n");
}

#[test]
fn a_retry_while_the_first_try_runs_waits_and_fires_nothing() {
    let plugin = Plugin::new();
    plugin.bed.hook(
        "after_vm_start",
        "50_once",
        "echo x >> OUT/runs; echo y > OUT/started; until [ -e OUT/go ]; do sleep 0.02; done",
    );
    let _server = plugin.start(&["--budget", "300s"]);
    let call = || {
        let node = plugin.node.clone();
        std::thread::spawn(move || node_hook(&node, "PostVMStart", &vmi("u", json!({})), "n1"))
    };
    let first = call();
    plugin.bed.wait_for("started");
    let second = call();
    fs::write(plugin.bed.path("out/go"), "").unwrap();
    first.join().unwrap().unwrap();
    second.join().unwrap().unwrap();
    assert_eq!(plugin.bed.out("runs"), "x\n");
}

#[test]
fn term_in_the_middle_of_a_hook_of_the_node() {
    let plugin = Plugin::new();
    plugin.bed.hook("after_vm_start", "50_long", "echo $$ > OUT/pid; exec sleep 600");
    let mut server = plugin.start(&["--budget", "300s"]);
    let node = plugin.node.clone();
    let running = std::thread::spawn(move || node_hook(&node, "PostVMStart", &vmi("u", json!({})), "n1"));
    let pid = plugin.bed.wait_for("pid");
    server.terminate();
    assert_eq!(running.join().unwrap().unwrap_err().status().0, UNAVAILABLE);
    server.ended();
    until("it is gone", || is_gone(&pid));
    assert!(!plugin.node.exists() && !plugin.domain.exists());
}

#[test]
fn places_that_cannot_be_sockets() {
    let plugin = Plugin::new();
    let server = plugin.start(&[]);
    let dir = plugin.bed.make("other");
    fs::write(dir.join("file.sock"), "").unwrap();
    std::os::unix::fs::symlink("/tmp", dir.join("link.sock")).unwrap();
    let place = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    for (path, code, said) in [
        (plugin.domain.to_str().unwrap().to_owned(), 3, "another server answers there"),
        (place("file.sock"), 3, "is no socket"),
        (place("link.sock"), 3, "is no socket"),
        (place("x.socket"), 3, "does not end in .sock"),
        (place(".sock"), 3, "does not end in .sock"),
        (place(&format!("{}.sock", "x".repeat(100))), 3, "107 at most"),
        (place("none/x.sock"), 3, "none"),
    ] {
        let output = plugin.bed.command(&["plugin", "--domain-socket", &path]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && error.contains(said), "{path}: {error}");
    }
    let output = plugin.bed.command(&["plugin"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    drop(server);
    // One that a killed server left is taken over.
    assert!(plugin.domain.exists());
    assert_eq!(mutate(&plugin.domain, b"", b"", "Boot").unwrap_err(), Failed::Dial);
    fs::remove_file(&plugin.node).unwrap();
    let _server = plugin.start(&[]);
    until("it answers again", || {
        mutate(&plugin.domain, domain().as_bytes(), &vmi("u", json!({})), "Boot").is_ok()
    });
}
