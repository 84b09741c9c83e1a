// SPDX-License-Identifier: Apache-2.0
//! The agent and libvirt are killed at moments of all kinds: no VM is lost, no hook that completed runs again,
//! and nothing stale is left.

use crate::bed::{Bed, DESTROY, UUID, until};
use crate::pausing::with_nic;
use crate::{Result, tests};
use rustix::process::{Pid, Signal, kill_process};
use virt_hooks_testhost::GuestOptions;

tests! {
    Agent an_agent_killed_before_the_vm_runs_cleans_up_when_it_is_back,
    Agent an_agent_killed_among_after_hooks_runs_the_others_when_it_is_back,
    Agent an_agent_killed_in_a_pause_tells_of_it_when_it_is_back,
    Agent an_agent_killed_in_a_destroy_ends_it_once,
    Agent an_agent_killed_after_a_save_repeats_nothing,
    Agent a_command_killed_after_a_save_repeats_nothing,
    AgentAndScript an_agent_killed_after_a_migration_repeats_nothing,
    Daemon what_ends_a_vm_beside_an_operation_is_told_at_its_end,
    Agent what_happened_without_the_agent_is_told_once,
    Agent a_command_that_was_killed_is_cleaned_up_after_by_the_next,
    Agent vms_that_were_there_before_the_agent_are_adopted,
    Agent an_agent_that_comes_while_a_command_works_does_not_tell_beside_it,
    Agent a_vm_that_was_started_while_the_connection_was_lost_is_told,
    Agent an_operation_may_be_the_first_thing_that_an_agent_hears,
    Agent a_killed_libvirt_loses_no_vm,
    Agent a_libvirt_killed_under_an_operation_is_found_out_about,
    Agent a_vm_that_vanished_without_libvirt_is_told_once,
    Agent an_agent_waits_for_a_libvirt_that_is_not_there,
}

const POINTS: [&str; 10] = [
    "before_device_create",
    "before_vm_start",
    "after_vm_start",
    "after_device_create",
    "before_vm_pause",
    "after_vm_pause",
    "before_device_destroy",
    "before_vm_destroy",
    "after_vm_destroy",
    "after_device_destroy",
];

/// A hook that says it is there, and ends once told to; it must not outlive the test.
fn wait(bed: &Bed) -> String {
    format!(
        "cd '{}'; : >ready; n=0; until [ -e go ] || [ $n -gt 6000 ]; do sleep 0.02; n=$((n+1)); done",
        bed.root().display()
    )
}

fn records(bed: &Bed) -> usize {
    std::fs::read_dir(bed.path("state/vms")).map_or(0, Iterator::count)
}

fn an_agent_killed_before_the_vm_runs_cleans_up_when_it_is_back() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    bed.hook("before_vm_start", "95_wait", &wait(&bed))?;
    let agent = bed.start_agent()?;
    let xml = bed.file("early.xml", &bed.xml("early", with_nic()))?;
    let mut starting = bed.begin(&["start", "--xml", &xml])?;
    starting.wait_for(&bed, "ready")?;
    agent.kill()?;
    let done = starting.wait()?.expect(3);
    assert!(done.error().contains("went away"), "{}", done.error());
    bed.file("go", "")?;
    let agent = bed.start_agent()?;
    let seen = bed.wait_for_count(UUID, 6);
    assert_eq!(
        seen,
        [
            "before_device_create",
            "before_vm_start",
            "before_device_destroy",
            "before_vm_destroy",
            "after_vm_destroy",
            "after_device_destroy"
        ]
    );
    assert_eq!(bed.state("early")?, None);
    until("the record goes", || records(&bed) == 0);
    until("the launch flags go", || !bed.path("flags").join(UUID).exists());
    agent.stop()?;
    assert_eq!(bed.counted(UUID).len(), 6);
    bed.tidy_payloads()?;
    bed.finish()
}

fn an_agent_killed_among_after_hooks_runs_the_others_when_it_is_back() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let note = format!("echo \"first $vmId\" >>'{}'", bed.path("counted").display());
    bed.hook("after_vm_start", "10_first", &note)?;
    bed.hook("after_vm_start", "50_wait", &wait(&bed))?;
    let agent = bed.start_agent()?;
    let xml = bed.file("late.xml", &bed.xml("late", with_nic()))?;
    let mut starting = bed.begin(&["start", "--xml", &xml])?;
    starting.wait_for(&bed, "ready")?;
    agent.kill()?;
    starting.wait()?.expect(3);
    bed.file("go", "")?;
    let agent = bed.start_agent()?;
    let seen = bed.wait_for_count(UUID, 5);
    assert_eq!(
        seen,
        ["before_device_create", "before_vm_start", "first", "after_vm_start", "after_device_create"],
        "the first is not run again"
    );
    assert_eq!(bed.state("late")?.as_deref(), Some("running"));
    bed.vm(&["destroy", "late"])?.expect(0);
    agent.stop()?;
    assert_eq!(bed.counted(UUID)[5..], POINTS[6..]);
    assert_eq!(records(&bed), 0);
    bed.tidy_payloads()?;
    bed.finish()
}

fn an_agent_killed_in_a_pause_tells_of_it_when_it_is_back() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("half")?])?.expect(0);
    bed.count(&POINTS)?;
    bed.hook("after_vm_pause", "10_wait", &wait(&bed))?;
    let mut pausing = bed.begin(&["pause", "half"])?;
    pausing.wait_for(&bed, "ready")?;
    agent.kill()?;
    pausing.wait()?.expect(3);
    bed.file("go", "")?;
    let agent = bed.start_agent()?;
    assert_eq!(bed.wait_for_count(UUID, 2), ["before_vm_pause", "after_vm_pause"]);
    agent.stop()?;
    // And a third one has nothing to tell.
    let agent = bed.start_agent()?;
    bed.vm(&["destroy", "half"])?.expect(0);
    agent.stop()?;
    assert_eq!(bed.counted(UUID), ["before_vm_pause", "after_vm_pause", DESTROY[0], DESTROY[1]]);
    bed.tidy_payloads()?;
    bed.finish()
}

fn an_agent_killed_in_a_destroy_ends_it_once() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    let xml = bed.file("going.xml", &bed.xml("going", with_nic()))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.count(&POINTS)?;
    bed.hook("after_device_destroy", "10_wait", &wait(&bed))?;
    let mut destroying = bed.begin(&["destroy", "going"])?;
    destroying.wait_for(&bed, "ready")?;
    agent.kill()?;
    destroying.wait()?.expect(3);
    bed.file("go", "")?;
    let agent = bed.start_agent()?;
    assert_eq!(bed.wait_for_count(UUID, 4), POINTS[6..]);
    until("the record goes", || records(&bed) == 0);
    agent.stop()?;
    assert_eq!(bed.counted(UUID).len(), 4);
    bed.tidy_payloads()?;
    bed.finish()
}

const SAVED: [&str; 3] = ["after_vm_hibernate", "before_vm_destroy", "after_vm_destroy"];

/// Each kill comes when the point's first hook ran and its second one runs.
fn an_agent_killed_after_a_save_repeats_nothing() -> Result {
    for point in SAVED {
        for by_others in [false, true] {
            let bed = Bed::with_daemon()?;
            let agent = bed.start_agent()?;
            bed.vm(&["start", "--xml", &bed.plain("kept")?])?.expect(0);
            bed.count(&SAVED)?;
            bed.hook(point, "95_wait", &wait(&bed))?;
            let file = bed.path("kept.save");
            let saving = if by_others {
                bed.connect()?.lookup("kept")?.save(&file, virt_hooks_libvirt::SaveFlags::NONE)?;
                bed.wait_for("ready");
                None
            } else {
                let mut saving = bed.begin(&["hibernate", "kept", file.to_str().unwrap()])?;
                saving.wait_for(&bed, "ready")?;
                Some(saving)
            };
            agent.kill()?;
            if let Some(saving) = saving {
                saving.wait()?.expect(3);
            }
            bed.file("go", "")?;
            let agent = bed.start_agent()?;
            until("the record goes", || records(&bed) == 0);
            agent.stop()?;
            assert_eq!(bed.counted(UUID), SAVED, "killed at {point}, by others: {by_others}");
            bed.tidy_payloads()?;
            bed.finish()?;
        }
    }
    Ok(())
}

fn a_command_killed_after_a_save_repeats_nothing() -> Result {
    for point in SAVED {
        let bed = Bed::with_daemon()?;
        let xml = bed.plain("kept")?;
        bed.vm(&["start", "--xml", &xml])?.expect(0);
        bed.count(&SAVED)?;
        bed.hook(point, "95_wait", &wait(&bed))?;
        let mut saving = bed.begin(&["hibernate", "kept", bed.path("kept.save").to_str().unwrap()])?;
        saving.wait_for(&bed, "ready")?;
        saving.signal(Signal::KILL)?;
        assert_eq!(saving.ended_by()?, Some(Signal::KILL.as_raw()));
        bed.file("go", "")?;
        bed.vm(&["start", "--xml", &xml])?.expect(0);
        assert_eq!(bed.counted(UUID), SAVED, "killed at {point}");
        bed.vm(&["destroy", "kept"])?.expect(0);
        assert_eq!(records(&bed), 0);
        bed.tidy_payloads()?;
        bed.finish()?;
    }
    Ok(())
}

fn an_agent_killed_after_a_migration_repeats_nothing() -> Result {
    const MOVED: [&str; 3] = ["after_vm_migrate_source", "before_vm_destroy", "after_vm_destroy"];
    for (point, by_others) in [(MOVED[1], true), (MOVED[0], true), (MOVED[1], false)] {
        let (a, b) = (Bed::with_daemon()?, Bed::with_daemon()?);
        let agent = a.start_agent()?;
        a.vm(&["start", "--xml", &a.plain("moved")?])?.expect(0);
        a.count(&MOVED)?;
        a.hook(point, "95_wait", &wait(&a))?;
        let memory = format!("unix://{}", b.path("m.sock").display());
        let moving = if by_others {
            let way = ["migrate", "--live", "--p2p", "moved", b.uri(), "--migrateuri", &memory];
            a.virsh(&way)?.expect(0);
            a.wait_for("ready");
            None
        } else {
            let mut moving = a.begin(&["migrate", "moved", "--to", b.uri(), "--migrate-uri", &memory])?;
            moving.wait_for(&a, "ready")?;
            Some(moving)
        };
        agent.kill()?;
        if let Some(moving) = moving {
            moving.wait()?.expect(3);
        }
        a.file("go", "")?;
        let agent = a.start_agent()?;
        until("the record goes", || records(&a) == 0);
        agent.stop()?;
        assert_eq!(a.counted(UUID), MOVED, "killed at {point}, by others: {by_others}");
        b.virsh(&["destroy", "moved"])?.expect(0);
        a.tidy_payloads()?;
        a.finish()?;
        b.finish()?;
    }
    Ok(())
}

fn what_ends_a_vm_beside_an_operation_is_told_at_its_end() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.count(&POINTS)?;
    let xml = bed.file("ended.xml", &bed.xml("ended", with_nic()))?;
    let file = bed.path("ended.save");
    let end = ["after_vm_destroy", "after_device_destroy"];
    for (arguments, point, told) in [
        (&["pause", "ended"][..], "before_vm_pause", &["before_vm_pause"][..]),
        (
            &["hibernate", "ended", file.to_str().unwrap()],
            "before_vm_hibernate",
            &["before_vm_pause", "after_vm_pause"],
        ),
    ] {
        bed.vm(&["start", "--xml", &xml])?.expect(0);
        let before = bed.counted(UUID).len();
        bed.hook(point, "95_wait", &wait(&bed))?;
        let mut working = bed.begin(arguments)?;
        working.wait_for(&bed, "ready")?;
        connection.lookup(UUID)?.destroy()?;
        bed.file("go", "")?;
        let done = working.wait()?;
        assert!(!done.succeeded(), "{done:?}");
        assert_eq!(bed.counted(UUID)[before..], [told, &end].concat(), "{done:?}");
        for name in ["ready", "go"] {
            std::fs::remove_file(bed.path(name))?;
        }
        std::fs::remove_file(bed.path("hooks").join(point).join("95_wait"))?;
    }
    drop(connection);
    bed.finish()
}

fn what_happened_without_the_agent_is_told_once() -> Result {
    const OTHER: &str = "7f0c2a3e-1111-4222-8333-444455556666";
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("gone")?])?.expect(0);
    let options = GuestOptions { uuid: Some(OTHER.into()), ..Default::default() };
    let xml = bed.file("other.xml", &bed.xml("other", options))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.count(&POINTS)?;
    bed.count(&["after_vm_cont"])?;
    agent.kill()?;
    let connection = bed.connect()?;
    connection.lookup("gone")?.destroy()?;
    let other = connection.lookup("other")?;
    other.suspend()?;
    let agent = bed.start_agent()?;
    assert_eq!(bed.wait_for_count(UUID, 1), ["after_vm_destroy"]);
    assert_eq!(bed.wait_for_count(OTHER, 1), ["after_vm_pause"]);
    agent.stop()?;
    other.resume()?;
    let agent = bed.start_agent()?;
    assert_eq!(bed.wait_for_count(OTHER, 2), ["after_vm_pause", "after_vm_cont"]);
    other.destroy()?;
    bed.wait_for_count(OTHER, 3);
    agent.stop()?;
    assert_eq!((bed.counted(UUID).len(), bed.counted(OTHER).len(), records(&bed)), (1, 3, 0));
    drop((other, connection));
    bed.finish()
}

fn a_command_that_was_killed_is_cleaned_up_after_by_the_next() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    bed.hook("before_vm_start", "95_wait", &wait(&bed))?;
    let xml = bed.plain("cut")?;
    let mut starting = bed.begin(&["start", "--xml", &xml])?;
    starting.wait_for(&bed, "ready")?;
    starting.signal(Signal::KILL)?;
    assert_eq!(starting.ended_by()?, Some(Signal::KILL.as_raw()));
    bed.file("go", "")?;
    assert_eq!(records(&bed), 1);
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.vm(&["destroy", "cut"])?.expect(0);
    let seen = bed.counted(UUID);
    assert_eq!(
        seen,
        [
            "before_vm_start",
            "before_vm_destroy",
            "after_vm_destroy",
            "before_vm_start",
            "after_vm_start",
            "before_vm_destroy",
            "after_vm_destroy"
        ]
    );
    assert_eq!(records(&bed), 0);
    bed.tidy_payloads()?;
    bed.finish()
}

fn vms_that_were_there_before_the_agent_are_adopted() -> Result {
    let bed = Bed::with_daemon()?;
    bed.vm(&["start", "--xml", &bed.plain("before")?])?.expect(0);
    bed.count(&POINTS)?;
    let agent = bed.start_agent()?;
    assert_eq!(records(&bed), 1);
    bed.connect()?.lookup("before")?.destroy()?;
    assert_eq!(bed.wait_for_count(UUID, 1), ["after_vm_destroy"], "and no start was told");
    agent.stop()?;
    assert_eq!(records(&bed), 0);
    bed.finish()
}

fn an_agent_that_comes_while_a_command_works_does_not_tell_beside_it() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    bed.hook("after_vm_start", "10_wait", &wait(&bed))?;
    let mut starting = bed.begin(&["start", "--no-agent", "--xml", &bed.plain("own")?])?;
    starting.wait_for(&bed, "ready")?;
    let agent = bed.start_agent()?;
    assert_eq!(bed.counted(UUID), POINTS[1..2]);
    bed.file("go", "")?;
    starting.wait()?.expect(0);
    until("the agent takes it over", || records(&bed) == 1);
    assert_eq!(bed.counted(UUID), POINTS[1..3]);
    bed.connect()?.lookup("own")?.destroy()?;
    assert_eq!(bed.wait_for_count(UUID, 3), [POINTS[1], POINTS[2], "after_vm_destroy"]);
    agent.stop()?;
    assert_eq!((bed.counted(UUID).len(), records(&bed)), (3, 0));
    bed.finish()
}

fn a_vm_that_was_started_while_the_connection_was_lost_is_told() -> Result {
    let mut bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let agent = bed.start_agent()?;
    let pid = Pid::from_raw(i32::try_from(agent.pid())?).unwrap();
    // It hears of the loss only when the VM runs.
    kill_process(pid, Signal::STOP)?;
    bed.kill_daemon()?;
    bed.start_daemon()?;
    let connection = bed.connect()?;
    let vm = connection
        .create_xml(&bed.xml("missed", GuestOptions::default()), virt_hooks_libvirt::CreateFlags::NONE)?;
    kill_process(pid, Signal::CONT)?;
    assert_eq!(bed.wait_for_count(UUID, 1), ["after_vm_start"]);
    vm.destroy()?;
    assert_eq!(bed.wait_for_count(UUID, 2), ["after_vm_start", "after_vm_destroy"]);
    agent.stop()?;
    assert_eq!((bed.counted(UUID).len(), records(&bed)), (2, 0));
    drop((vm, connection));
    bed.finish()
}

fn an_operation_may_be_the_first_thing_that_an_agent_hears() -> Result {
    let bed = Bed::with_daemon()?;
    bed.count(&POINTS)?;
    let xml = bed.plain("first")?;
    let agent = bed.begin_agent()?;
    until("it listens", || bed.has_agent());
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.vm(&["destroy", "first"])?.expect(0);
    agent.stop()?;
    assert_eq!(bed.counted(UUID), [POINTS[1], POINTS[2], DESTROY[0], DESTROY[1]]);
    bed.finish()
}

fn a_killed_libvirt_loses_no_vm() -> Result {
    let mut bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("stays")?])?.expect(0);
    bed.count(&POINTS)?;
    bed.kill_daemon()?;
    until("the agent says so", || bed.vm(&["list"]).is_ok_and(|done| done.stderr.contains("libvirt")));
    let done = bed.vm(&["pause", "stays"])?.expect(3);
    assert!(done.error().contains("libvirt"), "{}", done.error());
    bed.start_daemon()?;
    bed.wait_for_state("stays", "running");
    bed.vm(&["pause", "stays"])?.expect(0);
    bed.vm(&["destroy", "stays"])?.expect(0);
    agent.stop()?;
    assert_eq!(bed.counted(UUID), ["before_vm_pause", "after_vm_pause", DESTROY[0], DESTROY[1]]);
    bed.finish()
}

fn a_libvirt_killed_under_an_operation_is_found_out_about() -> Result {
    let mut bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("under")?])?.expect(0);
    bed.count(&POINTS)?;
    bed.hook("before_vm_pause", "95_wait", &wait(&bed))?;
    let mut pausing = bed.begin(&["pause", "under"])?;
    pausing.wait_for(&bed, "ready")?;
    bed.kill_daemon()?;
    bed.file("go", "")?;
    let done = pausing.wait()?.expect(3);
    assert!(
        done.error().contains("pause VM under") || done.error().contains("read the state"),
        "{}",
        done.error()
    );
    bed.start_daemon()?;
    bed.wait_for_state("under", "running");
    // It was not paused, and can be.
    bed.vm(&["pause", "under"])?.expect(0);
    bed.vm(&["destroy", "under"])?.expect(0);
    agent.stop()?;
    assert_eq!(
        bed.counted(UUID),
        ["before_vm_pause", "before_vm_pause", "after_vm_pause", DESTROY[0], DESTROY[1]]
    );
    assert_eq!(records(&bed), 0);
    bed.finish()
}

fn a_vm_that_vanished_without_libvirt_is_told_once() -> Result {
    let mut bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("vanishes")?])?.expect(0);
    bed.count(&POINTS)?;
    bed.kill_daemon()?;
    let qemu = bed.process("vanishes").expect("QEMU runs");
    kill_process(Pid::from_raw(qemu.pid).unwrap(), Signal::KILL)?;
    until("it is gone", || bed.process("vanishes").is_none());
    bed.start_daemon()?;
    assert_eq!(bed.wait_for_count(UUID, 1), ["after_vm_destroy"]);
    until("the record goes", || records(&bed) == 0);
    agent.stop()?;
    assert_eq!(bed.counted(UUID).len(), 1);
    bed.finish()
}

fn an_agent_waits_for_a_libvirt_that_is_not_there() -> Result {
    let mut bed = Bed::with_daemon()?;
    bed.stop_daemon()?;
    let agent = bed.begin_agent()?;
    until("it listens", || bed.has_agent());
    let done = bed.vm(&["list"])?.expect(3);
    assert!(done.error().contains("libvirt does not answer just now"), "{}", done.error());
    bed.start_daemon()?;
    until("it is connected", || bed.vm(&["list"]).is_ok_and(|done| done.stdout.contains("no VMs")));
    let said = agent.stop()?;
    assert_eq!(said.matches("trying again until it works").count(), 1, "{said}");
    bed.finish()
}
