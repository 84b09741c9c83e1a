// SPDX-License-Identifier: Apache-2.0
//! A destroy that is interrupted, against libvirt's built-in `test` driver.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn a_destroy_that_is_interrupted_still_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let hook = |name: &str, body: &str| {
        let path = dir.path().join("hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    };
    hook("before_vm_destroy/10_ctrl_c", "kill -INT $PPID");
    hook("after_vm_destroy/10_cleans", &format!("touch '{}'", dir.path().join("cleaned").display()));
    let done = Command::new(env!("CARGO_BIN_EXE_virt-hooks-vm"))
        .args(["vm", "destroy", "test", "--connect", "test:///default", "--hooks-dir"])
        .arg(dir.path().join("hooks"))
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    if said.contains("libvirt.so.0") {
        eprintln!("not tested, there is no libvirt: {said}");
        return;
    }
    assert_eq!(done.status.code(), Some(0), "{:?} {said}", done.status);
    assert!(dir.path().join("cleaned").exists(), "{said}");
    let left: Vec<_> =
        fs::read_dir(dir.path().join("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["vm"]);
}
