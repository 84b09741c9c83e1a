// SPDX-License-Identifier: Apache-2.0
//! Hooks that run tools of the host, with the real tools, apart from the host: the network is the test's own, and
//! `/run` too.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

mod apart;
mod libvirt;
mod storage;

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use virt_hooks_sdk::serde_json::{self, Value, json};

const PLACE: &str = "set -e
    mount -t tmpfs tmpfs /run
    mount -t sysfs sysfs /sys
    mkdir /run/tmp";

const VM: &str = "b5622e62-5d1a-4c69-af78-7f70d629869d";
const QEMU_IMG: &str = "/usr/bin/qemu-img";

/// A tool: the word for it, where hooks look for it, and how one gets it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    QemuImg,
    Ip,
    Ethtool,
    Guestfs,
    Lvm,
    Libvirtd,
    Sasl,
}

impl Tool {
    fn missing(self) -> Option<(&'static str, String)> {
        let (word, file, package) = match self {
            Self::QemuImg if Path::new(QEMU_IMG).is_file() => return None,
            Self::QemuImg => ("qemu-img", QEMU_IMG, "qemu-utils"),
            Self::Ip if answers("ip", "-V") => return None,
            Self::Ip => ("ip", "ip", "iproute2"),
            Self::Ethtool if answers("ethtool", "--version") && answers("ip", "-V") => return None,
            Self::Ethtool => ("ethtool", "ethtool or ip", "ethtool and iproute2"),
            Self::Guestfs => return storage::no_guestfs().map(|reason| ("guestfs", reason)),
            Self::Libvirtd => return libvirt::missing().map(|reason| ("libvirtd", reason)),
            Self::Sasl => return libvirt::no_sasl().map(|reason| ("sasl", reason)),
            Self::Lvm => return storage::no_lvm().map(|reason| ("lvm", reason)),
        };
        Some((word, format!("{file} is missing; install {package}")))
    }
}

fn answers(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A directory with hooks.
struct Place {
    directory: tempfile::TempDir,
    payload: PathBuf,
}

/// How a hook ended.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    stderr: String,
}

impl Done {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self
    }
}

impl Place {
    fn new(payload: &str) -> Self {
        let directory = tempfile::tempdir_in("/run/tmp").unwrap();
        let place = Self { payload: directory.path().join("payload"), directory };
        fs::write(&place.payload, payload).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a hook with a property, or none.
    fn run(&self, hook: &str, property: Option<(&str, &str)>) -> Done {
        self.run_with(hook, property, &[])
    }

    /// Runs it with more in its environment.
    fn run_with(&self, hook: &str, property: Option<(&str, &str)>, more: &[(&str, &str)]) -> Done {
        let link = self.path(hook);
        if !link.exists() {
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(env!("CARGO_BIN_EXE_virt-hooks-bundled"), &link).unwrap();
        }
        let mut command = Command::new(&link);
        command.env("_hook_domxml", &self.payload).env("_hook_json", &self.payload).env("vmId", VM);
        command.envs(property).envs(more.iter().copied());
        let output = command.stdin(Stdio::null()).output().unwrap();
        Done { code: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.payload).unwrap()
    }
}

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn checkimages_tells_damaged_images_from_sound_ones() {
    const HOOK: &str = "before_vm_start/60_checkimages";
    let place = Place::new("");
    let image = place.path("disk.qcow2");
    let path = image.to_str().unwrap();
    let xml = format!(
        "<domain><devices><disk type='file' device='disk'><driver type='qcow2'/><source file='{path}'/></disk></devices></domain>"
    );
    fs::write(&place.payload, &xml).unwrap();
    tool(QEMU_IMG, &["create", "-q", "-f", "qcow2", path, "1M"]);
    let yes = Some(("checkimages", "true"));
    assert!(place.run(HOOK, yes).expect(0).stderr.contains("No errors"));

    // A cluster that nothing uses any more is lost space only.
    let file = fs::File::options().read(true).write(true).open(&image).unwrap();
    let sound = fs::read(&image).unwrap();
    let number = |at: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_be_bytes(bytes)
    };
    let cluster = 1 << 16;
    let counts = number(number(48));
    let clusters = file.metadata().unwrap().len().div_ceil(cluster);
    file.set_len((clusters + 1) * cluster).unwrap();
    file.write_all_at(&1_u16.to_be_bytes(), counts + clusters * 2).unwrap();
    assert!(place.run(HOOK, yes).expect(0).stderr.contains("leaked"));

    // The first entry of the table points nowhere.
    fs::write(&image, sound).unwrap();
    file.write_all_at(&0x8000_0000_0000_0200_u64.to_be_bytes(), number(40)).unwrap();
    let done = place.run(HOOK, yes).expect(2);
    assert!(done.stderr.contains("did not pass qemu-img check"), "{}", done.stderr);
    place.run(HOOK, Some(("checkimages", "off"))).expect(0);

    fs::write(&image, "no image").unwrap();
    assert!(place.run(HOOK, yes).expect(2).stderr.contains("not in qcow2 format"));
    assert_eq!(place.text(), xml);
}

fn scratchpad_makes_images_and_removes_them() {
    const START: &str = "before_vm_start/50_scratchpad";
    const END: &str = "after_vm_destroy/50_scratchpad";
    let xml = "<domain><devices/></domain>";
    let place = Place::new(xml);
    let (first, second) = (place.path("-a b"), place.path("b"));
    let value = format!("20G,{}:100k,{}", first.display(), second.display());
    place.run(START, Some(("scratchpad", &value))).expect(0);
    for (image, size) in [(&first, 20_u64 << 30), (&second, 100 << 10)] {
        let path = image.to_str().unwrap();
        let known: Value =
            serde_json::from_str(&tool(QEMU_IMG, &["info", "--output", "json", "-f", "raw", path])).unwrap();
        assert_eq!(known["virtual-size"], size, "{known}");
        assert!(fs::metadata(image).unwrap().blocks() * 512 < 100 << 10, "space is not reserved");
        assert!(place.text().contains(&format!("<source file=\"{path}\"/>")), "{}", place.text());
    }
    let records = Path::new("/run/vdsm").join(VM);
    assert!(records.is_dir());
    place.run(END, Some(("scratchpad", &value))).expect(0);
    assert!(!first.exists() && !second.exists() && !records.exists());

    // What cannot be made is not left half made, and the payload is as before.
    fs::write(&place.payload, xml).unwrap();
    for (size, directory) in [("9".repeat(30) + "T", "."), ("1G".to_owned(), "none")] {
        let value = format!("1M,{}:{size},{}", first.display(), place.path(directory).join("c").display());
        let done = place.run(START, Some(("scratchpad", &value))).expect(2);
        assert!(done.stderr.contains("qemu-img"), "{}", done.stderr);
        assert!(!first.exists() && !place.path("c").exists() && !records.exists());
        assert_eq!(place.text(), xml);
    }
}

/// The payload of a network's setup.
fn setup(networks: &Value) -> String {
    json!({"request": {"networks": networks, "bondings": {}, "options": {}}}).to_string()
}

/// Devices that this test alone sees, gone when it ends.
struct Devices(&'static str);

impl Devices {
    fn bridge(name: &'static str) -> Self {
        tool("ip", &["link", "add", name, "type", "bridge"]);
        Self(name)
    }

    fn addresses(&self) -> BTreeSet<String> {
        let links: Value =
            serde_json::from_str(&tool("ip", &["-4", "-j", "addr", "show", "dev", self.0])).unwrap();
        let infos = links[0]["addr_info"].as_array().into_iter().flatten();
        infos.map(|a| format!("{}/{}", a["local"].as_str().unwrap(), a["prefixlen"])).collect()
    }

    fn offloads(&self) -> String {
        tool("ethtool", &["-k", self.0])
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        // The namespace takes it in any case.
        let _ = Command::new("ip").args(["link", "del", self.0]).status();
    }
}

fn extra_ipv4_addrs_are_added_once() {
    const HOOK: &str = "after_network_setup/40_extra_ipv4_addrs";
    let device = Devices::bridge("vhred");
    let custom = json!({"ipv4_addrs": "192.0.2.7/24, 198.51.100.1/32,203.0.113.300/24"});
    let payload = setup(&json!({"vhred": {"bridged": true, "nic": "em1", "custom": custom}}));
    let place = Place::new(&payload);
    for _ in 0..2 {
        let done = place.run(HOOK, None).expect(0);
        assert!(
            done.stderr.contains("not \"203.0.113.300/24\"") && done.stderr.lines().count() == 1,
            "{done:?}"
        );
        let wanted = ["192.0.2.7/24", "198.51.100.1/32"].map(str::to_owned);
        assert_eq!(device.addresses(), wanted.into());
    }
    assert_eq!(place.text(), payload);

    // What ip refuses is told, and refuses nothing.
    fs::write(&place.payload, setup(&json!({"none": {"bridged": true, "custom": custom}}))).unwrap();
    let done = place.run(HOOK, None).expect(0);
    assert!(done.stderr.contains("addr add dev none 192.0.2.7/24"), "{}", done.stderr);
    fs::write(&place.payload, setup(&json!({"n": {"bridged": false, "nic": "none", "custom": custom}})))
        .unwrap();
    assert!(place.run(HOOK, None).expect(2).stderr.contains("is not there"));
}

fn ethtool_options_are_set() {
    const HOOK: &str = "after_network_setup/30_ethtool_options";
    let device = Devices::bridge("vhnic");
    let state = |on: bool| format!("generic-segmentation-offload: {}", if on { "on" } else { "off" });
    assert!(device.offloads().contains(&state(true)), "{}", device.offloads());
    let network = |options: &str| setup(&json!({"n": {"nic": "vhnic", "custom": {"ethtool_opts": options}}}));
    let place = Place::new(&network("--offload * gso off"));
    place.run(HOOK, None).expect(0);
    assert!(device.offloads().contains(&state(false)), "{}", device.offloads());
    fs::write(&place.payload, network("-K vhnic gso on")).unwrap();
    place.run(HOOK, None).expect(0);
    assert!(device.offloads().contains(&state(true)), "{}", device.offloads());

    // What ethtool refuses is told, and refuses nothing.
    fs::write(&place.payload, network("-G vhnic rx 4096")).unwrap();
    let done = place.run(HOOK, None).expect(0);
    assert!(done.stderr.contains("-G vhnic rx 4096"), "{}", done.stderr);
    // Another device is none of the network's.
    fs::write(&place.payload, network("-K lo gso off")).unwrap();
    place.run(HOOK, None).expect(2);
}

fn main() {
    let mut arguments = Arguments::from_args();
    // They share /run and the network.
    arguments.test_threads = Some(1);
    let apart = apart::enter(PLACE, arguments.list).err().map(|reason| ("unshare", reason));
    let tests: [(&str, Tool, fn()); 8] = [
        ("checkimages", Tool::QemuImg, checkimages_tells_damaged_images_from_sound_ones),
        ("scratchpad", Tool::QemuImg, scratchpad_makes_images_and_removes_them),
        ("extra_ipv4_addrs", Tool::Ip, extra_ipv4_addrs_are_added_once),
        ("ethtool_options", Tool::Ethtool, ethtool_options_are_set),
        ("fileinject", Tool::Guestfs, storage::fileinject_writes_into_the_guest),
        ("vmfex_dev", Tool::Libvirtd, libvirt::vmfex_dev_keeps_a_pool),
        ("vmfex_dev_login", Tool::Sasl, libvirt::vmfex_dev_logs_in_as_vdsm_does),
        ("localdisk", Tool::Lvm, storage::localdisk_makes_a_volume_and_uses_it_again),
    ];
    let trials = tests.map(|(name, tool, run)| {
        let missing = apart.clone().or_else(|| tool.missing());
        if let Some((_, reason)) = &missing {
            eprintln!("{name} is ignored: {reason}");
        }
        let needs = missing.as_ref().map(|(word, _)| format!("::needs_{word}")).unwrap_or_default();
        let run = move || -> Result<(), Failed> {
            run();
            Ok(())
        };
        Trial::test(format!("{name}{needs}"), run).with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}
