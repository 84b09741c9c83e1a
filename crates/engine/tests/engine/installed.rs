// SPDX-License-Identifier: Apache-2.0
//! VDSM contract, installed hooks (section 5.10).

use crate::bench_bed::Bed;
use std::fs;

#[test]
fn points_scripts_and_checksums() {
    let bed = Bed::new();
    bed.file("before_vm_start/50_a", "#!/bin/sh\n", 0o755);
    bed.file("before_vm_start/helper.py", "x\n", 0o644);
    bed.file("after_vm_start/only_text", "x\n", 0o644);
    bed.file("my_own_directory/x", "#!/bin/sh\n", 0o755);
    bed.file("stray", "#!/bin/sh\n", 0o755);
    bed.admin("before_vm_start/60_b", "");
    let engine = bed.engine();
    let installed = engine.installed().unwrap();
    // sha256 of "#!/bin/sh\n"
    let sh = "#!/bin/sh\n";
    let known = installed["before_vm_start"]["50_a"].clone();
    let out = std::process::Command::new("sha256sum")
        .arg(bed.path("vendor/before_vm_start/50_a"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).starts_with(&known), "{known} for {sh:?}");
    assert_eq!(installed["before_vm_start"].keys().collect::<Vec<_>>(), ["50_a", "60_b"]);
    assert_eq!(installed["my_own_directory"]["x"], known, "also directories that are no points");
    assert_eq!(installed.len(), 2);
    // Kept by identity; a changed file is read again.
    assert_eq!(engine.installed().unwrap(), installed);
    fs::write(bed.path("vendor/before_vm_start/50_a"), "#!/bin/sh\necho\n").unwrap();
    assert_ne!(engine.installed().unwrap()["before_vm_start"]["50_a"], known);
}

#[test]
fn no_root_no_hooks() {
    assert!(Bed::new().engine().installed().unwrap().is_empty());
}
