// SPDX-License-Identifier: Apache-2.0
//! What changes a running VM, and what is asked, by way of the agent.

use crate::bed::{Bed, DESTROY, Done, START, UUID, until};
use crate::memory_and_cpus;
use crate::nics::live;
use crate::stored::wait_at;
use crate::tickets::{SECOND, login, options, set_ticket};
use crate::traces::files_below;
use crate::{Result, tests};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

tests! {
    Agent every_change_goes_through_the_agent,
    Agent questions_and_definitions_go_through_the_agent,
    Agent changes_wait_for_their_turn,
    Agent c32_a_late_removal_is_heard_by_the_agent,
    AgentAndScript the_hooks_of_an_end_are_done_before_those_of_the_next_start,
    Agent what_is_no_ticket_is_quoted_nowhere,
}

const NIC: &str =
    "<interface type='user'><mac address='52:54:00:00:00:0b'/><model type='virtio'/></interface>";

/// Has hooks note at these points which program runs them.
fn note_who(bed: &Bed, points: &[&str]) -> Result {
    let note = format!("echo \"$_hook_point $(cat /proc/$PPID/comm)\" >>'{}'", bed.path("who").display());
    points.iter().try_for_each(|point| bed.hook(point, "80_who", &note))
}

/// What they noted since the last call.
fn who(bed: &Bed) -> Vec<String> {
    let text = fs::read_to_string(bed.path("who")).unwrap_or_default();
    let _ = fs::remove_file(bed.path("who"));
    text.lines().map(str::to_owned).collect()
}

/// All of them by the agent.
fn by_agent(points: &[&str]) -> Vec<String> {
    points.iter().map(|point| format!("{point} virt-hooksd")).collect()
}

/// A guest that lets go, with a VNC console, room for memory and CPUs, and a stored disk image beside it.
fn xml(bed: &Bed, name: &str) -> String {
    let with_console = options(bed);
    memory_and_cpus::xml_with(bed, name, &with_console.devices)
}

fn every_change_goes_through_the_agent() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let connection = bed.connect()?;
    bed.run_guest("wired", &xml(&bed, "wired"))?;
    let vm = connection.lookup(UUID)?;
    let points = [
        &["before_nic_hotplug", "after_nic_hotplug"][..],
        &["before_update_device", "after_update_device"],
        &["before_nic_hotunplug", "after_nic_hotunplug"],
        &["before_disk_hotplug", "after_disk_hotplug"],
        &["before_disk_hotunplug", "after_disk_hotunplug"],
        &["before_memory_hotplug", "after_memory_hotplug"],
        &["before_set_num_of_cpus", "after_set_num_of_cpus"],
        &["before_vm_set_ticket", "after_vm_set_ticket"],
    ];
    for pair in points {
        note_who(&bed, pair)?;
    }
    let nic = bed.file("nic.xml", NIC)?;
    let image = bed.file("disk.img", &"\0".repeat(1 << 20))?;
    let disk = bed.file(
        "disk.xml",
        &format!("<disk type='file'><driver name='qemu' type='raw'/><source file='{image}'/><target dev='vdb' bus='virtio'/></disk>"),
    )?;
    let check = |done: Done, pair: &[&str], said: &str| {
        assert!(done.stderr.ends_with(said), "{}", done.stderr);
        assert!(done.stderr.contains(&format!("proceed: {}: 1 hook", pair[0])), "progress: {}", done.stderr);
        assert_eq!(who(&bed), by_agent(pair));
    };
    let done = bed.vm(&["nic-plug", "wired", "--xml", &nic, "-p", "qos=0.5", "--report", "-"])?.expect(0);
    let report: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!((&report["verb"], &report["vm_id"]), (&json!("nic-plug"), &json!(UUID)));
    assert_eq!(report["events"].as_array().map(Vec::len), Some(2));
    check(done, points[0], "nic-plug: interface net0 of VM wired\n");
    assert!(live(&vm)?.contains("name=\"qos\">0.5<"));
    let done = bed.vm(&["nic-update", "wired", "net0", "--link", "down"])?.expect(0);
    check(done, points[1], "nic-update: interface net0 of VM wired\n");
    assert!(live(&vm)?.contains("<link state='down'/>"));
    let done = bed.vm(&["nic-unplug", "wired", "net0", "--timeout", "120s"])?.expect(0);
    check(done, points[2], "nic-unplug: interface net0 of VM wired\n");
    let done = bed.vm(&["disk-plug", "wired", "--xml", &disk])?.expect(0);
    check(done, points[3], "disk-plug: disk virtio-disk1 of VM wired\n");
    let done = bed.vm(&["disk-unplug", "wired", "vdb", "--timeout", "120s"])?.expect(0);
    check(done, points[4], "disk-unplug: disk virtio-disk1 of VM wired\n");
    let done = bed.vm(&["memory-plug", "wired", "--size", "128MiB"])?.expect(0);
    check(done, points[5], " of VM wired\n");
    let done = bed.vm(&["set-cpus", "wired", "2"])?.expect(0);
    check(done, points[6], "set-cpus: 2 CPUs of VM wired\n");
    let now = live(&vm)?;
    assert!(!now.contains("<interface") && !now.contains("vdb") && !now.contains("qos"), "{now}");
    assert!(now.contains("<memory model='dimm'") && now.contains("<vcpu placement='static'>2<"), "{now}");
    let done = set_ticket(&bed, SECOND, &["--report", "-"])?.expect(0);
    assert!(!format!("{done:?}").contains("s3c"), "{done:?}");
    check(done, points[7], "set-ticket: vnc console of VM wired\n");
    assert!(login(&bed.path("vnc.sock"), SECOND)?);

    // Neither a veto nor a refusal is other than without an agent.
    bed.hook("before_nic_hotplug", "95_no", "echo 'no more' >&2; exit 2")?;
    let done = bed.vm(&["nic-plug", "wired", "--xml", &nic])?.expect(1);
    assert_eq!(
        done.error(),
        "plug an interface into VM wired: vetoed at before_nic_hotplug: Hook Error: 95_no: exit code 2: no more"
    );
    let done = bed.vm(&["set-cpus", "wired", "3"])?.expect(4);
    assert!(done.error().starts_with("set the number of CPUs of VM wired: "), "{}", done.error());
    let done = bed.vm(&["nic-update", "wired", "net7", "--link", "up"])?.expect(3);
    assert_eq!(done.only_error(), "VM wired has no interface \"net7\"");
    // By ourselves would be beside the agent's queue.
    let done = bed.vm(&["set-cpus", "wired", "2", "--no-agent"])?.expect(3);
    assert!(done.error().contains("an agent serves"), "{}", done.error());
    bed.vm(&["destroy", UUID])?.expect(0);
    let said = agent.stop()?;
    assert!(!said.contains("s3c"), "the ticket is in no log: {said}");
    for file in files_below(&bed.path("state")) {
        assert!(!String::from_utf8_lossy(&fs::read(&file)?).contains("s3c"), "{}", file.display());
    }
    drop((vm, connection));
    bed.finish()
}

fn questions_and_definitions_go_through_the_agent() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let connection = bed.connect()?;
    let vm = connection.define_xml(&bed.xml("asked", virt_hooks_testhost::GuestOptions::default()))?;
    bed.vm(&["start", "asked"])?.expect(0);
    let questions = [
        (&["host", "caps"][..], &["before_get_caps", "after_get_caps"][..]),
        (&["host", "stats", "--interval", "50ms"], &["before_get_stats", "after_get_stats"]),
        (&["host", "devices"], &["after_hostdev_list_by_caps"]),
        (&["vm", "stats", "asked", "--interval", "50ms"], &["before_get_vm_stats", "after_get_vm_stats"]),
        (&["vm", "stats", "--no-rates"], &["before_get_all_vm_stats", "after_get_all_vm_stats"]),
    ];
    let mut plain = Vec::new();
    for (arguments, _) in questions {
        plain.push(serde_json::from_str::<Value>(&bed.run(arguments)?.expect(0).stdout)?);
    }
    for ((arguments, points), plain) in questions.iter().zip(&plain) {
        note_who(&bed, points)?;
        let last = points.last().unwrap();
        bed.hook(last, "50_mark", "sed -i 's/{/{\"marked\": \"yes\", /' \"$_hook_json\"")?;
        let done = bed.run(arguments)?.expect(0);
        let answer: Value = serde_json::from_str(&done.stdout)?;
        let (marked, was) = match answer.as_array() {
            Some(all) => (&all[0], &plain[0]),
            None => (&answer, plain),
        };
        assert_eq!((&marked["marked"], &was["marked"]), (&json!("yes"), &Value::Null), "{arguments:?}");
        for (key, value) in was.as_object().unwrap().iter().filter(|(_, v)| v.is_array()) {
            assert!(marked[key].is_array() == value.is_array(), "{key} of {arguments:?}");
        }
        assert_eq!(who(&bed), by_agent(points), "{arguments:?}");
    }
    bed.hook("before_get_caps", "50_no", "echo 'the host is being moved' >&2; exit 2")?;
    let done = bed.run(&["host", "caps"])?.expect(1);
    assert_eq!(
        done.error(),
        "report host capabilities: vetoed at before_get_caps: Hook Error: 50_no: exit code 2: the host is being moved"
    );
    assert_eq!(done.stdout, "");
    who(&bed);

    // The stored definition, there and back.
    bed.hook("before_vm_start", "10_title", "sed -i 's|</name>|&<title>x</title>|' \"$_hook_domxml\"")?;
    note_who(&bed, &["before_vm_start"])?;
    let stored = || -> Result<String> {
        Ok(vm.xml(virt_hooks_libvirt::XmlFlags { inactive: true, ..Default::default() })?)
    };
    let before = stored()?;
    let done = bed.vm(&["apply", "asked", "--diff"])?.expect(0);
    assert!(done.stderr.ends_with("applied: the definition of VM asked\n"), "{}", done.stderr);
    assert!(done.stdout.contains("+  <title>x</title>"), "{}", done.stdout);
    assert!(stored()?.contains("<title>x</title>"));
    let done = bed.vm(&["apply", "asked"])?.expect(0);
    assert!(done.stderr.ends_with("unchanged: the definition of VM asked\n"), "{}", done.stderr);
    assert_eq!(who(&bed), by_agent(&["before_vm_start"; 2]));
    let done = bed.vm(&["apply", "asked", "--undo"])?.expect(0);
    assert!(done.stderr.ends_with("undone: the definition of VM asked\n"), "{}", done.stderr);
    assert_eq!(stored()?, before);
    bed.vm(&["destroy", "asked"])?.expect(0);
    agent.stop()?;
    vm.undefine()?;
    drop((vm, connection));
    bed.finish()
}

fn changes_wait_for_their_turn() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.run_guest("queue", &xml(&bed, "queue"))?;
    bed.count(&["before_nic_hotplug", "after_nic_hotplug", "before_set_num_of_cpus", "before_vm_pause"])?;
    bed.hook("before_nic_hotplug", "95_wait", &wait_at("ready", &bed))?;
    let nic = bed.file("nic.xml", NIC)?;
    let mut plugging = bed.begin(&["nic-plug", "queue", "--xml", &nic])?;
    plugging.wait_for(&bed, "ready")?;
    let mut setting = UnixStream::connect(bed.path("payloads/agent.sock"))?;
    let call = json!({"method": "io.virthooks.Agent.SetCpus", "parameters": {"vm": "queue", "count": 2}, "more": true});
    setting.write_all(format!("{call}\0").as_bytes())?;
    let mut told = BufReader::new(setting).split(0);
    let mut next = || -> Result<Value> { Ok(serde_json::from_slice(&told.next().ok_or("no answer")??)?) };
    let waits = next()?["parameters"]["progress"].clone();
    assert_eq!(waits, json!({"kind": "step", "what": "wait for another operation on VM queue"}));
    let asked = bed.vm(&["stats", "queue", "--no-rates"])?.expect(0);
    assert!(asked.stdout.contains("\"queue\""), "questions wait for nobody: {}", asked.stdout);
    assert_eq!(bed.counted(UUID), ["before_nic_hotplug"]);
    bed.file("go", "")?;
    plugging.wait()?.expect(0);
    let set = loop {
        let reply = next()?;
        if reply["continues"] != true {
            break reply;
        }
    };
    assert_eq!((&set["error"], &set["parameters"]["what"]), (&Value::Null, &json!("2 CPUs")), "{set}");
    bed.vm(&["pause", "queue"])?.expect(0);
    // A hook of an after-point may ask for the next operation, so that this one does not wait for it.
    let (after, before): (Vec<_>, Vec<_>) =
        bed.counted(UUID).into_iter().partition(|point| point == "after_nic_hotplug");
    assert_eq!(after.len(), 1);
    assert_eq!(before, ["before_nic_hotplug", "before_set_num_of_cpus", "before_vm_pause"]);
    bed.vm(&["destroy", "queue"])?.expect(0);
    agent.stop()?;
    bed.finish()
}

fn c32_a_late_removal_is_heard_by_the_agent() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let connection = bed.connect()?;
    let devices =
        "<interface type='user'><mac address='52:54:00:00:00:0a'/><model type='virtio'/></interface>";
    let metadata = "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device mac_address='52:54:00:00:00:0a'><v:custom>\
                    <v:property name='qos'>0.5</v:property></v:custom></v:device></v:vm>";
    let options = virt_hooks_testhost::GuestOptions {
        devices: devices.into(),
        metadata: metadata.into(),
        ..Default::default()
    };
    bed.run_guest("late", &bed.xml("late", options))?;
    let vm = connection.lookup(UUID)?;
    // A guest that stands still answers nothing.
    bed.vm(&["pause", "late"])?.expect(0);
    let points = ["before_nic_hotunplug", "after_nic_hotunplug_fail", "after_nic_hotunplug"];
    bed.spy(&points)?;
    bed.hook("after_nic_hotunplug", "95_done", &format!(": >'{}'", bed.path("heard").display()))?;
    let done = bed.vm(&["nic-unplug", "late", "net0", "--timeout", "10ms", "--grace", "0"])?.expect(4);
    assert!(done.error().ends_with("and may do so later"), "{}", done.error());
    let earlier = bed.seen();
    assert_eq!(crate::traces::points(&earlier), points[..2]);
    bed.vm(&["cont", "late"])?.expect(0);
    bed.wait_for("heard");
    let seen = bed.seen();
    assert_eq!(crate::traces::points(&seen), points[2..]);
    let last = &seen[0];
    assert_eq!(["qos", "_hook_reason", "vmId"].map(|name| last.variable(name)), ["0.5", "nic-unplug", UUID]);
    assert_eq!(last.payload, earlier[0].payload);
    until("its properties go with it", || !live(&vm).unwrap().contains("qos"));
    bed.vm(&["destroy", "late"])?.expect(0);
    let said = agent.stop()?;
    assert!(said.contains("VM late: interface net0 is gone after all"), "{said}");
    let recorded = files_below(&bed.path("state"))
        .iter()
        .any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("\"after_nic_hotunplug\"")));
    assert!(recorded, "it is on record");
    drop((vm, connection));
    bed.finish()
}

/// Somebody ends a VM, and in the same breath it is started from another definition.
fn the_hooks_of_an_end_are_done_before_those_of_the_next_start() -> Result {
    const ROUNDS: usize = 6;
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let path = bed.path("told");
    let tell = |when: &str| {
        format!(
            "echo \"{when} $_hook_point $(grep -o 'round[0-9][0-9]*' \"$_hook_domxml\")\" >>'{}'",
            path.display()
        )
    };
    for point in START.iter().chain(&DESTROY) {
        bed.hook(point, "10_begin", &tell("begin"))?;
        // One that has something to do.
        bed.hook(point, "50_work", "sleep 0.2")?;
        bed.hook(point, "90_end", &tell("end"))?;
    }
    let mut expected = Vec::new();
    let mut expect = |point: &str, round: usize| {
        expected.extend(["begin", "end"].map(|when| format!("{when} {point} round{round}")));
    };
    for round in 0..ROUNDS {
        let metadata = format!("<t:round xmlns:t='urn:test'>round{round}</t:round>");
        let options = virt_hooks_testhost::GuestOptions { metadata, ..Default::default() };
        let xml = bed.file("again.xml", &bed.xml("again", options))?;
        bed.vm(&["start", "--xml", &xml])?.expect(0);
        START.iter().for_each(|point| expect(point, round));
        bed.virsh(&["destroy", "again"])?.expect(0);
        expect(DESTROY[1], round);
    }
    let told =
        || fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    until("all is told", || told().len() >= expected.len());
    assert_eq!(told(), expected);
    let said = agent.stop()?;
    assert!(!said.contains("still run"), "{said}");
    bed.finish()
}

fn what_is_no_ticket_is_quoted_nowhere() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let parameters = json!({"vm": "nobody", "ticket": ["s3cret"]});
    let replies = crate::agent::call(
        &bed,
        &json!({"method": "io.virthooks.Agent.SetTicket", "parameters": parameters}),
    )?;
    assert_eq!(replies[0]["error"], "org.varlink.service.InvalidParameter");
    assert!(!replies[0].to_string().contains("s3cret"), "{}", replies[0]);
    let said = agent.stop()?;
    assert!(!said.contains("s3cret"), "{said}");
    bed.finish()
}
