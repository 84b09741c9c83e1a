// SPDX-License-Identifier: Apache-2.0
//! VMs that go from one host to another: two daemons, with agents and without.

use crate::bed::{Agent, Bed, DESTROY, Done, Running, UUID, until};
use crate::libvirt_hook::{custom, reasons, spy_on_all};
use crate::traces::{Seen, points};
use crate::{Result, tests};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use virt_hooks_testhost::GuestOptions;

tests! {
    HookScript a_running_vm_migrates_with_its_points_on_both_sides,
    HookScript c35_a_veto_at_the_source_keeps_the_vm_there,
    HookScript c35_a_veto_of_the_destinations_script_reaches_the_client,
    HookScript a_migration_is_given_up_while_it_goes_on,
    HookScript a_destination_that_cannot_be_reached_is_said_to_be_one,
    HookScript a_stored_definition_goes_along,
    HookScript who_waits_is_told_how_long_it_takes,
    AgentAndScript disks_go_along_where_they_are_not_shared,
    AgentAndScript a_paused_vm_arrives_paused,
    AgentAndScript c34_agents_take_a_vm_from_host_to_host,
    AgentAndScript c35_a_veto_of_the_destinations_agent_reaches_the_client,
    AgentAndScript c24_a_busy_destination_is_asked_again_and_the_source_fires_once,
    AgentAndScript c13_what_hooks_of_the_destination_change_has_no_effect_and_is_said,
    AgentAndScript a_cancelled_migration_is_cleaned_up_at_its_destination,
    AgentAndScript what_a_killed_destination_prepared_is_cleaned_up_by_the_next,
}

/// All points that the source of a migration fires for a VM with a custom device.
const SOURCE: [&str; 8] = [
    "before_device_migrate_source",
    "before_vm_migrate_source",
    "after_vm_migrate_source",
    "after_device_migrate_source",
    "before_device_destroy",
    "before_vm_destroy",
    "after_vm_destroy",
    "after_device_destroy",
];
const BEFORE_ARRIVAL: [&str; 2] = ["before_device_migrate_destination", "before_vm_migrate_destination"];

/// Two hosts, with a VM on the first, and spies on both.
fn hosts() -> Result<(Bed, Bed)> {
    let (a, b) = (Bed::with_daemon()?, Bed::with_hook_script()?);
    a.vm(&["start", "--xml", &custom(&a, "web")?])?.expect(0);
    spy_on_all(&a)?;
    spy_on_all(&b)?;
    Ok((a, b))
}

/// The arguments that send the VM to another host.
fn to(b: &Bed) -> Vec<String> {
    let memory = format!("unix://{}", b.path("m.sock").display());
    ["migrate", "web", "--to", b.uri(), "--migrate-uri", &memory].map(str::to_owned).to_vec()
}

fn migrate(a: &Bed, arguments: &[String]) -> Result<Done> {
    a.vm(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Each spy of the source saw the VM and what it is about.
fn assert_at_source(seen: &[Seen]) {
    assert_eq!(points(seen), SOURCE);
    assert_eq!(reasons(seen), ["migrate"; 8]);
    for s in seen {
        assert_eq!((s.variable("vmId"), s.variable("colour")), (UUID, "bl\u{fc}"), "{}", s.point);
        assert_eq!(s.variable("_hook_role") == "source", s.point.contains("migrate"), "{}", s.point);
        assert_eq!(s.variable("_hook_attempt"), "1");
        assert_about(s);
    }
}

/// The payload is what the point is about: the VM as it runs, or its device, found by alias (C02).
fn assert_about(s: &Seen) {
    if s.point.contains("device") {
        assert_eq!(s.variable("which"), "nic", "{}", s.point);
        assert!(s.payload.starts_with("<interface") && s.payload.contains("ua-b"), "{}", s.payload);
    } else {
        assert!(s.payload.starts_with("<domain type='qemu' id='"), "{}: {}", s.point, s.payload);
    }
}

fn a_running_vm_migrates_with_its_points_on_both_sides() -> Result {
    let (a, b) = hosts()?;
    let done = migrate(&a, &to(&b))?.expect(0);
    assert!(done.stderr.ends_with("migrated: VM web\n"), "{}", done.stderr);
    assert_at_source(&a.seen());
    let seen = b.seen();
    assert_eq!(points(&seen), BEFORE_ARRIVAL);
    assert!(seen.iter().all(|s| s.variable("_hook_role") == "destination"));
    assert_eq!((a.state("web")?, b.state("web")?.as_deref()), (None, Some("running")));
    b.virsh(&["destroy", "web"])?.expect(0);
    b.seen();
    a.finish()?;
    b.finish()
}

/// A hook that says that it is there, and waits until it may go on.
fn wait_for_go(b: &Bed) -> String {
    format!("cd '{}'; : >ready; until [ -e go ]; do sleep 0.01; done", b.root().display())
}

/// The VM runs at its source as before, and nothing is left of it at the destination.
fn assert_stayed(a: &Bed, b: &Bed) -> Result {
    assert_eq!((a.state("web")?.as_deref(), b.state("web")?), (Some("running"), None));
    assert_eq!(points(&a.seen()), SOURCE[..2], "it was told that it is to go, and nothing more");
    // It is a VM as any other again.
    a.vm(&["pause", "web"])?.expect(0);
    assert_eq!(points(&a.seen()), ["before_vm_pause", "after_vm_pause"]);
    a.vm(&["destroy", "web"])?.expect(0);
    assert_eq!(points(&a.seen()), SOURCE[4..]);
    Ok(())
}

fn c35_a_veto_at_the_source_keeps_the_vm_there() -> Result {
    let (a, b) = hosts()?;
    a.hook("before_vm_migrate_source", "95_no", "echo 'pinned here' >&2; exit 1")?;
    let done = migrate(&a, &[to(&b), vec!["--report".into(), a.file("report", "")?]].concat())?.expect(1);
    let error =
        "migrate VM web: vetoed at before_vm_migrate_source: Hook Error: 95_no: exit code 1: pinned here";
    assert_eq!(done.error(), error);
    let report = fs::read_to_string(a.path("report"))?;
    assert!(report.contains("\"vetoed\"") && report.contains("pinned here"), "{report}");
    assert!(b.seen().is_empty());
    assert_stayed(&a, &b)?;
    a.finish()?;
    b.finish()
}

fn c35_a_veto_of_the_destinations_script_reaches_the_client() -> Result {
    let (a, b) = hosts()?;
    b.hook("before_vm_migrate_destination", "95_no", "echo 'no room' >&2; exit 1")?;
    let done = migrate(&a, &to(&b))?.expect(4);
    let words = "vetoed at before_vm_migrate_destination: Hook Error: 95_no: exit code 1: no room";
    assert!(done.error().contains(words), "{}", done.error());
    let seen = b.seen();
    assert_eq!((points(&seen), seen[1].variable("_hook_attempt")), (BEFORE_ARRIVAL.to_vec(), "1"));
    assert_eq!((a.state("web")?.as_deref(), b.state("web")?), (Some("running"), None));
    assert_eq!(points(&a.seen()), SOURCE[..2]);
    // It may come another time.
    b.hook("before_vm_migrate_destination", "95_no", "exit 0")?;
    migrate(&a, &to(&b))?.expect(0);
    assert_eq!(b.seen()[1].variable("_hook_attempt"), "2");
    b.virsh(&["destroy", "web"])?.expect(0);
    a.seen();
    b.seen();
    a.finish()?;
    b.finish()
}

fn a_migration_is_given_up_while_it_goes_on() -> Result {
    for limit in [None, Some("1s")] {
        let (a, b) = hosts()?;
        // libvirt waits for its hook script in the middle of the migration.
        b.hook("before_vm_migrate_destination", "95_wait", &wait_for_go(&b))?;
        let mut arguments = to(&b);
        arguments.extend(limit.into_iter().flat_map(|limit| ["--abort-after".to_owned(), limit.to_owned()]));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let going = a.begin_saying(&arguments, "said")?;
        b.wait_for("ready");
        if limit.is_none() {
            going.signal(Signal::INT)?;
        }
        a.wait_for_words("said", "libvirt was told to give the migration up");
        b.file("go", "")?;
        going.wait()?.expect(3);
        let said = fs::read_to_string(a.path("said"))?;
        let error = match limit {
            None => "migrate VM web: interrupted: the VM still runs here\n",
            Some(_) => {
                "migrate VM web: it was not done within 1s, and was given up: the VM still runs here\n"
            }
        };
        assert!(said.ends_with(error), "{said}");
        assert_stayed(&a, &b)?;
        assert_eq!(points(&b.seen())[..2], BEFORE_ARRIVAL);
        a.finish()?;
        b.finish()?;
    }
    Ok(())
}

/// For people on standard error; what programs read has nothing of it.
fn who_waits_is_told_how_long_it_takes() -> Result {
    let (a, b) = hosts()?;
    b.hook("before_vm_migrate_destination", "95_wait", &wait_for_go(&b))?;
    let report = a.path("report");
    let mut arguments = to(&b);
    arguments.extend(["--report".to_owned(), "-".to_owned()]);
    let all = [&["vm".to_owned()], &arguments[..]].concat();
    let mut command = a.command_of(
        std::path::Path::new(env!("CARGO_BIN_EXE_virt-hooks-vm")),
        &all.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let going = Running::saying(&mut command, &report, &a.path("said"))?;
    // It says so after two seconds; on a busy machine after more.
    a.wait_for_words("said", &format!("migrate VM web to {} ... ", b.uri()));
    a.wait_for_words("said", " s ... ");
    b.file("go", "")?;
    going.wait()?.expect(0);
    let said = fs::read_to_string(a.path("said"))?;
    assert!(said.ends_with("migrated: VM web\n"), "{said}");
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(report)?)?;
    assert_eq!((&report["verb"], &report["result"]), (&json!("migrate"), &json!("done")));
    b.virsh(&["destroy", "web"])?.expect(0);
    a.seen();
    b.seen();
    a.finish()?;
    b.finish()
}

fn a_stored_definition_goes_along() -> Result {
    let (a, b) = (Bed::with_daemon()?, Bed::with_hook_script()?);
    a.virsh(&["define", &a.plain("web")?])?.expect(0);
    a.vm(&["start", "web"])?.expect(0);
    migrate(&a, &to(&b))?.expect(0);
    assert_eq!((a.state("web")?, b.state("web")?.as_deref()), (None, Some("running")));
    b.virsh(&["destroy", "web"])?.expect(0);
    assert_eq!(b.state("web")?.as_deref(), Some("shut off"), "it is defined there now");
    b.virsh(&["undefine", "web"])?.expect(0);
    a.finish()?;
    b.finish()
}

/// Two hosts with agents, and a VM on the first.
fn hosts_with_agents() -> Result<((Bed, Agent), (Bed, Agent))> {
    let (a, b) = (Bed::with_daemon()?, Bed::with_hook_script()?);
    let agents = (a.start_agent()?, b.start_agent()?);
    a.vm(&["start", "--xml", &custom(&a, "web")?])?.expect(0);
    spy_on_all(&a)?;
    spy_on_all(&b)?;
    Ok(((a, agents.0), (b, agents.1)))
}

/// The arguments that send the VM to a host with an agent.
fn to_agent(b: &Bed) -> Vec<String> {
    [to(b), vec!["--to-agent".into(), b.path("payloads/agent.sock").display().to_string()]].concat()
}

fn finish((a, one): (Bed, Agent), (b, two): (Bed, Agent)) -> Result {
    one.stop()?;
    two.stop()?;
    for bed in [&a, &b] {
        let records = crate::traces::entries(&bed.path("state/vms"));
        assert!(records.is_empty(), "{records:?}");
    }
    a.finish()?;
    b.finish()
}

const FAILED_ARRIVAL: [&str; 6] = [
    "before_device_migrate_destination",
    "before_vm_migrate_destination",
    "before_device_destroy",
    "before_vm_destroy",
    "after_vm_destroy",
    "after_device_destroy",
];

/// The destination was told that the VM comes, and then that it does not.
fn assert_cleaned_up(seen: &[Seen]) {
    assert_eq!(points(seen), FAILED_ARRIVAL);
    let reasons = reasons(seen);
    assert_eq!(reasons[..2], ["migrate"; 2]);
    assert_eq!(reasons[2..], ["migrate-failed"; 4]);
    seen.iter().for_each(assert_about);
}

fn c34_agents_take_a_vm_from_host_to_host() -> Result {
    let (one, two) = hosts_with_agents()?;
    let (a, b) = (&one.0, &two.0);
    let done = migrate(a, &to_agent(b))?.expect(0);
    assert!(done.stderr.ends_with("migrated: VM web\n"), "{}", done.stderr);
    // With the destroy points, as VDSM's client has them fired, and the reason beside.
    assert_at_source(&a.seen());
    let seen = b.seen();
    let all = [&BEFORE_ARRIVAL[..], &["after_vm_migrate_destination", "after_device_migrate_destination"]];
    assert_eq!(points(&seen), all.concat(), "once each, whoever libvirt calls too");
    for s in &seen {
        let of = |name| s.variable(name);
        assert_eq!(
            (of("_hook_role"), of("_hook_reason"), of("_hook_attempt")),
            ("destination", "migrate", "1")
        );
        assert_eq!((of("vmId"), of("colour")), (UUID, "bl\u{fc}"));
        assert_about(s);
    }
    assert_eq!((a.state("web")?, b.state("web")?.as_deref()), (None, Some("running")));
    let shown = b.vm(&["show", "web"])?.expect(0).stdout;
    assert!(shown.lines().any(|l| l.split_whitespace().eq(["phase", "up"])), "{shown}");
    b.vm(&["destroy", "web"])?.expect(0);
    assert_eq!(points(&b.seen()), SOURCE[4..]);
    finish(one, two)
}

fn c35_a_veto_of_the_destinations_agent_reaches_the_client() -> Result {
    let (one, two) = hosts_with_agents()?;
    let (a, b) = (&one.0, &two.0);
    b.hook("before_vm_migrate_destination", "95_no", "echo 'no room' >&2; exit 1")?;
    let done = migrate(a, &to_agent(b))?.expect(1);
    assert_eq!(
        done.error(),
        "migrate VM web: Destination hook failed: take over VM web: vetoed at before_vm_migrate_destination: \
         Hook Error: 95_no: exit code 1: no room"
    );
    assert_cleaned_up(&b.seen());
    assert_stayed(a, b)?;
    finish(one, two)
}

/// Says to an agent that a VM comes, as its source would, and waits until it is ready for it.
fn announce(b: &Bed, name: &str, uuid: &str) -> Result<UnixStream> {
    let options = GuestOptions { uuid: Some(uuid.to_owned()), ..Default::default() };
    let parameters = json!({"xml": b.xml(name, options)});
    let call = json!({"method": "io.virthooks.Agent.Receive", "parameters": parameters, "more": true});
    let mut stream = UnixStream::connect(b.path("payloads/agent.sock"))?;
    stream.write_all(format!("{call}\0").as_bytes())?;
    let mut replies = BufReader::new(stream.try_clone()?);
    loop {
        let mut part = Vec::new();
        replies.read_until(0, &mut part)?;
        let part = String::from_utf8(part)?;
        assert!(part.contains("\"continues\":true"), "{part}");
        if part.contains("\"ready\"") {
            return Ok(stream);
        }
    }
}

const OTHER: &str = "7f0c2a3e-1111-4222-8333-444455556666";

fn c24_a_busy_destination_is_asked_again_and_the_source_fires_once() -> Result {
    let (a, b) = (Bed::with_daemon()?, Bed::with_hook_script()?);
    fs::write(b.path("config.toml"), "[agent]\nincoming = 1\n")?;
    let agents = (a.start_agent()?, b.start_agent()?);
    a.vm(&["start", "--xml", &custom(&a, "web")?])?.expect(0);
    spy_on_all(&a)?;
    let other = announce(&b, "other", OTHER)?;
    spy_on_all(&b)?;
    let done = migrate(&a, &[to_agent(&b), vec!["--retries".into(), "0".into()]].concat())?.expect(3);
    assert!(
        done.error().contains("the destination is busy (1 VMs are on their way to this host already"),
        "{}",
        done.error()
    );
    assert!(b.seen().is_empty(), "nothing was begun there");
    assert_eq!(points(&a.seen()), SOURCE[..2]);

    let arguments =
        [to_agent(&b), ["--retries", "1000", "--retry-wait", "100ms"].map(String::from).to_vec()].concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let going = a.begin_saying(&arguments, "said")?;
    a.wait_for_words("said", "the destination is busy");
    other.shutdown(Shutdown::Both)?;
    going.wait()?.expect(0);
    assert_at_source(&a.seen());
    let (web, others): (Vec<Seen>, Vec<Seen>) =
        b.seen().into_iter().partition(|s| s.variable("vmId") == UUID);
    assert_eq!(points(&others), DESTROY, "the other one did not come");
    assert_eq!(points(&web)[..2], BEFORE_ARRIVAL);
    for s in &web[..2] {
        let attempt: u32 = s.variable("_hook_attempt").parse()?;
        assert!(attempt > 1, "{attempt}");
    }
    b.vm(&["destroy", "web"])?.expect(0);
    b.seen();
    finish((a, agents.0), (b, agents.1))
}

fn c13_what_hooks_of_the_destination_change_has_no_effect_and_is_said() -> Result {
    let (one, two) = hosts_with_agents()?;
    let (a, b) = (&one.0, &two.0);
    b.hook(
        "before_vm_migrate_destination",
        "10_title",
        "sed -i 's|<name>|<title>theirs</title><name>|' \"$_hook_domxml\"",
    )?;
    let done = migrate(a, &to_agent(b))?.expect(0);
    let words = "destination: VM web: what hooks changed at before_vm_migrate_destination has no effect";
    assert!(done.stderr.contains(words), "{}", done.stderr);
    assert!(!b.virsh(&["desc", "--title", "web"])?.expect(0).stdout.contains("theirs"));
    b.vm(&["destroy", "web"])?.expect(0);
    a.seen();
    b.seen();
    finish(one, two)
}

fn a_cancelled_migration_is_cleaned_up_at_its_destination() -> Result {
    let (one, two) = hosts_with_agents()?;
    let (a, b) = (&one.0, &two.0);
    b.hook("before_vm_migrate_destination", "95_wait", &wait_for_go(b))?;
    let arguments = to_agent(b);
    let going = a.begin(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    b.wait_for("ready");
    going.signal(Signal::INT)?;
    let done = going.wait()?.expect(3);
    assert_eq!(done.error(), "migrate VM web: interrupted: the VM still runs here");
    assert_cleaned_up(&b.seen());
    assert_stayed(a, b)?;
    finish(one, two)
}

fn what_a_killed_destination_prepared_is_cleaned_up_by_the_next() -> Result {
    let b = Bed::with_hook_script()?;
    let agent = b.start_agent()?;
    spy_on_all(&b)?;
    let _source = announce(&b, "other", OTHER)?;
    agent.kill()?;
    b.tidy_payloads()?;
    assert_eq!(points(&b.seen()), ["before_vm_migrate_destination"]);
    let agent = b.start_agent()?;
    until("it is cleaned up after", || crate::traces::entries(&b.path("state/vms")).is_empty());
    agent.stop()?;
    let seen = b.seen();
    assert_eq!((points(&seen), reasons(&seen)), (DESTROY.to_vec(), vec!["migrate-failed"; 2]));
    b.finish()
}

fn a_destination_that_cannot_be_reached_is_said_to_be_one() -> Result {
    let (a, b) = hosts()?;
    let nowhere = format!("qemu+unix:///system?socket={}", b.path("nobody.sock").display());
    let done = a.vm(&["migrate", "web", "--to", &nowhere])?.expect(4);
    assert!(done.error().contains("cannot reach that of the destination"), "{}", done.error());
    assert_stayed(&a, &b)?;
    a.vm(&["start", "--xml", &custom(&a, "web")?])?.expect(0);
    a.seen();
    let agent = b.path("nobody.sock");
    let arguments = [to(&b), vec!["--to-agent".into(), agent.display().to_string()]].concat();
    let done = migrate(&a, &arguments)?.expect(3);
    let error = format!("migrate VM web: destination: the agent at {}: ", agent.display());
    assert!(done.error().starts_with(&error), "{}", done.error());
    assert!(b.seen().is_empty());
    assert_stayed(&a, &b)?;
    a.finish()?;
    b.finish()
}

fn disks_go_along_where_they_are_not_shared() -> Result {
    let (a, b) = (Bed::with_daemon()?, Bed::with_hook_script()?);
    let agents = (a.start_agent()?, b.start_agent()?);
    // The same place for both daemons, and another directory for each.
    for (bed, byte) in [(&a, b'a'), (&b, 0)] {
        fs::create_dir_all(bed.path("daemon/lib/images"))?;
        fs::write(bed.path("daemon/lib/images/d.raw"), vec![byte; 1 << 20])?;
    }
    let devices = "<disk type='file' device='disk'><driver name='qemu' type='raw'/>\
        <source file='/var/lib/libvirt/images/d.raw'/><target dev='vda' bus='virtio'/></disk>";
    let xml = a.xml("web", GuestOptions { devices: devices.into(), ..Default::default() });
    a.vm(&["start", "--xml", &a.file("web.xml", &xml)?])?.expect(0);
    b.spy(&["after_disk_prepare", "before_vm_migrate_destination", "after_vm_migrate_destination"])?;
    let disks = format!("unix://{}", b.path("d.sock").display());
    let more = ["--copy-storage", "--disks-uri", &disks].map(str::to_owned).to_vec();
    migrate(&a, &[to_agent(&b), more].concat())?.expect(0);
    let seen = b.seen();
    assert_eq!(
        points(&seen),
        ["after_disk_prepare", "before_vm_migrate_destination", "after_vm_migrate_destination"]
    );
    assert!(seen[0].payload.contains("/var/lib/libvirt/images/d.raw"), "{}", seen[0].payload);
    assert_eq!(seen[0].variable("_hook_flow"), "migration");
    b.vm(&["destroy", "web"])?.expect(0);
    assert_eq!(fs::read(b.path("daemon/lib/images/d.raw"))?, vec![b'a'; 1 << 20]);
    finish((a, agents.0), (b, agents.1))
}

fn a_paused_vm_arrives_paused() -> Result {
    let (one, two) = hosts_with_agents()?;
    let (a, b) = (&one.0, &two.0);
    a.vm(&["pause", "web"])?.expect(0);
    a.seen();
    migrate(a, &to_agent(b))?.expect(0);
    assert_at_source(&a.seen());
    assert_eq!(
        points(&b.seen())[2..],
        ["after_vm_migrate_destination", "after_device_migrate_destination"],
        "and no pause is told of"
    );
    assert_eq!((a.state("web")?, b.state("web")?.as_deref()), (None, Some("paused")));
    b.vm(&["cont", "web"])?.expect(0);
    assert_eq!(points(&b.seen()), ["before_vm_cont", "after_vm_cont"]);
    b.vm(&["destroy", "web"])?.expect(0);
    b.seen();
    finish(one, two)
}
