// SPDX-License-Identifier: Apache-2.0
//! Ctrl-C and what service managers send.

use crate::bed::{ALL, Bed, DESTROY, UUID};
use crate::traces::{points, processes_about};
use crate::{Result, tests};
use rustix::process::Signal;
use std::os::unix::net::UnixListener;
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu an_interrupted_start_ends_its_hook_and_cleans_up,
    Library a_connection_that_hangs_can_be_given_up,
    Library every_signal_to_end_is_heeded,
    Library a_start_that_is_given_up_between_hooks_starts_nothing,
    Qemu an_interrupt_after_the_start_leaves_the_vm_running,
    Qemu an_interrupted_destroy_leaves_nothing_half_done,
}

/// Nothing was done so far, so the signal may do what signals do.
fn a_connection_that_hangs_can_be_given_up() -> Result {
    let bed = Bed::without_vms()?;
    bed.spy(&ALL)?;
    let socket = bed.path("deaf.sock");
    let listener = UnixListener::bind(&socket)?;
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    let xml = given(&bed)?;
    for arguments in [&["start", "--xml", &xml][..], &["destroy", "t"]] {
        let hanging = bed.begin(&[arguments, &["--connect", &uri]].concat())?;
        // It waits for an answer that never comes.
        let (_open, _) = listener.accept()?;
        hanging.signal(Signal::INT)?;
        assert_eq!(hanging.ended_by()?, Some(Signal::INT.as_raw()));
    }
    assert!(bed.seen().is_empty());
    bed.finish()
}

/// A hook that says it is there, and then hangs, as does a child of its own.
fn hang(bed: &Bed) -> String {
    format!("cd '{root}'; sh -c 'sleep 600; : {root}' & : >ready; wait", root = bed.root().display())
}

fn assert_nobody_hangs(bed: &Bed) {
    // QEMU may run, and a zombie has no command line.
    let hooks: Vec<String> =
        processes_about(bed.root()).into_iter().filter(|line| !line.contains("qemu-system")).collect();
    assert_eq!(hooks, Vec::<String>::new());
}

fn an_interrupted_start_ends_its_hook_and_cleans_up() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&ALL)?;
    bed.hook("before_vm_start", "95_hang", &hang(&bed))?;
    let starting = bed.begin(&["start", "--xml", &bed.plain("stopped")?])?;
    bed.wait_for("ready");
    starting.signal(Signal::INT)?;
    let done = starting.wait()?.expect(3);
    assert_eq!(done.error(), "start VM stopped: interrupted: nothing was started");
    assert_nobody_hangs(&bed);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_vm_start", "before_vm_destroy", "after_vm_destroy"]);
    assert_eq!(seen[1].variable("_hook_reason"), "start-failed");
    assert_eq!((bed.qemu("stopped"), bed.state("stopped")?), (None, None));
    bed.finish()
}

fn given(bed: &Bed) -> Result<String> {
    bed.file("t.xml", &format!("<domain type='test'><name>t</name><uuid>{UUID}</uuid><memory>8192</memory><os><type>hvm</type></os></domain>"))
}

fn every_signal_to_end_is_heeded() -> Result {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let bed = Bed::without_vms()?;
        bed.spy(&DESTROY)?;
        bed.spy(&["after_vm_start"])?;
        bed.hook("before_vm_start", "50_hang", &hang(&bed))?;
        let starting = bed.begin(&["start", "--xml", &given(&bed)?])?;
        bed.wait_for("ready");
        starting.signal(signal)?;
        starting.wait()?.expect(3);
        assert_nobody_hangs(&bed);
        assert_eq!(points(&bed.seen()), DESTROY, "{signal:?}");
        bed.finish()?;
    }
    Ok(())
}

/// The hook that is there when the signal comes may well end as if nothing had been.
fn a_start_that_is_given_up_between_hooks_starts_nothing() -> Result {
    let bed = Bed::without_vms()?;
    bed.spy(&ALL)?;
    bed.hook("before_vm_start", "95_last", "trap '' TERM; kill -INT $PPID; exit 0")?;
    bed.vm(&["start", "--xml", &given(&bed)?])?.expect(3);
    assert_eq!(points(&bed.seen()), ["before_vm_start", "before_vm_destroy", "after_vm_destroy"]);
    bed.finish()
}

fn an_interrupt_after_the_start_leaves_the_vm_running() -> Result {
    let bed = Bed::embedded()?;
    let wait =
        format!("cd '{}'; : >ready; until [ -e go ]; do sleep 0.01; done; : >end", bed.root().display());
    bed.hook("after_vm_start", "50_wait", &wait)?;
    let starting = bed.begin(&["start", "--xml", &bed.plain("late")?])?;
    bed.wait_for("ready");
    starting.signal(Signal::INT)?;
    bed.file("go", "")?;
    starting.wait()?.expect(0);
    assert!(bed.path("end").exists(), "its hooks came to their end");
    assert_eq!(bed.state("late")?.as_deref(), Some("running"));
    bed.vm(&["destroy", "late"])?.expect(0);
    bed.finish()
}

fn an_interrupted_destroy_leaves_nothing_half_done() -> Result {
    let bed = Bed::embedded()?;
    let options = GuestOptions::default();
    let xml = bed.file("fought.xml", &bed.xml("fought", options))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.hook("before_vm_destroy", "50_hang", &hang(&bed))?;
    bed.spy(&["after_vm_destroy"])?;
    let destroying = bed.begin(&["destroy", "fought"])?;
    bed.wait_for("ready");
    destroying.signal(Signal::INT)?;
    let done = destroying.wait()?.expect(3);
    assert_eq!(done.error(), "destroy VM fought: interrupted: the VM still runs");
    assert_nobody_hangs(&bed);
    bed.assert_tidy();
    assert!(bed.seen().is_empty());
    assert_eq!(bed.state("fought")?.as_deref(), Some("running"));

    bed.hook("before_vm_destroy", "50_hang", "exit 0")?;
    bed.vm(&["destroy", "fought"])?.expect(0);
    assert_eq!(points(&bed.seen()), ["after_vm_destroy"]);
    bed.finish()
}
