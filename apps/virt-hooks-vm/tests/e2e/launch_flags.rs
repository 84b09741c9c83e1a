// SPDX-License-Identifier: Apache-2.0
//! The launch flags file: hooks say how the VM starts.

use crate::bed::{Bed, DESTROY, UUID};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

tests! {
    Qemu paused_is_in_the_file_and_the_vm_is_paused,
    Qemu a_hook_pauses_the_vm,
    Qemu a_hook_lets_a_paused_vm_run,
    Qemu c21_a_removed_file_does_not_let_a_paused_vm_run,
    Daemon hooks_of_another_user_can_do_all_that,
    Library what_is_no_flag_starts_nothing,
    Library flags_that_cannot_be_written_are_no_veto,
}

/// Starts with a hook at `before_vm_start`, gives the state, and what the hooks read in the end.
fn start(body: &str, arguments: &[&str]) -> Result<(String, String)> {
    let bed = Bed::embedded()?;
    bed.hook("before_vm_start", "50_flags", body)?;
    bed.hook(
        "after_vm_start",
        "50_read",
        &format!("cat \"$_hook_launch_flags\" >'{}'", bed.path("read").display()),
    )?;
    let xml = bed.plain("flags")?;
    bed.vm(&[&["start", "--xml", &xml], arguments].concat())?.expect(0);
    let state = bed.state("flags")?.expect("it runs");
    let read = fs::read_to_string(bed.path("read"))?.trim().to_owned();
    bed.assert_tidy();
    bed.vm(&["destroy", "flags"])?.expect(0);
    bed.finish()?;
    Ok((state, read))
}

/// The path is VDSM's, below the directory for flags; hooks are also told.
const CHECK: &str = "case $_hook_launch_flags in */flags/$vmId/launchflags) ;; *) exit 2 ;; esac\n";

fn paused_is_in_the_file_and_the_vm_is_paused() -> Result {
    let body = format!("{CHECK}test \"$(cat \"$_hook_launch_flags\")\" = 1");
    assert_eq!(start(&body, &["--paused"])?, ("paused".into(), "1".into()));
    Ok(())
}

fn a_hook_pauses_the_vm() -> Result {
    let body = format!("{CHECK}f=$_hook_launch_flags; n=$(cat $f); test $n = 0 && echo $((n | 1)) >$f");
    assert_eq!(start(&body, &[])?, ("paused".into(), "1".into()));
    Ok(())
}

fn a_hook_lets_a_paused_vm_run() -> Result {
    let body = "f=$_hook_launch_flags; echo $(($(cat $f) & ~1)) >$f";
    assert_eq!(start(body, &["--paused"])?, ("running".into(), "0".into()));
    Ok(())
}

fn c21_a_removed_file_does_not_let_a_paused_vm_run() -> Result {
    let bed = Bed::embedded()?;
    bed.hook("before_vm_start", "50_flags", "rm \"$_hook_launch_flags\"")?;
    bed.vm(&["start", "--paused", "--xml", &bed.plain("flags")?])?.expect(0);
    assert_eq!(bed.state("flags")?.as_deref(), Some("paused"));
    bed.assert_tidy();
    bed.vm(&["destroy", "flags"])?.expect(0);
    bed.finish()
}

/// As under VDSM, where hooks of a VM do not run as root. Needs root rights, not the daemon.
fn hooks_of_another_user_can_do_all_that() -> Result {
    let bed = Bed::embedded()?;
    fs::set_permissions(bed.root(), Permissions::from_mode(0o711))?;
    bed.file("config.toml", "hook_user = \"nobody\"\n")?;
    bed.hook(
        "before_vm_start",
        "50_flags",
        "id -un >&2; echo 1 >\"$_hook_launch_flags\" && sed -i 's/<vcpu>1</<vcpu>2</' \"$_hook_domxml\"",
    )?;
    let done = bed.vm(&["start", "--xml", &bed.plain("flags")?, "--report", "-"])?.expect(0);
    let report: Value = serde_json::from_str(&done.stdout)?;
    let run = &report["events"][0]["runs"][0];
    assert_eq!((&run["stderr"], &run["changed"]), (&"nobody\n".into(), &true.into()));
    assert_eq!(bed.state("flags")?.as_deref(), Some("paused"));
    assert!(bed.qemu("flags").expect("QEMU runs").contains(" -smp 2"));
    bed.assert_tidy();
    bed.vm(&["destroy", "flags"])?.expect(0);
    bed.finish()
}

fn domain(bed: &Bed) -> Result<String> {
    bed.file("flags.xml", &format!("<domain type='test'><name>flags</name><uuid>{UUID}</uuid></domain>"))
}

fn what_is_no_flag_starts_nothing() -> Result {
    for (left, complaint) in [
        ("printf 64", "bits 0x40 of 64 are unknown"),
        ("echo paused", "\"paused\" is not a decimal number"),
        (":", "\"\" is not a decimal number"),
        ("printf '\\377\\n'", ""),
    ] {
        let bed = Bed::without_vms()?;
        bed.spy(&DESTROY)?;
        bed.spy(&["after_vm_start"])?;
        bed.hook("before_vm_start", "50_flags", &format!("{left} >\"$_hook_launch_flags\""))?;
        let done = bed.vm(&["start", "--xml", &domain(&bed)?, "--report", "-"])?.expect(1);
        let error = done.error();
        assert!(error.starts_with("start VM flags: ") && error.contains(complaint), "{error}");
        assert!(error.contains(bed.path("flags").to_str().unwrap()), "{error}");
        let seen = bed.seen();
        assert_eq!(points(&seen), DESTROY);
        assert!(seen.iter().all(|e| e.variable("_hook_reason") == "start-failed"));
        assert!(done.stdout.contains("\"result\": \"vetoed\""), "{}", done.stdout);
        bed.finish()?;
    }
    Ok(())
}

/// No hook did anything wrong, and none was run.
fn flags_that_cannot_be_written_are_no_veto() -> Result {
    let bed = Bed::without_vms()?;
    bed.spy(&["before_vm_start", "before_vm_destroy"])?;
    bed.file("flags", "a file where a directory is due")?;
    let done = bed.vm(&["start", "--xml", &domain(&bed)?])?.expect(3);
    let error = done.only_error();
    assert!(error.contains("launchflags") && error.contains("Not a directory"), "{error}");
    assert!(bed.seen().is_empty());
    fs::remove_file(bed.path("flags"))?;
    bed.finish()
}
