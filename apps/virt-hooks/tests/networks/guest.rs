// SPDX-License-Identifier: Apache-2.0
//! Bonds and VLANs need kernel modules that build machines lack: a small Linux in an emulated machine has them.
//!
//! Debian's kernel and busybox are fetched once, into the directory for files of tests.

use crate::Result;
use crate::bed::picture;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const QEMU: &str = "qemu-system-x86_64";
/// In the order they are loaded.
const MODULES: [&str; 9] = ["llc", "stp", "garp", "mrp", "bridge", "8021q", "tls", "bonding", "veth"];

/// The directory with Debian's packages, unpacked; or why there is none.
pub(crate) fn debian(may_fetch: bool) -> std::result::Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    if root.join("ready").exists() {
        return Ok(root);
    }
    for program in [QEMU, "apt-get", "dpkg", "ldd", "timeout"] {
        let there = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
        if !there {
            return Err(format!("{program} is missing"));
        }
    }
    if !may_fetch {
        return Err("Debian's kernel is not fetched yet".to_owned());
    }
    fetch(&root).map_err(|e| format!("Debian's kernel cannot be fetched ({e}); try `apt-get update`"))?;
    Ok(root)
}

fn fetch(root: &Path) -> Result {
    // Another process may be at it.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let run = |program: &str, arguments: &[&str]| -> Result<String> {
        let done = Command::new(program).args(arguments).current_dir(dir.path()).output()?;
        if !done.status.success() {
            return Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim()).into());
        }
        Ok(String::from_utf8(done.stdout)?)
    };
    let depends = run("apt-cache", &["depends", "linux-image-cloud-amd64"])?;
    let kernel = depends.lines().find_map(|l| l.trim().strip_prefix("Depends: ")).ok_or("no kernel")?;
    run("apt-get", &["download", kernel, "busybox-static"])?;
    for entry in fs::read_dir(dir.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            run("dpkg", &["-x", path.to_str().unwrap(), "."])?;
            fs::remove_file(path)?;
        }
    }
    fs::write(dir.path().join("ready"), "")?;
    match fs::rename(dir.path(), root) {
        Err(e) if !root.join("ready").exists() => Err(e.into()),
        _ => Ok(()),
    }
}

pub(crate) fn bonds_and_vlans_are_set_up_rolled_back_and_removed() -> Result {
    let debian = debian(false)?;
    let dir = tempfile::tempdir()?;
    let up = json!({
        "networks": {
            "mgmt": {"bonding": "bond0", "ipaddr": "192.0.2.10", "prefix": 24, "gateway": "192.0.2.1", "defaultRoute": true},
            "lab": {"bonding": "bond0", "vlan": 27, "mtu": 9000},
            "storage": {"bonding": "bond0", "vlan": 28, "bridged": false, "ipaddr": "198.51.100.5", "prefix": 24}},
        "bondings": {"bond0": {"nics": ["nic1", "nic0"], "options": "mode=1 miimon=100"}}});
    // The bond is made anew; then the kernel refuses an MTU that is larger than that of the NIC below.
    let bad = json!({
        "networks": {"zone": {"nic": "upper", "mtu": 9000}},
        "bondings": {"bond0": {"nics": ["nic0"], "options": "mode=4 miimon=50"}}});
    let down = json!({
        "networks": {"mgmt": {"remove": true}, "lab": {"remove": true}, "storage": {"remove": true}},
        "bondings": {"bond0": {"remove": true}}});
    let mut archive = Archive::default();
    for (name, request) in [("up", &up), ("bad", &bad), ("down", &down)] {
        archive.file(&format!("{name}.json"), 0o644, request.to_string().as_bytes());
    }
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("bin/busybox", 0o755, &fs::read(debian.join("bin/busybox"))?);
    archive.link("bin/sh", "busybox");
    archive.directory("hooks");
    archive.file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\n");
    for module in MODULES.iter().chain(&["macvlan"]) {
        let found = find(&debian.join("lib/modules"), &format!("{module}.ko"))
            .ok_or_else(|| format!("no {module}"))?;
        archive.file(&format!("m/{module}.ko"), 0o644, &fs::read(found)?);
    }
    let ip = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"]
        .map(Path::new)
        .into_iter()
        .find(|p| p.exists())
        .ok_or("no ip")?;
    archive.program("bin/ip", ip)?;
    archive.program("bin/virt-hooks", Path::new(env!("CARGO_BIN_EXE_virt-hooks")))?;
    let initrd = dir.path().join("initrd");
    fs::write(&initrd, archive.end())?;
    let boot = debian.join("boot");
    let kernel =
        fs::read_dir(&boot)?.flatten().map(|e| e.path()).find(|p| p.to_string_lossy().contains("vmlinuz"));
    let said = Command::new("timeout")
        .args([
            "600",
            QEMU,
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "512",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            "stdio",
        ])
        .arg("-kernel")
        .arg(kernel.ok_or("no kernel")?)
        .arg("-initrd")
        .arg(&initrd)
        .args(["-append", "console=ttyS0 quiet loglevel=0 panic=-1"])
        .output()?;
    let said = String::from_utf8_lossy(&said.stdout).replace('\r', "");
    let shown = |name: &str| -> Vec<String> {
        let line = |what: &str| {
            let key = format!("{what} {name} ");
            let line = said
                .lines()
                .find_map(|l| l.strip_prefix(&key))
                .unwrap_or_else(|| panic!("no {key}in:\n{said}"));
            serde_json::from_str::<Vec<Value>>(line).unwrap()
        };
        picture(&line("LINKS"), &line("ROUTES"))
    };
    let code = |name: &str| {
        let key = format!("CODE {name} ");
        said.lines()
            .find_map(|l| l.strip_prefix(&key))
            .unwrap_or_else(|| panic!("no {key}in:\n{said}"))
            .to_owned()
    };
    assert_eq!(code("up"), "0", "{said}");
    let up = shown("up");
    for line in [
        r#"bond0 "bond" mode "active-backup" mtu 9000 up true in "mgmt" []"#,
        r#"bond0.27 "vlan" id 27 mtu 9000 up true in "lab" []"#,
        r#"bond0.28 "vlan" id 28 mtu 1500 up true in null ["\"198.51.100.5\"/24"]"#,
        r#"lab "bridge" mtu 9000 up true in null []"#,
        r#"mgmt "bridge" mtu 1500 up true in null ["\"192.0.2.10\"/24"]"#,
        r#"nic0 "veth" mtu 9000 up true in "bond0" []"#,
        r#"nic1 "veth" mtu 9000 up true in "bond0" []"#,
        r#""default" via "192.0.2.1" dev "mgmt""#,
    ] {
        assert!(up.iter().any(|l| l == line), "no {line} in {up:#?}\n{said}");
    }
    assert_eq!(code("bad"), "4", "{said}");
    assert!(said.contains("all was rolled back"), "{said}");
    assert_eq!(shown("bad"), up, "{said}");
    assert_eq!(code("down"), "0", "{said}");
    let down: Vec<String> = shown("down").iter().map(|l| l.replace("mtu 9000", "mtu 1500")).collect();
    assert_eq!(down, shown("start"), "{said}");
    Ok(())
}

const INIT: &str = r#"#!/bin/busybox sh
# By its path: busybox has an ip of its own.
b=/bin/busybox
export PATH=/bin
$b mkdir -p /dev /proc /sys /run /tmp
$b mount -t devtmpfs d /dev; $b mount -t proc p /proc; $b mount -t sysfs s /sys
exec </dev/null >/dev/ttyS0 2>&1
for m in llc stp garp mrp bridge 8021q tls bonding veth macvlan; do $b insmod /m/$m.ko max_bonds=0 2>/dev/null || $b insmod /m/$m.ko; done
/bin/ip link set lo up
for n in nic0 nic1 nic2; do
    /bin/ip link add $n type veth peer name $n-peer; /bin/ip link set $n up; /bin/ip link set $n-peer up
done
/bin/ip link add link nic2 name upper type macvlan
show() {
    echo "LINKS $1 $(/bin/ip -json -details address show)"
    echo "ROUTES $1 $(/bin/ip -json -4 route show)"
}
show start
for r in up bad down; do
    virt-hooks host setup-networks /$r.json --backend ip --hooks-dir /hooks --run-dir /run/vh --state-dir /state --timeout 60s
    echo "CODE $r $?"
    show $r
done
$b poweroff -f
"#;

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { (entry.file_name() == name).then_some(path) }
    })
}

/// An archive the kernel unpacks as its first root (cpio, "newc").
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    there: BTreeSet<String>,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        let number = self.there.len() + 1;
        if !self.there.insert(name.to_owned()) {
            return;
        }
        let header = format!(
            "070701{number:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0
        );
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn directory(&mut self, name: &str) {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        self.entry(name, 0o040_755, b"");
    }

    fn place(&mut self, name: &str, mode: u32, content: &[u8]) {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        self.entry(name, mode, content);
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.place(name, 0o100_000 | mode, content);
    }

    fn link(&mut self, name: &str, to: &str) {
        self.place(name, 0o120_777, to.as_bytes());
    }

    /// A program with the libraries it is linked with, at their places.
    fn program(&mut self, name: &str, path: &Path) -> Result {
        self.file(name, 0o755, &fs::read(path)?);
        let said = Command::new("ldd").arg(path).output()?;
        for word in String::from_utf8(said.stdout)?.split_whitespace().filter(|w| w.starts_with('/')) {
            self.file(&word[1..], 0o755, &fs::read(word)?);
        }
        Ok(())
    }

    fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"");
        self.bytes
    }
}
