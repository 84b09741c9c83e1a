// SPDX-License-Identifier: Apache-2.0
//! A hook that says no: nothing starts, and what hooks before it made can be cleaned up.

use crate::bed::{ALL, Bed, UUID};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::Value;
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu a_veto_before_the_start_starts_nothing_and_cleans_up,
    Qemu a_veto_about_a_device_starts_nothing_and_cleans_up,
    Library a_spoilt_payload_is_a_veto_that_names_the_hook,
}

const METADATA: &str = "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'>\
    <v:device alias='ua-a'><v:custom><v:property name='link'>slow</v:property></v:custom></v:device>\
    <v:device alias='ua-b'><v:custom><v:property name='link'>fast</v:property></v:custom></v:device></v:vm>";
const NICS: &str = "<interface type='user'><mac address='52:54:00:00:00:0a'/><alias name='ua-a'/></interface>\
    <interface type='user'><mac address='52:54:00:00:00:0b'/><alias name='ua-b'/></interface>";

fn options() -> GuestOptions {
    GuestOptions { metadata: METADATA.into(), devices: NICS.into(), ..Default::default() }
}

fn a_veto_before_the_start_starts_nothing_and_cleans_up() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&ALL)?;
    bed.hook(
        "before_vm_start",
        "10_mark",
        "sed -i 's|<name>|<title>marked</title><name>|' \"$_hook_domxml\"",
    )?;
    bed.hook("before_vm_start", "95_licence", "echo 'no licence is left' >&2; exit 2")?;
    let xml = bed.file("vetoed.xml", &bed.xml("vetoed", options()))?;
    let done = bed.vm(&["start", "--xml", &xml, "-p", "a=b", "--report", "-"])?.expect(1);
    assert_eq!(
        done.error(),
        "start VM vetoed: vetoed at before_vm_start: Hook Error: 95_licence: exit code 2: no licence is left"
    );
    assert_eq!((bed.qemu("vetoed"), bed.state("vetoed")?), (None, None));
    let seen = bed.seen();
    let started = ["before_device_create", "before_device_create", "before_vm_start"];
    let cleaned = [
        "before_device_destroy",
        "before_device_destroy",
        "before_vm_destroy",
        "after_vm_destroy",
        "after_device_destroy",
        "after_device_destroy",
    ];
    assert_eq!(points(&seen), [&started[..], &cleaned[..]].concat());
    for event in &seen[3..] {
        let about = ["vmId", "_hook_reason", "a", "_hook_launch_flags"].map(|name| event.variable(name));
        assert_eq!(about, [UUID, "start-failed", "b", ""], "{}", event.point);
    }
    for event in &seen[5..7] {
        assert!(event.payload.contains("<title>marked</title>"), "as hooks left it: {}", event.payload);
    }
    let links: Vec<&str> = seen[3..].iter().map(|e| e.variable("link")).collect();
    assert_eq!(links, ["slow", "fast", "", "", "slow", "fast"]);
    let report: Value = serde_json::from_str(&done.stdout)?;
    let about = ["result", "vm_name", "vm_id", "error"].map(|key| report[key].as_str().unwrap());
    assert_eq!(about, ["vetoed", "vetoed", UUID, done.error()]);
    let verdicts: Vec<_> = report["events"].as_array().unwrap().iter().map(|e| &e["verdict"]).collect();
    assert_eq!(verdicts.iter().filter(|v| **v == "veto").count(), 1);
    bed.finish()
}

fn a_veto_about_a_device_starts_nothing_and_cleans_up() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&ALL)?;
    bed.hook(
        "before_device_create",
        "10_mark",
        "sed -i \"s|<alias|<target dev='tap-$link'/><alias|\" \"$_hook_domxml\"",
    )?;
    // The first device passes.
    bed.hook("before_device_create", "95_limit", "test $link = slow && exit 0; echo 'too fast' >&2; exit 1")?;
    let xml = bed.file("vetoed.xml", &bed.xml("vetoed", options()))?;
    let done = bed.vm(&["start", "--xml", &xml])?.expect(1);
    assert_eq!(
        done.error(),
        "start VM vetoed: vetoed at before_device_create: Hook Error: 95_limit: exit code 1: too fast"
    );
    assert_eq!((bed.qemu("vetoed"), bed.state("vetoed")?), (None, None));
    let seen = bed.seen();
    assert_eq!(points(&seen[..3]), ["before_device_create", "before_device_create", "before_device_destroy"]);
    assert_eq!(seen.len(), 8, "{:?}", points(&seen));
    assert!(seen[2..].iter().all(|e| e.variable("_hook_reason") == "start-failed"));
    // What the hooks made for either device can be found again, for the vetoed one too.
    for event in &seen[2..] {
        let expected = ["tap-slow", "tap-fast"].map(|tap| event.payload.contains(tap));
        let link = event.variable("link");
        assert_eq!(expected, [link != "fast", link != "slow"], "{event:?}");
    }
    bed.finish()
}

fn a_spoilt_payload_is_a_veto_that_names_the_hook() -> Result {
    let bed = Bed::without_vms()?;
    bed.spy(&["before_vm_destroy"])?;
    bed.hook("before_vm_start", "10_spoil", "echo '<domain>' >\"$_hook_domxml\"")?;
    let given = format!("<domain type='test'><name>spoilt</name><uuid>{UUID}</uuid></domain>");
    let done = bed.vm(&["start", "--xml", &bed.file("spoilt.xml", &given)?])?.expect(1);
    let error = done.error();
    assert!(
        error.starts_with("start VM spoilt: vetoed at before_vm_start: Hook Error: 10_spoil: left a payload"),
        "{error}"
    );
    assert_eq!(bed.seen()[0].payload, given, "the last good one");
    bed.finish()
}
