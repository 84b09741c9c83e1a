// SPDX-License-Identifier: Apache-2.0
//! Passwords in the XML reach QEMU and hooks, and nobody else.

use crate::bed::{Bed, UUID};
use crate::{Result, tests};
use std::fs;
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu passwords_are_in_no_report_diff_or_message,
    Daemon a_stored_password_is_kept_for_the_vm,
}

const PASSWORD: &str = "s3cr3t";
const ANOTHER: &str = "h1dden";
/// Of a custom property, which stands in the XML too.
const PROPERTY: &str = "pr0perty";

fn options(bed: &Bed) -> GuestOptions {
    let socket = bed.path("vnc.sock");
    let devices = format!(
        "<graphics type='vnc' passwd='{PASSWORD}'><listen type='socket' socket='{}'/></graphics>",
        socket.display()
    );
    GuestOptions { devices, ..Default::default() }
}

fn passwords_are_in_no_report_diff_or_message() -> Result {
    let bed = Bed::embedded()?;
    let xml = bed.file("masked.xml", &bed.xml("masked", options(&bed)))?;
    let copy = bed.path("copy.xml");
    // It edits the line with the password, puts another in, and says aloud what it sees.
    let body = format!(
        "cat \"$_hook_domxml\" >&2; sed -i \"s/passwd='{PASSWORD}'/passwd='{ANOTHER}' keymap='de'/\" \"$_hook_domxml\"\n\
         cp \"$_hook_domxml\" '{}'; grep passwd \"$_hook_domxml\" >&2; echo \"$root_password\" >&2",
        copy.display()
    );
    bed.hook("before_vm_start", "50_loud", &body)?;
    let run = |point: &str, code| -> Result {
        let report = bed.path("report.json");
        let report = report.to_str().unwrap();
        let property = format!("root_password={PROPERTY}");
        let done =
            bed.vm(&["start", "--xml", &xml, "--diff", "-p", &property, "--report", report])?.expect(code);
        assert!(fs::read_to_string(&copy)?.contains(ANOTHER), "the hook saw and changed it");
        let report = fs::read_to_string(report)?;
        assert!(report.contains("keymap") && done.stderr.contains("keymap"), "the change is shown");
        assert!(report.contains("<name>masked</name>"), "what the hook said is there");
        for text in [&report, &done.stderr, &done.stdout] {
            assert_masked(point, text);
        }
        Ok(())
    };
    run("start", 0)?;
    assert_eq!(bed.state("masked")?.as_deref(), Some("running"));
    bed.hook("before_vm_destroy", "50_loud", "cat \"$_hook_domxml\" >&2; exit 1")?;
    let done = bed.vm(&["destroy", "masked", "--report", "-"])?.expect(0);
    assert!(done.stdout.contains("<name>masked</name>"), "{}", done.stdout);
    assert_masked("destroy", &format!("{done:?}"));

    bed.hook("before_vm_start", "60_veto", &format!("echo 'not with {PASSWORD} nor {ANOTHER}' >&2; exit 1"))?;
    run("veto", 1)?;
    bed.hook(
        "before_vm_start",
        "60_veto",
        "sed -i 's|ack.bin</kernel>|gone.bin</kernel>|' \"$_hook_domxml\"",
    )?;
    run("refusal", 4)?;
    bed.finish()
}

fn assert_masked(at: &str, text: &str) {
    for secret in [PASSWORD, ANOTHER, PROPERTY] {
        assert!(!text.contains(secret), "{secret} at {at}: {text}");
    }
}

fn a_stored_password_is_kept_for_the_vm() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    let vm = connection.define_xml(&bed.xml("opened", options(&bed)))?;
    let done = bed.vm(&["start", UUID, "--diff", "--report", "-"])?.expect(0);
    let secure = virt_hooks_libvirt::XmlFlags { secure: true, ..Default::default() };
    assert!(vm.xml(secure)?.contains(&format!("passwd='{PASSWORD}'")), "QEMU asks for it");
    assert!(!done.stdout.contains(PASSWORD) && !done.stderr.contains(PASSWORD), "{done:?}");
    bed.vm(&["destroy", UUID])?.expect(0);
    assert!(vm.xml(secure)?.contains(PASSWORD), "still stored");
    drop((vm, connection));
    bed.finish()
}
