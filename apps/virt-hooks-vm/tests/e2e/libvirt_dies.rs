// SPDX-License-Identifier: Apache-2.0
//! libvirt is killed, or restarted in order, in the middle of an operation: by the command alone and with the agent.
//! No VM is lost, no hook that completed runs again, hooks are told what they missed, and nothing stale is left.

use crate::bed::{Agent, Bed, Running, UUID, executable, until};
use crate::libvirt_hook::custom;
use crate::pausing::REST;
use crate::{Result, tests};
use rustix::process::{Pid, Signal, kill_process};

tests! {
    AgentAndScript a_libvirt_killed_before_it_creates_a_vm,
    AgentAndScript a_libvirt_killed_while_it_creates_a_vm,
    AgentAndScript a_libvirt_killed_as_soon_as_there_is_a_qemu,
    AgentAndScript a_libvirt_killed_in_the_midst_of_a_pause,
    AgentAndScript a_libvirt_killed_in_the_midst_of_a_save,
    AgentAndScript a_source_killed_in_the_midst_of_a_migration,
    AgentAndScript a_destination_killed_in_the_midst_of_a_migration,
}

const STARTED: [&str; 2] = ["before_vm_start", "after_vm_start"];
const PAUSED: [&str; 2] = ["before_vm_pause", "after_vm_pause"];
const CONTINUED: [&str; 2] = ["before_vm_cont", "after_vm_cont"];
const DESTROYED: [&str; 2] = ["before_vm_destroy", "after_vm_destroy"];

const MIGRATED: [&str; 4] = [
    "before_vm_migrate_source",
    "after_vm_migrate_source",
    "before_vm_migrate_destination",
    "after_vm_migrate_destination",
];

const UNKNOWN: &str = "nobody knows whether it was done";

/// A host, and its agent where it has one.
type Place = (Bed, Option<Agent>);

/// A host whose hooks count, with an agent or without.
fn host(with_agent: bool) -> Result<Place> {
    counting(Bed::with_hook_script()?, with_agent)
}

fn counting(bed: Bed, with_agent: bool) -> Result<Place> {
    bed.count(&[&STARTED[..], &REST, &MIGRATED, &DESTROYED].concat())?;
    let agent = with_agent.then(|| bed.start_agent()).transpose()?;
    Ok((bed, agent))
}

/// Nothing is left: no record, and none of what [`Bed::finish`] looks for.
fn finish(bed: Bed, agent: Option<Agent>) -> Result {
    if let Some(agent) = agent {
        agent.stop()?;
    }
    assert_eq!(crate::traces::entries(&bed.path("state/vms")), Vec::<std::path::PathBuf>::new());
    bed.finish()
}

/// A shell that says it is there, and goes on once told to; it must not outlive the test.
fn wait(bed: &Bed) -> String {
    format!(
        "cd '{}'; : >ready; n=0; until [ -e go ] || [ $n -gt 6000 ]; do sleep 0.02; n=$((n+1)); done",
        bed.root().display()
    )
}

/// The operation that was under way says that libvirt went, what there is now, and what to do.
fn assert_lost(running: Running, operation: &str, left: &str) -> Result {
    let done = running.wait()?.expect(3);
    let error = done.error();
    assert!(error.starts_with(&format!("{operation}: the connection to libvirt was lost (")), "{error}");
    assert!(error.contains(&format!("): {left}")), "{error}");
    assert!(error.contains("start libvirt: "), "{error}");
    Ok(())
}

/// Waits until libvirt is there again for everybody.
fn until_back(bed: &Bed) {
    until("libvirt answers again", || bed.vm(&["list"]).is_ok_and(|done| done.succeeded()));
}

fn stop_qemu(bed: &Bed, name: &str) -> Result<Pid> {
    let qemu = Pid::from_raw(bed.process(name).ok_or("QEMU runs")?.pid).ok_or("a process")?;
    kill_process(qemu, Signal::STOP)?;
    Ok(qemu)
}

/// While a hook runs libvirt has done nothing yet. It is away when the hook ends, or back again.
fn a_libvirt_killed_before_it_creates_a_vm() -> Result {
    for (with_agent, orderly, back) in [
        (false, false, false),
        (false, false, true),
        (true, false, false),
        (true, false, true),
        (true, true, true),
    ] {
        let (mut bed, agent) = host(with_agent)?;
        bed.hook("before_vm_start", "95_wait", &wait(&bed))?;
        let xml = bed.plain("early")?;
        let mut starting = bed.begin(&["start", "--xml", &xml])?;
        starting.wait_for(&bed, "ready")?;
        if orderly {
            bed.stop_daemon()?;
        } else {
            bed.kill_daemon()?;
        }
        if back {
            bed.start_daemon()?;
        }
        bed.file("go", "")?;
        let unknown = "nobody knows whether the VM runs, so nothing was cleaned up";
        assert_lost(starting, "start VM early", if back { "the VM does not run" } else { unknown })?;
        if !back {
            assert_eq!(bed.counted(UUID), STARTED[..1]);
            bed.start_daemon()?;
        }
        until_back(&bed);
        let cleaned = [&STARTED[..1], &DESTROYED].concat();
        if with_agent || back {
            assert_eq!(bed.wait_for_count(UUID, 3), cleaned);
        }
        assert_eq!(bed.state("early")?, None);
        // As if nothing had been; by itself a command cleans up here.
        bed.vm(&["start", "--xml", &xml])?.expect(0);
        bed.vm(&["destroy", "early"])?.expect(0);
        assert_eq!(bed.counted(UUID), [&cleaned[..], &STARTED, &DESTROYED].concat());
        finish(bed, agent)?;
    }
    Ok(())
}

/// libvirt's own hook script says where in a start libvirt is: before QEMU is there, and once the VM runs.
fn a_libvirt_killed_while_it_creates_a_vm() -> Result {
    for with_agent in [false, true] {
        for (moment, runs) in [("prepare", false), ("start", false), ("started", true)] {
            let (mut bed, agent) = host(with_agent)?;
            let scripts = bed.hook_scripts().join("qemu.d");
            executable(&scripts, "90-wait", &format!("[ \"$2\" = {moment} ] || exit 0\n{}", wait(&bed)))?;
            let xml = bed.plain("made")?;
            let starting = bed.begin(&["start", "--xml", &xml])?;
            bed.wait_for("ready");
            bed.kill_daemon()?;
            let left = "nobody knows whether the VM runs, so nothing was cleaned up";
            assert_lost(starting, "start VM made", left)?;
            assert_eq!(bed.counted(UUID), STARTED[..1], "{moment}");
            std::fs::remove_file(scripts.join("90-wait"))?;
            bed.file("go", "")?;
            bed.start_daemon()?;
            until_back(&bed);
            if runs {
                bed.wait_for_state("made", "running");
            } else {
                assert_eq!((bed.state("made")?, bed.qemu("made")), (None, None), "{moment}");
            }
            let found_out = if runs { STARTED.to_vec() } else { [&STARTED[..1], &DESTROYED].concat() };
            if with_agent {
                assert_eq!(bed.wait_for_count(UUID, found_out.len()), found_out, "{moment}");
            }
            let mut expected = found_out;
            if !runs {
                bed.vm(&["start", "--xml", &xml])?.expect(0);
                expected.extend(STARTED);
            }
            bed.vm(&["destroy", "made"])?.expect(0);
            expected.extend(DESTROYED);
            assert_eq!(bed.counted(UUID), expected, "{moment}");
            finish(bed, agent)?;
        }
    }
    Ok(())
}

/// Somewhere between QEMU's first breath and libvirt's answer. Whether there is a VM afterwards is libvirt's to say;
/// that hooks know the same is ours.
fn a_libvirt_killed_as_soon_as_there_is_a_qemu() -> Result {
    for with_agent in [false, true] {
        let (mut bed, agent) = host(with_agent)?;
        let xml = bed.plain("born")?;
        let starting = bed.begin(&["start", "--xml", &xml])?;
        until("there is a QEMU", || bed.process("born").is_some());
        bed.kill_daemon()?;
        assert_lost(starting, "start VM born", "nobody knows whether the VM runs")?;
        bed.start_daemon()?;
        until_back(&bed);
        // libvirt is done with it once both say the same.
        let runs = || bed.state("born").ok().flatten().is_some();
        until("libvirt and the process agree", || runs() == bed.process("born").is_some());
        let mut expected = if runs() { STARTED.to_vec() } else { [&STARTED[..1], &DESTROYED].concat() };
        if with_agent {
            assert_eq!(bed.wait_for_count(UUID, expected.len()), expected);
        }
        if !runs() {
            bed.vm(&["start", "--xml", &xml])?.expect(0);
            expected.extend(STARTED);
        }
        bed.vm(&["destroy", "born"])?.expect(0);
        expected.extend(DESTROYED);
        assert_eq!(bed.counted(UUID), expected);
        finish(bed, agent)?;
    }
    Ok(())
}

/// What was said of an operation, in a file, once it lost libvirt.
fn assert_said_lost(bed: &Bed, running: Running, operation: &str, left: &str) -> Result {
    running.wait()?.expect(3);
    let said = std::fs::read_to_string(bed.path("said"))?;
    let error = said.lines().last().unwrap_or_default();
    let begin = format!("virt-hooks: {operation}: the connection to libvirt was lost (");
    assert!(error.starts_with(&begin) && error.contains(&format!("): {left}; start libvirt: ")), "{said}");
    Ok(())
}

/// A QEMU that is stopped answers nothing, so that libvirt is in the midst of what it was asked.
fn a_libvirt_killed_in_the_midst_of_a_pause() -> Result {
    for with_agent in [false, true] {
        let (mut bed, agent) = host(with_agent)?;
        bed.vm(&["start", "--xml", &bed.plain("half")?])?.expect(0);
        let qemu = stop_qemu(&bed, "half")?;
        let pausing = bed.begin_saying(&["pause", "half"], "said")?;
        bed.wait_for_words("said", "pause VM half ... 2 s");
        bed.kill_daemon()?;
        kill_process(qemu, Signal::CONT)?;
        assert_said_lost(&bed, pausing, "pause VM half", UNKNOWN)?;
        bed.start_daemon()?;
        until_back(&bed);
        // QEMU forgets what it was asked by who went, or does it as soon as it can.
        let paused = bed.state("half")?.as_deref() == Some("paused");
        let mut told = [&STARTED[..], if paused { &PAUSED } else { &PAUSED[..1] }].concat();
        if with_agent {
            assert_eq!(bed.wait_for_count(UUID, told.len()), told);
        }
        if !paused {
            assert_eq!(bed.state("half")?.as_deref(), Some("running"));
            bed.vm(&["pause", "half"])?.expect(0);
            told.extend(PAUSED);
        }
        bed.vm(&["cont", "half"])?.expect(0);
        bed.vm(&["destroy", "half"])?.expect(0);
        assert_eq!(bed.counted(UUID), [&told[..], &CONTINUED, &DESTROYED].concat());
        finish(bed, agent)?;
    }
    Ok(())
}

fn a_libvirt_killed_in_the_midst_of_a_save() -> Result {
    for with_agent in [false, true] {
        let (mut bed, agent) = host(with_agent)?;
        bed.vm(&["start", "--xml", &bed.plain("sleeper")?])?.expect(0);
        bed.hook("before_vm_hibernate", "95_wait", &wait(&bed))?;
        let image = bed.path("saved.img").display().to_string();
        let saving = bed.begin_saying(&["hibernate", "sleeper", &image], "said")?;
        bed.wait_for("ready");
        let qemu = stop_qemu(&bed, "sleeper")?;
        bed.file("go", "")?;
        bed.wait_for_words("said", "saved.img ... 2 s");
        bed.kill_daemon()?;
        kill_process(qemu, Signal::CONT)?;
        assert_said_lost(&bed, saving, "hibernate VM sleeper", UNKNOWN)?;
        bed.start_daemon()?;
        // It was not saved, and stands still, as its hooks know.
        bed.wait_for_state("sleeper", "paused");
        let told = [&STARTED[..], &PAUSED, &["before_vm_hibernate"]].concat();
        assert_eq!(bed.counted(UUID), told);
        // What libvirt left is not taken for a saved VM, nor is it overwritten.
        if bed.path("saved.img").exists() {
            assert!(!bed.vm(&["dehibernate", &image])?.succeeded());
            let done = bed.vm(&["hibernate", "sleeper", &image])?.expect(3);
            assert!(done.error().contains("is there already"), "{}", done.error());
            std::fs::remove_file(&image)?;
        }
        assert_eq!(
            (bed.state("sleeper")?.as_deref(), bed.counted(UUID)),
            (Some("paused"), told.clone().iter().map(|p| (*p).to_owned()).collect())
        );
        // It can go on, and be saved another time.
        bed.vm(&["cont", "sleeper"])?.expect(0);
        bed.vm(&["hibernate", "sleeper", &image])?.expect(0);
        let again = [&CONTINUED[..], &PAUSED, &["before_vm_hibernate", "after_vm_hibernate"], &DESTROYED];
        assert_eq!(bed.counted(UUID), [&told[..], &again.concat()].concat());
        finish(bed, agent)?;
    }
    Ok(())
}

/// A VM at its source, and a destination whose libvirt waits, in the midst of the migration, for its own hook script.
fn migrating(with_agents: bool) -> Result<(Place, Place, Running)> {
    let (a, b) = (host(with_agents)?, host(with_agents)?);
    a.0.vm(&["start", "--xml", &custom(&a.0, "web")?])?.expect(0);
    executable(
        &b.0.hook_scripts().join("qemu.d"),
        "90-wait",
        &format!("[ \"$2\" = prepare ] || exit 0\n{}", wait(&b.0)),
    )?;
    let memory = format!("unix://{}", b.0.path("m.sock").display());
    let socket = b.0.path("payloads/agent.sock").display().to_string();
    let mut arguments = vec!["migrate", "web", "--to", b.0.uri(), "--migrate-uri", &memory];
    if with_agents {
        arguments.extend(["--to-agent", &socket]);
    }
    let going = a.0.begin_saying(&arguments, "said")?;
    b.0.wait_for("ready");
    Ok((a, b, going))
}

/// What the destination's hooks are told of a VM that does not come.
fn assert_did_not_come(b: &Bed, with_agent: bool) -> Result {
    until("libvirt of the destination has none of it", || {
        b.state("web").is_ok_and(|state| state.is_none()) && b.qemu("web").is_none()
    });
    // Without an agent it is libvirt's script that tells, and only what it sees.
    let count = if with_agent { 3 } else { 1 };
    let told = b.wait_for_count(UUID, count);
    assert_eq!(told[0], "before_vm_migrate_destination");
    if with_agent {
        let all = std::fs::read_to_string(b.path("counted"))?;
        assert_eq!(told[1..], DESTROYED, "{all}");
    }
    Ok(())
}

/// The VM runs at its source, was told that it is to go, and goes the next time.
fn goes_another_time(a: Place, b: Place) -> Result {
    std::fs::remove_file(b.0.hook_scripts().join("qemu.d/90-wait"))?;
    until_back(&a.0);
    a.0.wait_for_state("web", "running");
    let told = [&STARTED[..], &["before_vm_migrate_source"]].concat();
    assert_eq!(a.0.counted(UUID), told);
    let memory = format!("unix://{}", b.0.path("n.sock").display());
    a.0.vm(&["migrate", "web", "--to", b.0.uri(), "--migrate-uri", &memory])?.expect(0);
    let left = ["before_vm_migrate_source", "after_vm_migrate_source", DESTROYED[0], DESTROYED[1]];
    assert_eq!(a.0.counted(UUID), [&told[..], &left].concat());
    assert_eq!((a.0.state("web")?, b.0.state("web")?.as_deref()), (None, Some("running")));
    b.0.vm(&["destroy", "web"])?.expect(0);
    finish(a.0, a.1)?;
    finish(b.0, b.1)
}

fn a_source_killed_in_the_midst_of_a_migration() -> Result {
    for (with_agents, orderly) in [(false, false), (true, false), (true, true)] {
        let (mut a, b, going) = migrating(with_agents)?;
        if orderly {
            a.0.stop_daemon()?;
        } else {
            a.0.kill_daemon()?;
        }
        b.0.file("go", "")?;
        assert_said_lost(&a.0, going, "migrate VM web", UNKNOWN)?;
        assert_did_not_come(&b.0, with_agents)?;
        a.0.start_daemon()?;
        goes_another_time(a, b)?;
    }
    Ok(())
}

fn a_destination_killed_in_the_midst_of_a_migration() -> Result {
    for with_agents in [false, true] {
        let (a, mut b, going) = migrating(with_agents)?;
        b.0.kill_daemon()?;
        b.0.file("go", "")?;
        going.wait()?.expect(4);
        let said = std::fs::read_to_string(a.0.path("said"))?;
        assert!(said.lines().last().is_some_and(|l| l.starts_with("virt-hooks: migrate VM web: ")), "{said}");
        assert_eq!(a.0.state("web")?.as_deref(), Some("running"));
        b.0.start_daemon()?;
        until_back(&b.0);
        assert_did_not_come(&b.0, with_agents)?;
        goes_another_time(a, b)?;
    }
    Ok(())
}
