// SPDX-License-Identifier: Apache-2.0
//! `package`: what it says, and what it refuses.

use crate::case::Case;

const MANIFEST: &str = "manifest = 1\nname = \"mine\"\nversion = \"1.0\"\nsummary = \"Does a thing\"\n\
    description = \"Does a thing.\"\nlicence = \"MIT\"\nmaintainer = \"A <a@example.org>\"\n\
    [[point]]\nname = \"before_vm_start\"\nfile = \"50_mine\"\n";

fn case() -> Case {
    Case::new().file("mine/hook.toml", MANIFEST).file("mine/before_vm_start.sh", "#!/bin/sh\nexit 0\n")
}

#[test]
fn each_format_has_its_name() {
    for (format, name) in [
        ("rpm", "virt-hook-mine-1.0-1.noarch.rpm"),
        ("deb", "virt-hook-mine_1.0_all.deb"),
        ("tar", "virt-hook-mine-1.0.tar.gz"),
    ] {
        let done = case().says(&format!("package mine --out out/here --format {format}")).run().ended(0);
        assert_eq!(done.stdout, format!("out/here/{name}\n"));
        assert!(done.path(&format!("out/here/{name}")).is_file());
    }
}

#[test]
fn mistakes_are_one_line_and_leave_nothing() {
    let line = Case::new().says("package hooks").run().refused(3);
    assert_eq!(line, "hooks is not a hook package: it has no hook.toml; \"virt-hooks new hook\" makes one");
    let line = Case::new().says("package nowhere").run().refused(3);
    assert!(line.starts_with("read nowhere/hook.toml: No such file"), "{line}");
    let line = case()
        .file("mine/hook.toml", MANIFEST.replace("mine", "../mine"))
        .says("package mine")
        .run()
        .refused(3);
    assert!(line.starts_with("mine/hook.toml:2:1: "), "{line}");
    let line = case().variable("SOURCE_DATE_EPOCH", "today").says("package mine").run().refused(2);
    assert!(line.starts_with("SOURCE_DATE_EPOCH is \"today\""), "{line}");
    let line = case().says("package mine --format exe").run().refused(2);
    assert!(line.contains("[possible values: rpm, deb, tar]"), "{line}");
    // Out is a file.
    let line = case().says("package mine --out dom.xml").run().refused(3);
    assert!(line.starts_with("make dom.xml: "), "{line}");
}

#[test]
fn an_unknown_point_is_pointed_out() {
    let manifest = MANIFEST.replace("before_vm_start", "before_vm_strat");
    let case = case().file("mine/hook.toml", manifest).file("mine/before_vm_strat.sh", "#!/bin/sh\n");
    let done = case.says("package mine").run().ended(0);
    assert!(done.stderr.starts_with("warning: mine: no hook point \"before_vm_strat\""), "{}", done.stderr);
    // Points of this host are known.
    let point = "[[point]]\nname = \"before_vm_strat\"\nsummary = \"Plan\"\n";
    let manifest = MANIFEST.replace("before_vm_start", "before_vm_strat");
    let case = self::case().file("mine/hook.toml", manifest).file("mine/before_vm_strat.sh", "#!/bin/sh\n");
    let done = case.file("points.d/mine.toml", point).says("package mine").run().ended(0);
    assert_eq!(done.stderr, "");
}
