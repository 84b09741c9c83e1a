// SPDX-License-Identifier: Apache-2.0
//! libvirt says no to what the hooks made.

use crate::bed::{Bed, DESTROY, START, UUID};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::Value;
use virt_hooks_libvirt::XmlFlags;
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu what_libvirt_cannot_do_is_refused_with_a_hint,
    Qemu what_qemu_cannot_do_is_refused_in_its_words,
    Daemon a_refused_start_leaves_the_stored_definition_as_it_was,
}

fn what_libvirt_cannot_do_is_refused_with_a_hint() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&[&START[..], &DESTROY[..]].concat())?;
    bed.hook(
        "before_vm_start",
        "10_machine",
        "sed -i \"s/machine='pc'/machine='abacus'/\" \"$_hook_domxml\"",
    )?;
    let done = bed.vm(&["start", "--xml", &bed.plain("refused")?, "--report", "-"])?.expect(4);
    let error = done.error();
    assert!(error.starts_with("start VM refused: ") && error.contains("abacus"), "{error}");
    assert!(error.ends_with("; see what this host can do: `virsh domcapabilities`"), "{error}");
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_start", "before_vm_destroy", "after_vm_destroy"]);
    for event in &seen[1..] {
        assert!(event.payload.contains("machine='abacus'"), "as hooks left it: {}", event.payload);
        assert_eq!(event.variable("_hook_reason"), "start-failed");
    }
    let report: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!((&report["result"], &report["vm_id"]), (&"failed".into(), &UUID.into()));
    assert_eq!((bed.qemu("refused"), bed.state("refused")?), (None, None));
    bed.finish()
}

fn what_qemu_cannot_do_is_refused_in_its_words() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&DESTROY)?;
    bed.hook(
        "before_vm_start",
        "10_kernel",
        "sed -i 's|ack.bin</kernel>|gone.bin</kernel>|' \"$_hook_domxml\"",
    )?;
    let done = bed.vm(&["start", "--xml", &bed.plain("refused")?])?.expect(4);
    let error = done.error();
    assert!(error.starts_with("start VM refused: ") && error.contains("gone.bin"), "{error}");
    let seen = bed.seen();
    assert_eq!(points(&seen), DESTROY);
    assert!(seen.iter().all(|event| event.payload.contains("gone.bin</kernel>")));
    assert_eq!((bed.qemu("refused"), bed.state("refused")?), (None, None));
    bed.finish()
}

fn a_refused_start_leaves_the_stored_definition_as_it_was() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    let vm = connection.define_xml(&bed.xml("kept", GuestOptions::default()))?;
    let stored = XmlFlags { secure: true, inactive: true, migratable: false };
    let before = vm.xml(stored)?;
    for (from, to) in [("ack.bin</kernel>", "gone.bin</kernel>"), ("machine='pc", "machine='abacus-")] {
        bed.hook("before_vm_start", "10_break", &format!("sed -i \"s|{from}|{to}|\" \"$_hook_domxml\""))?;
        bed.vm(&["start", "kept"])?.expect(4);
        assert_eq!(vm.xml(stored)?, before, "{to}");
        assert_eq!(bed.state("kept")?.as_deref(), Some("shut off"));
    }
    bed.hook("before_vm_start", "10_break", "exit 0")?;
    bed.vm(&["start", "kept"])?.expect(0);
    assert!(bed.qemu("kept").is_some());
    bed.vm(&["destroy", "kept"])?.expect(0);
    assert_eq!(vm.xml(stored)?, before);
    drop((vm, connection));
    bed.finish()
}
