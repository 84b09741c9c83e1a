// SPDX-License-Identifier: Apache-2.0
//! Points that only advise, with a package that says it vetoes.

use crate::bed::{Bed, UUID};
use crate::tickets::{FIRST, SECOND, login, options, set_ticket};
use crate::traces::points;
use crate::{Result, tests};
use std::fs;
use virt_hooks_testhost::GuestOptions;

tests! {
    Daemon a_package_that_vetoes_keeps_the_old_ticket,
    Qemu a_package_that_vetoes_keeps_the_vm,
    Agent a_package_that_vetoes_is_heard_by_the_agent_too,
    Qemu c05_a_device_never_stops_a_destroy,
}

/// Installs a hook whose package vetoes.
fn strict(bed: &Bed, point: &str, body: &str) -> Result {
    let package = bed.path("packages").join("strict");
    fs::create_dir_all(&package)?;
    fs::write(
        package.join("hook.toml"),
        format!(
            "manifest = 1\nname = \"strict\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
             [[point]]\nname = \"{point}\"\nfile = \"50_strict\"\nfailure = \"veto\"\n"
        ),
    )?;
    bed.hook(point, "50_strict", body)
}

const NO: &str = "echo 'not now' >&2; exit 1";

fn a_package_that_vetoes_keeps_the_old_ticket() -> Result {
    let bed = Bed::with_daemon()?;
    bed.run_guest("strict", &bed.xml("strict", options(&bed)))?;
    strict(&bed, "before_vm_set_ticket", NO)?;
    bed.spy(&["after_vm_set_ticket"])?;
    let done = set_ticket(&bed, SECOND, &["--report", "-"])?.expect(1);
    assert_eq!(
        done.error(),
        "set ticket of VM strict: vetoed at before_vm_set_ticket: Hook Error: 50_strict: exit code 1: not now"
    );
    let report: serde_json::Value = serde_json::from_str(&done.stdout)?;
    assert_eq!((&report["result"], &report["events"][0]["verdict"]), (&"vetoed".into(), &"veto".into()));
    assert!(login(&bed.path("vnc.sock"), FIRST)? && !login(&bed.path("vnc.sock"), SECOND)?);
    assert!(bed.seen().is_empty(), "nothing was set");
    // A hook of nobody's package advises, as the point does.
    bed.hook("before_vm_set_ticket", "50_strict", "exit 0")?;
    bed.hook("before_vm_set_ticket", "60_plain", NO)?;
    set_ticket(&bed, SECOND, &[])?.expect(0);
    assert!(login(&bed.path("vnc.sock"), SECOND)?);
    bed.vm(&["destroy", UUID])?.expect(0);
    bed.finish()
}

const REFUSED: &str =
    "destroy VM kept: vetoed at before_vm_destroy: Hook Error: 50_strict: exit code 1: not now";

fn a_package_that_vetoes_keeps_the_vm() -> Result {
    let bed = Bed::embedded()?;
    bed.vm(&["start", "--xml", &bed.plain("kept")?])?.expect(0);
    strict(&bed, "before_vm_destroy", NO)?;
    bed.spy(&["after_vm_destroy"])?;
    let done = bed.vm(&["destroy", "kept"])?.expect(1);
    assert_eq!(done.error(), REFUSED);
    assert_eq!(bed.state("kept")?.as_deref(), Some("running"));
    assert!(bed.seen().is_empty());
    bed.assert_tidy();
    bed.hook("before_vm_destroy", "50_strict", "exit 0")?;
    bed.vm(&["destroy", "kept"])?.expect(0);
    assert_eq!(points(&bed.seen()), ["after_vm_destroy"]);
    // Of a start that failed there is nothing left to keep.
    strict(&bed, "before_vm_destroy", NO)?;
    bed.hook("before_vm_start", "50_no", "exit 2")?;
    let done = bed.vm(&["start", "--xml", &bed.plain("kept")?])?.expect(1);
    assert!(done.error().contains("vetoed at before_vm_start"), "{}", done.error());
    assert_eq!(points(&bed.seen()), ["after_vm_destroy"]);
    bed.finish()
}

fn a_package_that_vetoes_is_heard_by_the_agent_too() -> Result {
    let bed = Bed::with_daemon()?;
    let agent = bed.start_agent()?;
    bed.vm(&["start", "--xml", &bed.plain("kept")?])?.expect(0);
    strict(&bed, "before_vm_destroy", NO)?;
    bed.count(&["after_vm_destroy"])?;
    assert_eq!(bed.vm(&["destroy", "kept"])?.expect(1).error(), REFUSED);
    // It goes on as before.
    bed.vm(&["pause", "kept"])?.expect(0);
    bed.vm(&["cont", "kept"])?.expect(0);
    bed.hook("before_vm_destroy", "50_strict", "exit 0")?;
    bed.vm(&["destroy", "kept"])?.expect(0);
    assert_eq!(bed.counted(UUID), ["after_vm_destroy"]);
    agent.stop()?;
    bed.finish()
}

fn c05_a_device_never_stops_a_destroy() -> Result {
    let bed = Bed::embedded()?;
    strict(&bed, "before_device_destroy", NO)?;
    bed.spy(&["before_vm_destroy", "after_vm_destroy"])?;
    let options = GuestOptions {
        metadata: "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device devtype='interface' mac_address='52:54:00:00:00:0a'>\
                   <v:custom><v:property name='link'>slow</v:property></v:custom></v:device></v:vm>"
            .into(),
        devices: "<interface type='user'><mac address='52:54:00:00:00:0a'/></interface>".into(),
        ..Default::default()
    };
    let xml = bed.file("gone.xml", &bed.xml("gone", options))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    let done = bed.vm(&["destroy", "gone"])?.expect(0);
    assert!(
        done.stderr.contains("proceed: before_device_destroy: 1 of 1 hook failed")
            && done.stderr.contains("not now"),
        "{}",
        done.stderr
    );
    assert_eq!(bed.state("gone")?, None);
    assert_eq!(points(&bed.seen()), ["before_vm_destroy", "after_vm_destroy"]);
    bed.finish()
}
