// SPDX-License-Identifier: Apache-2.0
//! `vm apply`: what hooks make of a VM, in its stored definition.

use crate::bed::{Bed, START, UUID};
use crate::traces::{entries, points};
use crate::{Result, tests};
use std::fs;
use virt_hooks_libvirt::{Domain, XmlFlags};
use virt_hooks_testhost::GuestOptions;

tests! {
    HookScript what_was_applied_is_what_virsh_starts,
    Daemon twice_is_as_good_as_once_and_undone_is_as_before,
    Daemon what_others_changed_since_stays_or_is_asked_about,
    HookScript other_hooks_have_to_be_applied_again,
    Daemon a_refusal_leaves_the_definition,
    Daemon a_copy_of_an_applied_definition_is_told,
}

const STORED: XmlFlags = XmlFlags { secure: true, inactive: true, migratable: false };

/// Makes the title longer each time, and the VM as large as it likes.
const GROW: &str = "sed -i -e 's/>16384</>24576</g' -e 's|<title>|&x|' -e t -e 's|</name>|&<title>x</title>|' \"$_hook_domxml\"";

fn defined(bed: &Bed) -> Result<Domain> {
    Ok(bed.connect()?.define_xml(&bed.xml("web", GuestOptions::default()))?)
}

fn title(xml: &str) -> &str {
    xml.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map_or("", |(title, _)| title)
}

fn what_was_applied_is_what_virsh_starts() -> Result {
    let bed = Bed::with_hook_script()?;
    fs::write(bed.path("config.toml"), "require_agent = true\n")?;
    let vm = defined(&bed)?;
    bed.hook("before_vm_start", "10_grow", GROW)?;
    bed.spy(&START)?;
    bed.virsh(&["start", "web"])?.expect(1);
    assert!(bed.path("state/unheeded").join(UUID).exists());
    bed.vm(&["apply", "web"])?.expect(0);
    assert!(!bed.path("state/unheeded").join(UUID).exists());
    bed.seen();
    bed.virsh(&["start", "web"])?.expect(0);
    assert!(bed.qemu("web").unwrap().contains("25165824"));
    // They run all the same: a hook may do more than change XML, and may say no.
    assert_eq!(points(&bed.seen()), START);
    assert_eq!(entries(&bed.path("state/unheeded")).len(), 0);
    bed.virsh(&["destroy", "web"])?.expect(0);
    // A driver has them run on what there was before.
    bed.vm(&["start", "web"])?.expect(0);
    assert_eq!(title(&vm.xml(XmlFlags::default())?), "x");
    assert_eq!(title(&bed.seen()[0].payload), "x", "the spy comes after the hook");
    bed.vm(&["destroy", "web"])?.expect(0);
    vm.undefine()?;
    drop(vm);
    bed.finish()
}

fn twice_is_as_good_as_once_and_undone_is_as_before() -> Result {
    let bed = Bed::with_daemon()?;
    let options = GuestOptions {
        devices: "<graphics type='vnc' passwd='s3cret' port='-1' autoport='yes'/>".into(),
        ..Default::default()
    };
    let vm = bed.connect()?.define_xml(&bed.xml("web", options))?;
    let before = vm.xml(STORED)?;
    bed.hook("before_vm_start", "10_grow", GROW)?;

    let dry = bed.vm(&["apply", "web", "--dry-run", "--diff"])?.expect(0);
    assert!(dry.stdout.contains("<title>x</title>") && !dry.stdout.contains("s3cret"), "{}", dry.stdout);
    assert!(dry.stderr.ends_with("would be applied: the definition of VM web\n"), "{}", dry.stderr);
    assert_eq!(vm.xml(STORED)?, before);

    bed.vm(&["apply", "web"])?.expect(0);
    let applied = vm.xml(STORED)?;
    assert!(title(&applied) == "x" && applied.contains("s3cret"), "{applied}");
    for arguments in [&["apply", UUID][..], &["apply", "web", "--dry-run"]] {
        let again = bed.vm(arguments)?.expect(0);
        assert!(again.stderr.ends_with("unchanged: the definition of VM web\n"), "{}", again.stderr);
        assert_eq!(vm.xml(STORED)?, applied);
    }
    let report = bed.path("report.json");
    bed.vm(&["apply", "web", "--undo", "--report", report.to_str().unwrap()])?.expect(0);
    assert!(fs::read_to_string(report)?.contains("\"verb\": \"apply\""));
    assert_eq!(vm.xml(STORED)?, before);
    assert_eq!(entries(&bed.path("state/applied")).len(), 0);
    let done = bed.vm(&["apply", "web", "--undo"])?.expect(3);
    assert_eq!(
        done.only_error(),
        "no hooks were applied to the definition of VM web: there is nothing to undo"
    );
    vm.undefine()?;
    drop(vm);
    bed.finish()
}

fn what_others_changed_since_stays_or_is_asked_about() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    let vm = defined(&bed)?;
    let before = vm.xml(STORED)?;
    bed.hook("before_vm_start", "10_grow", GROW)?;
    bed.vm(&["apply", "web"])?.expect(0);
    // Far from what hooks changed.
    let edited = vm.xml(STORED)?.replace("<on_crash>destroy", "<on_crash>preserve");
    connection.define_xml(&edited)?;
    bed.vm(&["apply", "web"])?.expect(0);
    let again = vm.xml(STORED)?;
    assert!(title(&again) == "x" && again.contains("<on_crash>preserve"), "{again}");
    // In the middle of it.
    connection.define_xml(&again.replace("<title>x<", "<title>mine<"))?;
    let mine = vm.xml(STORED)?;
    for arguments in [&["apply", "web"][..], &["apply", "web", "--undo"], &["start", "web"]] {
        let done = bed.vm(arguments)?.expect(3);
        assert!(
            done.only_error()
                .starts_with("the definition of VM web was changed where hooks had changed it: ")
        );
        assert_eq!(vm.xml(STORED)?, mine);
    }
    connection.define_xml(&again)?;
    bed.vm(&["apply", "web", "--undo"])?.expect(0);
    assert_eq!(vm.xml(STORED)?, before.replace("<on_crash>destroy", "<on_crash>preserve"));
    vm.undefine()?;
    drop((vm, connection));
    bed.finish()
}

fn other_hooks_have_to_be_applied_again() -> Result {
    let bed = Bed::with_hook_script()?;
    fs::write(bed.path("config.toml"), "require_agent = true\n")?;
    let vm = defined(&bed)?;
    let before = vm.xml(STORED)?;
    bed.hook("before_vm_start", "10_grow", GROW)?;
    bed.vm(&["apply", "web"])?.expect(0);
    bed.hook(
        "before_vm_start",
        "20_describe",
        "sed -i 's|</title>|&<description>new</description>|' \"$_hook_domxml\"",
    )?;
    bed.virsh(&["start", "web"])?.expect(1);
    bed.vm(&["apply", "web"])?.expect(0);
    bed.virsh(&["start", "web"])?.expect(0);
    assert!(vm.xml(XmlFlags::default())?.contains("<description>new</description>"));
    bed.virsh(&["destroy", "web"])?.expect(0);
    // Hooks that have nothing to change any more leave what was there before all of them.
    for name in ["10_grow", "20_describe"] {
        bed.hook("before_vm_start", name, "")?;
    }
    bed.vm(&["apply", "web"])?.expect(0);
    assert_eq!(vm.xml(STORED)?, before);
    vm.undefine()?;
    drop(vm);
    bed.finish()
}

fn a_refusal_leaves_the_definition() -> Result {
    let bed = Bed::with_daemon()?;
    let vm = defined(&bed)?;
    let before = vm.xml(STORED)?;
    bed.hook("before_vm_start", "10_grow", GROW)?;
    bed.hook("before_vm_start", "20_no", "exit 1")?;
    let done = bed.vm(&["apply", "web"])?.expect(1);
    assert!(done.error().contains("apply hooks to VM web: vetoed at before_vm_start: Hook Error: 20_no"));
    assert_eq!(vm.xml(STORED)?, before);
    // Something libvirt does not take.
    bed.hook("before_vm_start", "20_no", "sed -i 's|<vcpu [^<]*<|<vcpu>none<|' \"$_hook_domxml\"")?;
    bed.vm(&["apply", "web"])?.expect(4);
    assert_eq!(vm.xml(STORED)?, before);
    assert_eq!(entries(&bed.path("state/applied")).len(), 0);
    vm.undefine()?;
    drop(vm);
    bed.finish()
}

fn a_copy_of_an_applied_definition_is_told() -> Result {
    let bed = Bed::with_daemon()?;
    let vm = defined(&bed)?;
    bed.hook("before_vm_start", "10_grow", GROW)?;
    bed.vm(&["apply", "web"])?.expect(0);
    let copy = vm
        .xml(STORED)?
        .replace("<name>web<", "<name>copy<")
        .replace(UUID, "6f0c2a3e-1111-4222-8333-444455557777");
    let copy = bed.connect()?.define_xml(&copy)?;
    let done = bed.vm(&["apply", "copy"])?.expect(3);
    assert!(done.only_error().starts_with("hooks were applied to the definition of VM copy, but not here"));
    copy.undefine()?;
    vm.undefine()?;
    drop((vm, copy));
    bed.finish()
}
