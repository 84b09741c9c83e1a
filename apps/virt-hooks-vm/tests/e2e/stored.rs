// SPDX-License-Identifier: Apache-2.0
//! VMs that are defined, and several clients of one daemon.

use crate::bed::{Bed, DESTROY, START, UUID};
use crate::traces::points;
use crate::{Result, tests};
use std::fs;
use virt_hooks_libvirt::{State, XmlFlags};
use virt_hooks_testhost::GuestOptions;

tests! {
    Daemon a_stored_vm_runs_from_the_edited_xml_and_stays_as_it_was,
    Daemon one_operation_at_a_time_on_a_vm,
    Daemon a_vm_started_meanwhile_is_not_cleaned_up,
    Daemon a_lost_daemon_is_told_and_nothing_unknown_cleaned_up,
    Daemon a_restarted_daemon_is_asked_before_the_clean_up,
}

const STORED: XmlFlags = XmlFlags { secure: true, inactive: true, migratable: false };

fn a_stored_vm_runs_from_the_edited_xml_and_stays_as_it_was() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    let vm = connection.define_xml(&bed.xml("stored", GuestOptions::default()))?;
    let before = vm.xml(STORED)?;
    bed.spy(&[&START[..], &DESTROY[..]].concat())?;
    bed.hook("before_vm_start", "10_memory", "sed -i \"s/>16384</>24576</\" \"$_hook_domxml\"")?;
    // The second start finds what the first found.
    for round in ["stored", UUID] {
        bed.vm(&["start", round, "-p", "colour=blue"])?.expect(0);
        let qemu = bed.qemu("stored").expect("QEMU runs");
        assert!(qemu.contains("25165824"), "{qemu}");
        assert_eq!(vm.state()?.state, State::Running);
        assert!(vm.is_persistent()?);
        assert!(vm.xml(XmlFlags::default())?.contains(">24576</memory>"));
        assert_eq!(vm.xml(STORED)?, before, "while it runs");
        let seen = bed.seen();
        assert_eq!(points(&seen), START);
        assert!(seen.iter().all(|e| e.variable("colour") == "blue" && e.variable("vmId") == UUID));

        bed.vm(&["destroy", round])?.expect(0);
        assert_eq!(vm.state()?.state, State::ShutOff);
        assert_eq!(vm.xml(STORED)?, before, "after its end");
        let seen = bed.seen();
        assert_eq!(points(&seen), DESTROY);
        assert!(seen.iter().all(|e| e.variable("colour") == "blue" && e.payload.contains(">24576</memory>")));
    }
    let list = bed.vm(&["list"])?.expect(0).stdout;
    assert!(
        list.lines().any(|l| l.starts_with("stored") && l.contains("shut off") && l.contains("yes")),
        "{list}"
    );
    drop((vm, connection));
    bed.finish()
}

fn one_operation_at_a_time_on_a_vm() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&["before_vm_start"])?;
    // The first waits in a hook until it is told to go on.
    bed.hook("before_vm_start", "95_wait", &wait_at("first", &bed))?;
    let xml = bed.plain("one")?;
    let first = bed.begin(&["start", "--xml", &xml])?;
    bed.wait_for("first");
    for arguments in [&["start", "--xml", &xml][..], &["start", "--paused", "--xml", &xml]] {
        let second = bed.vm(arguments)?.expect(3);
        assert_eq!(
            second.only_error(),
            "another operation on VM one is under way: wait for its end and try again"
        );
    }
    assert_eq!(bed.seen().len(), 1, "the second fired nothing");
    fs::write(bed.path("go"), "")?;
    first.wait()?.expect(0);
    assert_eq!(bed.state("one")?.as_deref(), Some("running"));
    let third = bed.vm(&["start", "--xml", &xml])?.expect(3);
    assert_eq!(third.only_error(), "VM one is running already: nothing was done");
    assert!(bed.seen().is_empty());
    bed.vm(&["destroy", "one"])?.expect(0);
    bed.finish()
}

fn a_vm_started_meanwhile_is_not_cleaned_up() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.spy(&DESTROY)?;
    bed.hook("before_vm_start", "50_wait", &wait_at("ready", &bed))?;
    let starting = bed.begin(&["start", "--xml", &bed.plain("raced")?])?;
    bed.wait_for("ready");
    // Somebody who knows no locks of ours.
    let xml = bed.xml("raced", GuestOptions::default());
    let vm = connection.create_xml(&xml, virt_hooks_libvirt::CreateFlags::NONE)?;
    fs::write(bed.path("go"), "")?;
    let done = starting.wait()?.expect(4);
    assert!(done.error().starts_with("start VM raced: "), "{}", done.error());
    assert!(bed.seen().is_empty(), "what it would clean up is in use");
    assert_eq!(vm.state()?.state, State::Running);
    vm.destroy()?;
    drop((vm, connection));
    bed.finish()
}

fn a_lost_daemon_is_told_and_nothing_unknown_cleaned_up() -> Result {
    let mut bed = Bed::with_daemon()?;
    bed.spy(&DESTROY)?;
    bed.hook("before_vm_start", "50_wait", &wait_at("ready", &bed))?;
    let starting = bed.begin(&["start", "--xml", &bed.plain("lost")?])?;
    bed.wait_for("ready");
    bed.stop_daemon()?;
    fs::write(bed.path("go"), "")?;
    let done = starting.wait()?.expect(3);
    let error = done.error();
    assert!(error.starts_with("start VM lost: the connection to libvirt was lost ("), "{error}");
    assert!(
        error.contains("): nobody knows whether the VM runs, so nothing was cleaned up; start libvirt: "),
        "{error}"
    );
    assert!(bed.seen().is_empty());
    bed.finish()
}

fn a_restarted_daemon_is_asked_before_the_clean_up() -> Result {
    let mut bed = Bed::with_daemon()?;
    bed.spy(&DESTROY)?;
    bed.hook("before_vm_start", "50_wait", &wait_at("ready", &bed))?;
    let starting = bed.begin(&["start", "--xml", &bed.plain("lost")?])?;
    bed.wait_for("ready");
    bed.stop_daemon()?;
    bed.start_daemon()?;
    fs::write(bed.path("go"), "")?;
    let done = starting.wait()?.expect(3);
    assert!(done.error().contains("): the VM does not run; "), "{}", done.error());
    assert_eq!(points(&bed.seen()), DESTROY);
    bed.finish()
}

/// A hook's words that say it has come so far, and then wait for the file `go`.
pub(crate) fn wait_at(file: &str, bed: &Bed) -> String {
    format!("cd '{}'; : >{file}; until [ -e go ]; do sleep 0.01; done", bed.root().display())
}
