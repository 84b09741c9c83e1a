// SPDX-License-Identifier: Apache-2.0
//! A VM from its start to its end, and the list of VMs.

use crate::bed::{ALL, Bed, START, UUID, command};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::Value;
use std::fs;
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu a_vm_runs_as_its_hooks_made_it_and_goes_with_all_its_points,
    Qemu an_advisory_failure_leaves_the_vm_running,
    Qemu vms_are_listed_for_people_and_programs,
    Library a_vm_without_uuid_gets_one_that_its_hooks_know,
    Command the_command_hands_over,
}

/// A NIC with one custom property.
const NIC: &str =
    "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>";
const NIC_METADATA: &str = "<o:vm xmlns:o='http://ovirt.org/vm/1.0'>\
    <o:device devtype='interface' mac_address='52:54:00:00:00:01'><o:custom><o:link>slow</o:link></o:custom></o:device></o:vm>";

fn a_vm_runs_as_its_hooks_made_it_and_goes_with_all_its_points() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&ALL)?;
    bed.hook("before_vm_start", "10_memory", "sed -i \"s/'MiB'>16</'MiB'>24</\" \"$_hook_domxml\"")?;
    bed.hook("before_vm_start", "20_processors", "sed -i 's/<vcpu>1</<vcpu>2</' \"$_hook_domxml\"")?;
    let options = GuestOptions { metadata: NIC_METADATA.into(), devices: NIC.into(), ..Default::default() };
    let xml = bed.file("life.xml", &bed.xml("life", options))?;
    let report = bed.path("report.json");
    let report = report.to_str().unwrap();

    let done = bed.vm(&["start", "--xml", &xml, "-p", "colour=light blue", "--report", report])?.expect(0);
    assert!(done.stderr.ends_with("started: VM life runs\n"), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    let qemu = bed.qemu("life").expect("QEMU runs");
    assert!(qemu.contains("25165824") && qemu.contains(" -smp 2"), "{qemu}");

    let seen = bed.seen();
    assert_eq!(points(&seen), ALL[..4]);
    for event in &seen {
        let about = ["vmId", "_hook_reason", "colour"].map(|name| event.variable(name));
        assert_eq!(about, [UUID, "start", "light blue"], "{}", event.point);
        let device = event.point.contains("device");
        assert_eq!(event.variable("link"), if device { "slow" } else { "" });
        assert!(event.payload.starts_with(if device { "<interface" } else { "<domain" }), "{event:?}");
    }
    assert!(seen[1].payload.contains("<vcpu>2</vcpu>"), "the chain's result so far: {}", seen[1].payload);
    // libvirt numbers what runs.
    assert!(seen[2].payload.contains(" id='1'"), "live XML: {}", seen[2].payload);

    let report: Value = serde_json::from_slice(&fs::read(report)?)?;
    let about = ["verb", "result", "vm_name", "vm_id", "error"].map(|key| report[key].as_str());
    assert_eq!(about, [Some("start"), Some("done"), Some("life"), Some(UUID), None]);
    let events = report["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|e| e["point"].as_str().unwrap()).collect::<Vec<_>>(), ALL[..4]);
    assert!(events.iter().all(|e| e["verdict"] == "proceed" && e["vm_id"] == UUID), "{events:?}");
    let runs = events[1]["runs"].as_array().unwrap();
    let runs: Vec<_> = runs
        .iter()
        .map(|run| {
            let name = run["path"].as_str().unwrap().rsplit('/').next().unwrap();
            (name, run["exit_code"].as_i64(), run["changed"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        runs,
        [("10_memory", Some(0), true), ("20_processors", Some(0), true), ("90_spy", Some(0), false)]
    );
    bed.assert_tidy();

    let done = bed.vm(&["destroy", "life", "--report", "-"])?.expect(0);
    assert!(done.stderr.ends_with("destroyed: VM life\n"), "{}", done.stderr);
    let report: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!((&report["verb"], &report["result"]), (&"destroy".into(), &"done".into()));
    assert_eq!(bed.qemu("life"), None);
    let seen = bed.seen();
    assert_eq!(points(&seen), ALL[4..]);
    for event in &seen {
        let about = ["vmId", "_hook_reason", "colour"].map(|name| event.variable(name));
        assert_eq!(about, [UUID, "destroy", "light blue"], "{}", event.point);
        let device = event.point.contains("device");
        assert_eq!(event.variable("link"), if device { "slow" } else { "" });
        let start = if device { "<interface" } else { "<domain" };
        assert!(
            event.payload.starts_with(start) && event.payload.contains("<alias name='net0'/>"),
            "{event:?}"
        );
    }
    bed.finish()
}

fn an_advisory_failure_leaves_the_vm_running() -> Result {
    let bed = Bed::embedded()?;
    bed.hook("after_vm_start", "50_tell", "echo nobody listens >&2; exit 1")?;
    let done = bed.vm(&["start", "--xml", &bed.plain("advisory")?, "--report", "-"])?.expect(0);
    for words in [
        "proceed: after_vm_start: 1 of 1 hook failed",
        "50_tell: exit code 1: nobody listens",
        "VM advisory runs",
    ] {
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
    let report: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!(report["result"], "done");
    let event = report["events"].as_array().unwrap().iter().find(|e| e["point"] == "after_vm_start").unwrap();
    assert_eq!((&event["verdict"], &event["runs"][0]["failed"]), (&"proceed".into(), &true.into()));
    assert_eq!(event["error"], "50_tell: exit code 1: nobody listens");
    assert_eq!(bed.state("advisory")?.as_deref(), Some("running"));
    bed.vm(&["destroy", UUID])?.expect(0);
    assert_eq!(bed.state("advisory")?, None);
    bed.finish()
}

fn vms_are_listed_for_people_and_programs() -> Result {
    let bed = Bed::embedded()?;
    assert_eq!(bed.vm(&["list"])?.expect(0).stdout, "no VMs\n");
    assert_eq!(bed.vm(&["list", "--format", "json"])?.expect(0).stdout, "[]\n");
    bed.vm(&["start", "--paused", "--xml", &bed.plain("listed")?])?.expect(0);
    let text = bed.vm(&["list"])?.expect(0).stdout;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["name", "state", "stored", "uuid"], ["listed", "paused", "no", UUID]]);
    let vms: Value = serde_json::from_str(&bed.vm(&["list", "--format", "json"])?.expect(0).stdout)?;
    let expected =
        serde_json::json!([{"name": "listed", "uuid": UUID, "state": "paused", "persistent": false}]);
    assert_eq!(vms, expected);
    bed.vm(&["destroy", "listed"])?.expect(0);
    bed.finish()
}

fn a_vm_without_uuid_gets_one_that_its_hooks_know() -> Result {
    let bed = Bed::without_vms()?;
    bed.spy(&START)?;
    let given = "<domain type='test'><name>new</name><memory>8192</memory><os><type>hvm</type></os></domain>";
    let done = bed.vm(&["start", "--xml", &bed.file("new.xml", given)?, "--report", "-"])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), START);
    let id = seen[0].variable("vmId");
    let element = format!("<uuid>{id}</uuid>");
    assert_eq!(seen[0].payload, given.replace("</name>", &format!("</name>{element}")));
    assert!(seen[1].payload.contains(&element), "libvirt knows it by that: {}", seen[1].payload);
    assert_eq!((seen[1].variable("vmId"), id.len()), (id, 36));
    assert_eq!(serde_json::from_str::<Value>(&done.stdout)?["vm_id"], id);
    bed.finish()
}

fn the_command_hands_over() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&["before_vm_start"])?;
    let run = |arguments: &[&str]| bed.command_of(&command(), arguments).output();
    let started = run(&["vm", "start", "--xml", &bed.plain("handed")?, "-p", "a=b c"])?;
    assert!(started.status.success(), "{started:?}");
    assert_eq!(bed.seen()[0].variable("a"), "b c");
    assert!(bed.qemu("handed").is_some());
    let missing = run(&["vm", "destroy", "no-such-vm"])?;
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    assert!(run(&["vm", "destroy", "handed"])?.status.success());
    bed.finish()
}
