// SPDX-License-Identifier: Apache-2.0
//! A dozen VMs at once through the agent. `virt-hooks-bench load` does the same with fifty, and takes the time.

use crate::bed::Bed;
use crate::{Result, tests};
use virt_hooks_testhost::GuestOptions;
use virt_hooks_testhost::load::{self, HOOKS, Notes, POINTS, Vm};

tests! {
    Agent twelve_vms_at_once_lose_and_repeat_nothing,
}

const VMS: usize = 12;
const LIVES: usize = 3;
/// How much more memory the agent may have after the last round than after the first, in KiB: what a thread's arena
/// takes when it is first touched. Between the two lie 192 hook events; a leak of 11 KiB in each would be seen.
const MARGIN_KIB: u64 = 2048;

fn twelve_vms_at_once_lose_and_repeat_nothing() -> Result {
    let bed = Bed::with_daemon()?;
    let noted = bed.path("noted");
    for point in POINTS {
        HOOKS.iter().try_for_each(|hook| bed.hook(point, hook, &load::noting(hook, &noted)))?;
    }
    let vm = |n: usize| {
        let uuid = format!("{n:08x}-1111-4222-8333-444455556666");
        let options = GuestOptions { uuid: Some(uuid.clone()), ..Default::default() };
        Vm { uuid, xml: bed.xml(&format!("vm{n}"), options) }
    };
    let vms: Vec<Vm> = (1..=VMS).map(vm).collect();
    let agent = bed.start_agent()?;
    let mut memory = Vec::new();
    for _ in 0..LIVES {
        load::lead(&bed.path("payloads/agent.sock"), &vms, VMS)?;
        memory.push(load::resident_kib(agent.pid())?);
    }
    // What it still had to fire, it has fired then.
    agent.stop()?;
    let notes = Notes::read(&noted)?;
    for vm in &vms {
        let seen: Vec<&str> = notes.of(vm).collect();
        assert_eq!(seen, load::expected(LIVES), "VM {}", vm.uuid);
    }
    assert_eq!(notes.faults(&vms, LIVES), load::Faults::default(), "nor about anything else");
    let overlapping = notes.overlapping_operations(&vms);
    assert!(overlapping >= 2, "{overlapping} operations ran beside another VM's");
    let (first, last) = (memory[0], memory[LIVES - 1]);
    assert!(last <= first + MARGIN_KIB, "KiB of the agent after each round: {memory:?}");
    assert_eq!(std::fs::read_dir(bed.path("state/vms"))?.count(), 0, "no record is left");
    bed.finish()
}
