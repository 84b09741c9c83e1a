// SPDX-License-Identifier: Apache-2.0
//! Memory and CPUs of a running VM. That CPUs go is not tested: QEMU's emulation never finishes it.

use crate::bed::{Bed, UUID};
use crate::nics::{OWNED, assert_variables, live};
use crate::traces::points;
use crate::{Result, tests};
use virt_hooks_testhost::GuestOptions;

tests! {
    Daemon memory_is_plugged_as_hooks_left_it,
    Daemon a_veto_or_refusal_plugs_no_memory,
    Daemon c07_hooks_know_the_vm_and_the_number_of_cpus,
    Daemon a_veto_or_refusal_leaves_the_number_of_cpus,
}

const MEMORY: [&str; 2] = ["before_memory_hotplug", "after_memory_hotplug"];
const CPUS: [&str; 2] = ["before_set_num_of_cpus", "after_set_num_of_cpus"];

/// A VM that can get memory and CPUs.
fn xml(bed: &Bed, name: &str) -> String {
    xml_with(bed, name, "")
}

/// The same with devices.
pub(crate) fn xml_with(bed: &Bed, name: &str, devices: &str) -> String {
    let extra = "\n  <maxMemory slots='4' unit='MiB'>512</maxMemory>\n  \
                 <cpu><numa><cell id='0' cpus='0-1' memory='16' unit='MiB'/></numa></cpu>";
    let options = GuestOptions {
        metadata: OWNED.into(),
        extra: extra.into(),
        devices: devices.into(),
        ..Default::default()
    };
    bed.xml(name, options).replace("<vcpu>1</vcpu>", "<vcpu current='1'>2</vcpu>")
}

fn memory_is_plugged_as_hooks_left_it() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("grown", &xml(&bed, "grown"))?;
    let vm = connection.lookup(UUID)?;
    bed.hook("before_memory_hotplug", "10_double", "sed -i 's/>128</>256</' \"$_hook_domxml\"")?;
    bed.spy(&MEMORY)?;
    bed.vm(&["memory-plug", "grown", "--size", "128MiB", "--diff"])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), MEMORY);
    for event in &seen {
        assert_variables(event, "memory-plug", &[("colour", "of the VM")]);
        assert_eq!(
            event.payload,
            "<memory model=\"dimm\"><target><size unit=\"MiB\">256</size><node>0</node></target></memory>"
        );
    }
    let now = live(&vm)?;
    assert!(now.contains("<memory model='dimm'") && now.contains(">262144</size>"), "{now}");
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn a_veto_or_refusal_plugs_no_memory() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("kept", &xml(&bed, "kept"))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&MEMORY)?;
    let module = bed.file(
        "dimm.xml",
        "<memory model='dimm'><target><size unit='MiB'>1024</size><node>0</node></target></memory>",
    )?;
    let done = bed.vm(&["memory-plug", "kept", "--xml", &module])?.expect(4);
    assert!(
        done.error().starts_with("plug memory into VM kept: "),
        "more than the maximum: {}",
        done.error()
    );
    assert_eq!(points(&bed.seen()), ["before_memory_hotplug"]);
    bed.hook("before_memory_hotplug", "95_no", "echo 'none left' >&2; exit 2")?;
    let done = bed.vm(&["memory-plug", "kept", "--size", "128MiB"])?.expect(1);
    assert_eq!(
        done.error(),
        "plug memory into VM kept: vetoed at before_memory_hotplug: Hook Error: 95_no: exit code 2: none left"
    );
    assert_eq!(points(&bed.seen()), ["before_memory_hotplug"]);
    assert_eq!(live(&vm)?, before);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn c07_hooks_know_the_vm_and_the_number_of_cpus() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("busy", &xml(&bed, "busy"))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&CPUS)?;
    let done = bed.vm(&["set-cpus", "busy", "2"])?.expect(0);
    assert!(done.stderr.contains("set-cpus: 2 CPUs of VM busy"), "{}", done.stderr);
    let now = live(&vm)?;
    assert!(
        before.contains("current='1'>2</vcpu>") && now.contains("<vcpu placement='static'>2</vcpu>"),
        "{now}"
    );
    let seen = bed.seen();
    assert_eq!(points(&seen), CPUS);
    for event in &seen {
        assert_variables(event, "set-cpus", &[("_hook_cpus", "2"), ("colour", "of the VM")]);
    }
    assert_eq!((&seen[0].payload, &seen[1].payload), (&before, &now));
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn a_veto_or_refusal_leaves_the_number_of_cpus() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("steady", &xml(&bed, "steady"))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&CPUS)?;
    let done = bed.vm(&["set-cpus", "steady", "3"])?.expect(4);
    assert!(done.error().starts_with("set the number of CPUs of VM steady: "), "{}", done.error());
    assert_eq!(points(&bed.seen()), ["before_set_num_of_cpus"]);
    bed.hook(
        "before_set_num_of_cpus",
        "95_no",
        "test $_hook_cpus -lt 2 || { echo 'one is enough' >&2; exit 2; }",
    )?;
    let done = bed.vm(&["set-cpus", "steady", "2"])?.expect(1);
    assert_eq!(
        done.error(),
        "set the number of CPUs of VM steady: vetoed at before_set_num_of_cpus: Hook Error: 95_no: exit code 2: one is enough"
    );
    assert_eq!(points(&bed.seen()), ["before_set_num_of_cpus"]);
    assert_eq!(live(&vm)?, before);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}
