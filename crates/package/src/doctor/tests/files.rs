// SPDX-License-Identifier: Apache-2.0
//! Places, names, links, permissions.

use super::tree::{POINT, SH, Tree, is_root};
use crate::doctor::Severity::{Broken, Hint, Warning};
use crate::doctor::{Kind, examine_on};
use rustix::fs::{CWD, FileType, mknodat};
use std::os::unix::fs::chown;
use std::process::Command;

super::cases! {
    UnknownPoint: unknown_point => |t, k| {
        t.hook_at("before_vm_strat", "50_a", SH, 0o755);
        let f = t.mended(k, Broken, "vendor/before_vm_strat");
        assert!(f.what.ends_with("(1 executable in it): did you mean before_vm_start?"), "{}", f.what);
        assert!(t.at("vendor/before_vm_start/50_a").is_file());
    };
    StrayFile: stray_file => |t, k| {
        t.hook_at("", "after_vm_start.py", SH, 0o755);
        t.mended(k, Broken, "vendor/after_vm_start.py");
        assert!(t.at("vendor/after_vm_start/after_vm_start.py").is_file());
    };
    MisplacedCopy: misplaced_copy => |t, k| {
        t.hook_at("after_vm_start", "50_a", SH, 0o755);
        t.hook_at("before_vm_start", "50_a", SH, 0o644);
        let f = t.mended(k, Warning, "vendor/before_vm_start/50_a");
        assert!(f.what.contains("which runs at after_vm_start"), "{}", f.what);
    };
    Overridden: overridden => |t, k| {
        t.hook("50_a", SH);
        t.dir("admin/before_vm_start");
        t.file("admin/before_vm_start/50_a", SH, 0o755);
        let f = t.mended(k, Hint, "vendor/before_vm_start/50_a");
        assert!(f.what.contains(t.at("admin/before_vm_start/50_a").to_str().unwrap()), "{}", f.what);
    };
    Masked: masked => |t, k| {
        t.hook("50_a", SH);
        t.link("/dev/null", "admin/before_vm_start/50_a");
        t.mended(k, Hint, "vendor/before_vm_start/50_a");
    };
    MaskWithoutHook: mask_without_hook => |t, k| {
        t.hook("50_smbios", SH);
        t.link("/dev/null", "admin/before_vm_start/50_smbois");
        let f = t.only(k, Warning, "admin/before_vm_start/50_smbois");
        assert!(f.mend.ends_with("/50_smbios"), "{}", f.mend);
    };
    HiddenName: hidden_name => |t, k| {
        t.hook(".50_a", SH);
        t.mended(k, Warning, "vendor/before_vm_start/.50_a");
    };
    BackupName: backup_name => |t, k| {
        t.hook("50_a.rpmsave", SH);
        t.mended(k, Warning, "vendor/before_vm_start/50_a.rpmsave");
        assert!(t.at("vendor/before_vm_start/50_a").is_file());
        t.hook("50_a~", SH);
        t.mended(k, Hint, "vendor/before_vm_start/50_a~");
    };
    OrderSurprise: order_surprise => |t, k| {
        t.hook("10_a", SH);
        t.hook("9_b", SH);
        let f = t.mended(k, Hint, "vendor/before_vm_start/9_b");
        assert_eq!(f.what, "runs after 10_a");
        assert!(t.at("vendor/before_vm_start/09_b").is_file());
    };
    HelperExecutable: helper_executable => |t, k| {
        t.hook("smbios_utils.py", "#!/usr/bin/python3\n");
        t.mended(k, Warning, "vendor/before_vm_start/smbios_utils.py");
        t.hook("shared.py", "#!/usr/bin/python3\n");
        t.hook("50_a", "#!/usr/bin/python3\nfrom shared import f\n");
        t.mended(k, Warning, "vendor/before_vm_start/shared.py");
    };
    DanglingLink: dangling_link => |t, k| {
        t.link("/no/such/50_a", "vendor/before_vm_start/50_a");
        t.mended(k, Broken, "vendor/before_vm_start/50_a");
        // The file it meant has moved to another layer.
        t.dir("admin/before_vm_start");
        t.file("admin/before_vm_start/50_real", SH, 0o755);
        t.link("../before_vm_strat/50_real", "vendor/before_vm_start/60_a");
        t.mended(k, Broken, "vendor/before_vm_start/60_a");
    };
    LinkLoop: link_loop => |t, k| {
        t.link("50_a", "vendor/before_vm_start/50_a");
        t.mended(k, Broken, "vendor/before_vm_start/50_a");
    };
    LinkToDirectory: link_to_directory => |t, k| {
        t.link("/usr", "vendor/before_vm_start/50_a");
        t.only(k, Broken, "vendor/before_vm_start/50_a");
    };
    NotAFile: not_a_file => |t, k| {
        t.dir("vendor/before_vm_start");
        mknodat(CWD, t.at("vendor/before_vm_start/50_a"), FileType::Fifo, 0o755.into(), 0).unwrap();
        let f = t.mended(k, Warning, "vendor/before_vm_start/50_a");
        assert_eq!(f.what, "does not run: it is a FIFO");
    };
    NotExecutable: not_executable => |t, k| {
        t.hook_at(POINT, "with 'odd' name", SH, 0o644);
        t.mended(k, Broken, "vendor/before_vm_start/with 'odd' name");
    };
    NotExecutableForUser: not_executable_for_user => |t, k| {
        t.as_nobody();
        t.hook_at(POINT, "50_a", SH, 0o744);
        let f = t.mended(k, Broken, "vendor/before_vm_start/50_a");
        assert!(f.what.contains("mode 0744") && f.what.ends_with("for user 65534"), "{}", f.what);
        // At a point of root it is root that counts.
        t.hook_at("before_network_setup", "50_b", SH, 0o744);
        assert_eq!(t.examine(), []);
    };
    UnreadableForUser: unreadable_for_user => |t, k| {
        t.as_nobody();
        t.hook_at(POINT, "50_a", SH, 0o711);
        t.hook_at(POINT, "60_binary", std::fs::read("/bin/true").unwrap(), 0o711);
        t.mended(k, Broken, "vendor/before_vm_start/50_a");
    };
    DirectoryClosed: directory_closed => |t, k| {
        t.as_nobody();
        t.hook("50_a", SH);
        t.hook("60_b", SH);
        t.mode("vendor", 0o700);
        t.mended(k, Broken, "vendor");
    };
    NoexecMount: noexec_mount => |t, k| {
        const INSIDE: &str = "DOCTOR_TEST_INSIDE";
        if std::env::var_os(INSIDE).is_none() {
            // In a mount namespace of its own, so that nothing is left mounted whatever happens.
            let name = std::thread::current().name().unwrap().to_owned();
            let test = std::env::current_exe().unwrap();
            if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|s| s.success()) {
                println!("noexec_mount: skipped, this user cannot make a mount namespace");
                return;
            }
            let inside = Command::new("unshare")
                .args(["--mount", "--propagation", "private"])
                .arg(test)
                .args(["--exact", &name, "--nocapture"])
                .env(INSIDE, "1")
                .output()
                .unwrap();
            assert!(inside.status.success(), "{inside:?}");
            assert!(String::from_utf8_lossy(&inside.stdout).contains("1 passed"), "{inside:?}");
            return;
        }
        t.dir("vendor/before_vm_start");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "noexec,mode=755", "none"])
            .arg(t.at("vendor/before_vm_start"))
            .status()
            .unwrap();
        assert!(mounted.success());
        t.file("vendor/before_vm_start/50_a", SH, 0o755);
        let f = t.mended(k, Broken, "vendor/before_vm_start/50_a");
        assert!(f.what.contains(t.at("vendor/before_vm_start").to_str().unwrap()), "{}", f.what);
        assert!(Command::new("umount").arg(t.at("vendor/before_vm_start")).status().unwrap().success());
    };
    WritableByOthers: writable_by_others => |t, k| {
        t.hook_at(POINT, "50_a", SH, 0o775);
        let f = t.mended(k, Warning, "vendor/before_vm_start/50_a");
        assert!(f.what.starts_with("can be changed by its group"), "{}", f.what);
        // The file a link leads to is the one that counts.
        t.file("elsewhere", SH, 0o757);
        t.link(t.at("elsewhere").to_str().unwrap(), "vendor/before_vm_start/60_b");
        let f = t.mended(k, Warning, "vendor/before_vm_start/60_b");
        assert!(f.what.starts_with("can be changed by anybody"), "{}", f.what);
    };
    WritableDirectory: writable_directory => |t, k| {
        t.hook("50_a", SH);
        t.mode("vendor", 0o777);
        t.mended(k, Warning, "vendor");
        t.dir("elsewhere");
        t.file("elsewhere/hook", SH, 0o755);
        t.link(t.at("elsewhere/hook").to_str().unwrap(), "vendor/before_vm_start/60_b");
        t.mode("elsewhere", 0o775);
        t.mended(k, Warning, "elsewhere");
        // Nobody may replace what belongs to another in a sticky directory.
        t.mode("vendor", 0o1777);
        assert_eq!(t.examine(), []);
    };
    ForeignOwner: foreign_owner => |t, k| {
        if !is_root("foreign_owner") {
            return;
        }
        t.hook("50_a", SH);
        chown(t.at("vendor/before_vm_start/50_a"), Some(4242), None).unwrap();
        t.mended(k, Warning, "vendor/before_vm_start/50_a");
        chown(t.at("vendor"), Some(4242), None).unwrap();
        t.mended(k, Warning, "vendor");
        // The user hooks run as may have hooks of its own, but not at a point of root.
        t.as_nobody();
        chown(t.at("vendor/before_vm_start/50_a"), Some(65534), None).unwrap();
        assert_eq!(t.examine(), []);
        t.hook_at("before_network_setup", "50_b", SH, 0o755);
        chown(t.at("vendor/before_network_setup/50_b"), Some(65534), None).unwrap();
        t.mended(k, Warning, "vendor/before_network_setup/50_b");
    };
    SetIdScript: set_id_script => |t, k| {
        t.hook_at(POINT, "50_a", SH, 0o4755);
        t.mended(k, Warning, "vendor/before_vm_start/50_a");
    };
    UnreadableDirectory: unreadable_directory => |t, k| {
        t.file("vendor/before_vm_start", "", 0o644);
        let f = t.only(k, Broken, "vendor/before_vm_start");
        assert_eq!(f.what, "is not a directory");
    };
}

#[test]
fn an_unknown_point_like_no_other() {
    let t = Tree::new();
    t.hook_at("zzz", "50_a", SH, 0o755);
    t.only(Kind::UnknownPoint, Warning, "vendor/zzz");
    // One that the host itself has described is known.
    t.file("points.d/site.toml", "[[point]]\nname = \"zzz\"\nsummary = \"Sleep\"\n", 0o644);
    assert_eq!(t.examine(), []);
}

#[test]
fn a_name_given_that_is_no_point() {
    let t = Tree::new();
    let findings = examine_on(&t.load().unwrap(), &["before_vm_strat".into()], &t.machine);
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].kind, findings[0].mend.as_str()),
        (Kind::UnknownPoint, "virt-hooks doctor before_vm_start")
    );
}

/// Debian's `run-parts` and VDSM's own helpers: neither data nor modules are taken for hooks that do not run.
#[test]
fn a_file_that_is_not_meant_to_run_is_no_finding() {
    let t = Tree::new();
    for name in ["README", "50_notes.txt", "data.json", "x_utils.py", "lib.cpython-311.pyc"] {
        t.hook_at(POINT, name, "#!/bin/sh\n".repeat(usize::from(name.ends_with("utils.py"))), 0o644);
    }
    assert_eq!(t.examine(), []);
}
