// SPDX-License-Identifier: Apache-2.0
//! Whoever waits for longer than two seconds is told that it goes on, and what it is waited for.

use crate::bed::{Bed, executable};
use crate::stored::wait_at;
use crate::{Result, tests};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use virt_hooks_testhost::{Guest, GuestOptions};

tests! {
    AgentAndScript a_slow_start_is_told_of,
    AgentAndScript a_slow_save_is_told_of,
    AgentAndScript a_guest_that_holds_on_is_told_of,
}

/// With an agent and without: the same words.
fn both_ways(test: fn(&Bed) -> Result) -> Result {
    for with_agent in [false, true] {
        let bed = Bed::with_hook_script()?;
        let agent = with_agent.then(|| bed.start_agent()).transpose()?;
        test(&bed)?;
        if let Some(agent) = agent {
            agent.stop()?;
        }
        bed.finish()?;
    }
    Ok(())
}

fn a_slow_start_is_told_of() -> Result {
    both_ways(|bed| {
        let wait = format!("[ \"$2\" = start ] || exit 0\n{}", wait_at("ready", bed));
        executable(&bed.hook_scripts().join("qemu.d"), "90-wait", &wait)?;
        let starting = bed.begin_saying(&["start", "--xml", &bed.plain("slow")?], "said")?;
        bed.wait_for_words("said", "start VM slow ... 2 s ... ");
        bed.file("go", "")?;
        starting.wait()?.expect(0);
        bed.vm(&["destroy", "slow"])?.expect(0);
        Ok(())
    })
}

fn a_slow_save_is_told_of() -> Result {
    both_ways(|bed| {
        bed.vm(&["start", "--xml", &bed.plain("slow")?])?.expect(0);
        bed.hook("before_vm_hibernate", "50_wait", &wait_at("ready", bed))?;
        let image = bed.path("saved.img").display().to_string();
        let saving = bed.begin_saying(&["hibernate", "slow", &image], "said")?;
        bed.wait_for("ready");
        // What answers nothing is saved by nobody.
        let qemu = Pid::from_raw(bed.process("slow").ok_or("QEMU runs")?.pid).ok_or("a process")?;
        kill_process(qemu, Signal::STOP)?;
        bed.file("go", "")?;
        bed.wait_for_words("said", &format!("save VM slow to {image} ... 2 s ... "));
        kill_process(qemu, Signal::CONT)?;
        saving.wait()?.expect(0);
        Ok(())
    })
}

fn a_guest_that_holds_on_is_told_of() -> Result {
    both_ways(|bed| {
        let devices =
            "<interface type='user'><mac address='52:54:00:00:00:0a'/><model type='virtio'/></interface>";
        let options = GuestOptions { guest: Guest::Deaf, devices: devices.into(), ..Default::default() };
        bed.run_guest("deaf", &bed.xml("deaf", options))?;
        let unplugging = bed.begin_saying(&["nic-unplug", "deaf", "net0", "--timeout", "10m"], "said")?;
        bed.wait_for_words("said", " ... 2 s ... ");
        unplugging.signal(Signal::INT)?;
        unplugging.wait()?;
        let said = fs::read_to_string(bed.path("said"))?;
        assert!(said.lines().any(|l| l.contains("net0") && l.contains(" ... 2 s ... ")), "{said}");
        bed.vm(&["destroy", "deaf"])?.expect(0);
        Ok(())
    })
}
