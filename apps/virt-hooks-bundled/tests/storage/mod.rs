// SPDX-License-Identifier: Apache-2.0
//! Hooks that write to disks: with libguestfs, and with LVM on a file.

use super::{Place, QEMU_IMG, VM, answers, tool};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use virt_hooks_sdk::serde_json::{self, Value, json};

/// Why libguestfs cannot be used here, in one line.
pub(crate) fn no_guestfs() -> Option<String> {
    if !answers("guestfish", "--version") || !answers("virt-inspector", "--version") {
        return Some(
            "guestfish or virt-inspector is missing; install guestfish and guestfs-tools".to_owned(),
        );
    }
    let set = |name| std::env::var_os(name).is_some();
    let has_kernel = || {
        let files = fs::read_dir("/boot").into_iter().flatten().flatten();
        files.map(|f| f.file_name()).any(|name| name.to_string_lossy().starts_with("vmlinuz"))
    };
    if set("SUPERMIN_KERNEL") || set("LIBGUESTFS_PATH") || has_kernel() {
        return None;
    }
    Some("no kernel in /boot for libguestfs' appliance, nor SUPERMIN_KERNEL or LIBGUESTFS_PATH".to_owned())
}

/// libguestfs without a daemon, and where KVM cannot be relied on.
const GUESTFS: [(&str, &str); 2] =
    [("LIBGUESTFS_BACKEND", "direct"), ("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")];

fn guestfish(arguments: &[&str]) -> String {
    let mut command = Command::new("guestfish");
    let output = command.args(arguments).envs(GUESTFS).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "guestfish {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn fileinject_writes_into_the_guest() {
    let place = Place::new("");
    let image = place.path("guest.img");
    let image = image.to_str().unwrap();
    // As much of a system as it takes to be known for one.
    let mut words = vec!["-N", "", "-m", "/dev/sda1"];
    let new = format!("{image}=fs:ext2:100M");
    words[1] = &new;
    for directory in ["/etc", "/bin", "/usr", "/boot", "/var/lib/dpkg"] {
        words.extend(["mkdir-p", directory, ":"]);
    }
    words.extend(["write", "/etc/fstab", "/dev/sda1 / ext2 defaults 0 0\n", ":"]);
    words.extend(["write", "/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n", ":"]);
    words.extend(["write", "/etc/debian_version", "12.0\n", ":", "write", "/bin/sh", ""]);
    guestfish(&words);

    let disk = |file: &str| {
        format!("<disk device='disk'><driver type='raw'/><source file='{file}'/><target dev='vda'/></disk>")
    };
    let xml = format!("<domain><devices>{}</devices></domain>", disk(image));
    fs::write(&place.payload, &xml).unwrap();
    let content = "Welcome: $(reboot); 'quoted'\nsecond line";
    let property = format!("/etc/motd:{content}");
    let done = place.run_with("before_vm_start/50_fileinject", Some(("fileinject", &property)), &GUESTFS);
    let done = done.expect(0);
    assert!(done.stderr.contains("/dev/sda1"), "{}", done.stderr);
    let read = guestfish(&["--ro", "--format=raw", "-a", image, "-m", "/dev/sda1", "cat", "/etc/motd"]);
    assert_eq!(read.trim_end(), content);
    assert_eq!(place.text(), xml);
}

const GROUP: &str = "ovirt-local";
const HELPER: &str = "/usr/libexec/vdsm/localdisk-helper";

/// Why LVM cannot be used on a file here, in one line.
pub(crate) fn no_lvm() -> Option<String> {
    if !Path::new("/usr/sbin/lvm").is_file() || !answers("losetup", "--version") {
        return Some("/usr/sbin/lvm or losetup is missing; install lvm2 and mount".to_owned());
    }
    let devices = fs::read_to_string("/proc/devices").unwrap_or_default();
    if !devices.contains("device-mapper") || !Path::new("/dev/loop-control").exists() {
        return Some("the kernel has no device-mapper or no loop devices".to_owned());
    }
    if !Path::new(QEMU_IMG).is_file() {
        return Some(format!("{QEMU_IMG} is missing; install qemu-utils"));
    }
    if answers("/usr/sbin/vgs", GROUP) {
        return Some(format!("this host has a volume group {GROUP} of its own"));
    }
    None
}

/// A volume group on a file, gone when it is dropped.
struct Group {
    device: String,
}

impl Group {
    fn new(file: &str) -> Self {
        let file_size = 256 << 20;
        fs::File::create(file).unwrap().set_len(file_size).unwrap();
        let device = tool("losetup", &["--find", "--show", file]).trim().to_owned();
        let group = Self { device };
        tool("/usr/sbin/lvm", &["vgcreate", GROUP, &group.device]);
        group
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let ends = [&["/usr/sbin/lvm", "vgremove", "-f", GROUP][..], &["losetup", "-d", &self.device]];
        for end in ends {
            let _ = Command::new(end[0]).args(&end[1..]).stdin(Stdio::null()).status();
        }
    }
}

/// The helper in its place; in this mount namespace alone.
struct Helper;

impl Helper {
    fn install() -> Self {
        tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/libexec"]);
        fs::create_dir("/usr/libexec/vdsm").unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hooks/localdisk/localdisk-helper");
        fs::copy(source, HELPER).unwrap();
        tool("chmod", &["0755", HELPER]);
        Self
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("/usr/libexec").status();
    }
}

pub(crate) fn localdisk_makes_a_volume_and_uses_it_again() {
    const HOOK: &str = "after_disk_prepare/localdisk";
    const NAME: &str = "6a4f0a4c-6d9c-4a7f-8f1e-3d0a5a1f9e2b";
    let place = Place::new("");
    // Direct reads and writes need a real file system.
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let image = file("shared.qcow2");
    let raw = file("shared.raw");
    fs::write(&raw, vec![7; 8 << 20]).unwrap();
    tool(QEMU_IMG, &["convert", "-f", "raw", "-O", "qcow2", &raw, &image]);
    let _helper = Helper::install();
    let _group = Group::new(&file("group"));

    let disk = json!({"path": image, "imageID": VM, "volumeID": NAME, "format": "cow", "device": "disk"});
    for _ in 0..2 {
        fs::write(&place.payload, disk.to_string()).unwrap();
        let done = place.run(HOOK, Some(("localdisk", "lvm"))).expect(0);
        let path = format!("/dev/{GROUP}/{NAME}");
        let after: Value = serde_json::from_str(&place.text()).unwrap();
        assert_eq!((&after["path"], &after["format"]), (&json!(path), &json!("raw")), "{}", done.stderr);
        let mut bytes = [0; 4096];
        fs::File::open(&path).unwrap().read_exact_at(&mut bytes, 4 << 20).unwrap();
        assert!(bytes.iter().all(|&b| b == 7), "the copy is not the disk");
        let report: Value = serde_json::from_str(&tool(HELPER, &["list", NAME])).unwrap();
        let tags = report["report"][0]["lv"][0]["lv_tags"].as_str().unwrap().to_owned();
        assert!(tags.contains(&format!("VM_{VM}")) && !tags.contains("UPDATING"), "{tags}");
        // A second start must find what the guest wrote, not another copy.
        fs::write(&image, "gone").unwrap();
    }

    // One that was not finished is made anew, which needs the image.
    tool(HELPER, &["change", "--addtag", "UPDATING", NAME]);
    fs::write(&place.payload, disk.to_string()).unwrap();
    place.run(HOOK, Some(("localdisk", "lvm"))).expect(1);
    assert_eq!(place.text(), disk.to_string());
    tool(QEMU_IMG, &["convert", "-f", "raw", "-O", "qcow2", &raw, &image]);
    place.run(HOOK, Some(("localdisk", "lvm"))).expect(0);
}
