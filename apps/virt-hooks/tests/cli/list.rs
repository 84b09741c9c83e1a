// SPDX-License-Identifier: Apache-2.0
//! `list`.

use crate::case::Case;
use serde_json::json;

/// Two layers with everything in them.
fn host() -> Case {
    Case::new()
        .hook("before_vm_start/10_a", "vendor")
        .hook("before_vm_start/20_b", "vendor")
        .hook("before_vm_start/30_c~", "backup")
        .file("hooks/before_vm_start/helpers.py", "x = 1\n")
        .hook("after_vm_start/10_a", "vendor")
        .hook("before_vm_strat/10_lost", "misspelt")
        .file("hooks/after_vm_pause/only.txt", "no hook")
        .executable("admin/before_vm_start/10_a", "admin")
        .link("admin/before_vm_start/20_b", "/dev/null")
        .says("--hooks-dir hooks --hooks-dir admin list")
}

#[test]
fn for_people() {
    let done = host().run().ended(0);
    let root = done.path("");
    let root = root.to_str().unwrap();
    let text = done.stdout.replace(root, "");
    let squeezed: Vec<String> =
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        squeezed,
        [
            "after_vm_pause",
            "only.txt hooks/after_vm_pause not run: not executable",
            "after_vm_start",
            "10_a hooks/after_vm_start",
            "before_vm_start",
            "10_a admin/before_vm_start",
            "10_a hooks/before_vm_start not run: overridden by admin/before_vm_start/10_a",
            "20_b hooks/before_vm_start not run: masked by admin/before_vm_start/20_b",
            "30_c~ hooks/before_vm_start not run: its name looks like a backup copy",
            "helpers.py hooks/before_vm_start not run: not executable",
            "before_vm_strat not a hook point: did you mean \"before_vm_start\"?",
            "10_lost hooks/before_vm_strat",
        ]
    );
}

#[test]
fn of_one_point() {
    let done = host().says("after_vm_start").run().ended(0);
    assert!(done.stdout.starts_with("after_vm_start\n  10_a  "), "{}", done.stdout);
    assert_eq!(done.stdout.lines().count(), 2);
    // Not a hook point, but a directory that is there.
    host().says("before_vm_strat").run().ended(0);
}

#[test]
fn for_programs_in_the_shape_of_vdsm() {
    let done = host().says("--format json").run().ended(0);
    let listed: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let points: Vec<&String> = listed.as_object().unwrap().keys().collect();
    assert_eq!(points, ["after_vm_start", "before_vm_start", "before_vm_strat"]);
    // sha256sum of "#!/bin/sh\nadmin\n".
    let sum = std::process::Command::new("sha256sum")
        .arg(done.path("admin/before_vm_start/10_a"))
        .output()
        .unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let sum = sum.split(' ').next().unwrap();
    assert_eq!(listed["before_vm_start"], json!({"10_a": {"checksum": sum}}));
    let one = host().says("--format json after_vm_pause").run().ended(0);
    assert_eq!(one.stdout, "{}\n");
}

#[test]
fn nothing_installed() {
    let done = Case::new().says("list before_vm_start").run().ended(0);
    assert_eq!(done.stdout, "");
    assert_eq!(done.stderr, format!("no hooks at before_vm_start in {}\n", done.path("hooks").display()));
}
