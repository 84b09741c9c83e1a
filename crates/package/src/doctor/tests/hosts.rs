// SPDX-License-Identifier: Apache-2.0
//! What hooks need of the host.

use super::tree::{SH, Tree, is_root};
use crate::doctor::Severity::{Broken, Hint, Warning};
use crate::doctor::explain;
use std::os::unix::fs::chown;

super::cases! {
    NoHooksDirectory: no_hooks_directory => |t, k| {
        std::fs::remove_dir(t.at("admin")).unwrap();
        t.mended(k, Broken, "admin");
    };
    RunDirectoryUnusable: run_directory_unusable => |t, k| {
        t.hook("50_a", SH);
        t.file("run", "", 0o644);
        t.only(k, Broken, "run");
        std::fs::remove_file(t.at("run")).unwrap();
        assert_eq!(t.examine(), []);
        t.as_nobody();
        t.dir("run");
        t.mode("run", 0o700);
        let found = t.examine();
        let f = found.iter().find(|f| f.kind == k).unwrap();
        assert!(f.what.starts_with("cannot be passed by user 65534") && f.mend.starts_with("chmod 711 "), "{f:?}");
    };
    RunDirectoryOpen: run_directory_open => |t, k| {
        if !is_root("run_directory_open") {
            return;
        }
        t.hook("50_a", SH);
        t.dir("run");
        t.mode("run", 0o777);
        chown(t.at("run"), Some(4242), None).unwrap();
        let found = t.examine();
        let f = found.iter().find(|f| f.kind == k).unwrap();
        assert_eq!((f.severity, f.what.as_str()), (Warning, "belongs to user 4242 with mode 0777"));
        assert!(std::process::Command::new("sh").args(["-c", &f.mend]).status().unwrap().success());
        assert!(t.examine().iter().all(|f| f.kind != k));
    };
    RunDirectoryOnDisk: run_directory_on_disk => |t, k| {
        t.hook("50_a", SH);
        t.dir("run");
        let shm = tempfile::tempdir_in("/dev/shm");
        if std::fs::read_to_string("/proc/self/mounts").unwrap().contains(" /tmp tmpfs ") {
            println!("run_directory_on_disk: skipped, temporary files are on a tmpfs here");
            return;
        }
        t.only(k, Hint, "run");
        // One on a tmpfs is as it should be.
        if let Ok(shm) = shm {
            let mut host = t.load().unwrap();
            host.settings.run_dir = shm.path().into();
            assert_eq!(super::examine_on(&host, &[], &t.machine), []);
        }
    };
    HookingMissing: hooking_missing => |t, k| {
        std::fs::remove_file(t.at("python/hooking.py")).unwrap();
        t.hook("50_a", SH);
        assert_eq!(t.examine(), []);
        t.hook("60_b", "#!/usr/bin/python3\nimport os, hooking\n");
        let f = t.only(k, Broken, "python");
        assert!(f.what.ends_with("60_b imports"), "{}", f.what);
        // A package of that name will do, and so will one that the engine's own environment leads to.
        t.dir("python/hooking");
        t.file("python/hooking/__init__.py", "", 0o644);
        assert_eq!(t.examine(), []);
    };
    HookUserMissing: hook_user_missing => |t, k| {
        t.file("config.toml", "hook_user = \"no-such-user-here\"\n", 0o644);
        let f = explain(&t.load().unwrap_err());
        assert_eq!((f.kind, f.severity, f.path), (k, Broken, t.at("config.toml")));
        assert!(f.what.contains("no-such-user-here"), "{}", f.what);
    };
    ConfigUnusable: config_unusable => |t, k| {
        t.file("config.toml", "\n\nhook_usr = \"x\"\n", 0o644);
        let f = explain(&t.load().unwrap_err());
        assert_eq!((f.kind, &f.path), (k, &t.at("config.toml")));
        assert!(f.what.contains("did you mean \"hook_user\"") && f.mend.contains(" +3 "), "{f:?}");
        std::fs::remove_file(t.at("config.toml")).unwrap();
        assert_eq!(explain(&t.load().unwrap_err()).kind, k);
    };
    ConfigUnknownPoint: config_unknown_point => |t, k| {
        t.file("config.toml", "[points.before_vm_strat]\ntimeout = \"3s\"\n", 0o644);
        t.mended(k, Warning, "config.toml");
        assert!(std::fs::read_to_string(t.at("config.toml")).unwrap().starts_with("[points.before_vm_start]\n"));
    };
    ConfigUnknownHook: config_unknown_hook => |t, k| {
        t.hook("50_smbios", SH);
        t.file("config.toml", "[hooks.\"50_smbois\"]\ntimeout = \"3s\"\n[hooks.50_smbios]\n", 0o644);
        let f = t.only(k, Warning, "config.toml");
        assert!(f.what.ends_with("did you mean \"50_smbios\"?"), "{}", f.what);
        t.file("config.toml", "[hooks.\"50_smbois\"]\ntimeout = \"3s\"\n", 0o644);
        t.mended(k, Warning, "config.toml");
    };
    HookScriptDangling: hook_script_dangling => |t, k| {
        t.link("/nowhere/bin/virt-hooks", "etc/libvirt/hooks/qemu.d/50-virt-hooks");
        let f = t.only(k, Broken, "etc/libvirt/hooks/qemu.d/50-virt-hooks");
        assert_eq!(f.what, "leads to /nowhere/bin/virt-hooks, which is not there");
        // A main file of somebody else's is as it should be.
        std::fs::remove_file(t.at("etc/libvirt/hooks/qemu.d/50-virt-hooks")).unwrap();
        t.file_in("etc/libvirt/hooks/qemu", SH);
        assert_eq!(t.examine(), []);
    };
    HookScriptUnseen: hook_script_unseen => |t, k| {
        t.dir("run");
        t.link("/bin/sleep", "run/libvirtd");
        let mut daemon = std::process::Command::new(t.at("run/libvirtd")).arg("3600").spawn().unwrap();
        t.file("run/libvirtd.pid", daemon.id().to_string(), 0o644);
        t.file_in("bin/virt-hooks", SH);
        t.link(t.at("bin/virt-hooks").to_str().unwrap(), "etc/libvirt/hooks/qemu.d/50-virt-hooks");
        let found = t.examine();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        assert_eq!(found.iter().map(|f| (f.kind, f.severity)).collect::<Vec<_>>(), [(k, Broken)], "{found:?}");
        assert!(found[0].what.contains("libvirtd") && found[0].mend == "virt-hooks libvirt-hook install", "{found:?}");
        assert_eq!(t.examine(), [], "one that does not run will see it");
    };
    HookScriptForeign: hook_script_foreign => |t, k| {
        t.file_in("etc/libvirt/hooks/network.d/50-virt-hooks", SH);
        t.only(k, Warning, "etc/libvirt/hooks/network.d/50-virt-hooks");
    };
    EditsWithoutEffect: edits_without_effect => |t, k| {
        t.file_in("var/lib/virt-hooks/unheeded/6f0c2a3e-1111-4222-8333-444455556666", "web 1");
        let f = t.only(k, Warning, "var/lib/virt-hooks/unheeded/6f0c2a3e-1111-4222-8333-444455556666");
        assert!(f.what.contains("VM web 1") && f.mend.starts_with("virt-hooks vm apply 'web 1'"), "{f:?}");
    };
    SelinuxLabel: selinux_label => |t, k| {
        t.hook("50_a", SH);
        let hook = t.at("vendor/before_vm_start/50_a");
        let label = |context: &[u8]| {
            rustix::fs::setxattr(&hook, "security.selinux", context, rustix::fs::XattrFlags::empty())
        };
        if let Err(e) = label(b"unconfined_u:object_r:user_home_t:s0\0") {
            println!("selinux_label: skipped, a label cannot be set here: {e}");
            return;
        }
        assert_eq!(t.examine(), []);
        t.file("selinux", "1", 0o644);
        let f = t.only(k, Hint, "vendor/before_vm_start/50_a");
        assert_eq!(f.what, "has the SELinux type user_home_t, not bin_t");
        label(b"system_u:object_r:bin_t:s0\0").unwrap();
        assert_eq!(t.examine(), []);
    };
    ApparmorProfile: apparmor_profile => |t, k| {
        t.hook("50_a", SH);
        let vendor = t.at("vendor").display().to_string();
        t.file("apparmor", format!("libvirtd (enforce)\n{vendor}/** (complain)\n"), 0o644);
        assert_eq!(t.examine(), []);
        t.file("apparmor", format!("libvirtd (enforce)\n{vendor}/** (enforce)\n"), 0o644);
        t.only(k, Hint, "vendor/before_vm_start/50_a");
    };
}
