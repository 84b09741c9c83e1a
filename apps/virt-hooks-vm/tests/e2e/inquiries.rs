// SPDX-License-Identifier: Apache-2.0
//! What a host and its VMs are asked, on a real libvirt: the answers, and what hooks make of them.

use crate::bed::{Bed, UUID, until};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::{Value, json};
use std::fs;
use virt_hooks_libvirt::Control;
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu caps_have_vdsms_keys_and_their_points,
    Qemu stats_have_vdsms_keys_and_their_points,
    Qemu devices_come_from_the_kernel_where_libvirt_has_none,
    Daemon devices_come_from_libvirt,
    Qemu vm_stats_have_vdsms_keys_and_their_points,
    Daemon stats_do_not_wait_for_a_busy_vm,
    Library c26_a_veto_refuses_the_answer_with_the_hooks_words,
    Library c26_a_hook_after_it_never_breaks_an_answer,
    Library an_unknown_vm_fires_nothing,
}

const HOST_POINTS: [&str; 5] = [
    "before_get_caps",
    "after_get_caps",
    "before_get_stats",
    "after_get_stats",
    "after_hostdev_list_by_caps",
];
const VM_POINTS: [&str; 4] =
    ["before_get_vm_stats", "after_get_vm_stats", "before_get_all_vm_stats", "after_get_all_vm_stats"];

/// A hook that puts a value into the document, without a JSON library.
fn mark(bed: &Bed, point: &str) -> Result {
    bed.hook(point, "50_mark", "sed -i 's/{/{\"marked\": \"yes\", /' \"$_hook_json\"")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {value}"))
}

fn answer(bed: &Bed, arguments: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&bed.run(arguments)?.expect(0).stdout)?)
}

fn caps_have_vdsms_keys_and_their_points() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&HOST_POINTS)?;
    bed.hook("a_directory_of_ours", "10_x", "exit 0")?;
    mark(&bed, "after_get_caps")?;
    let caps = answer(&bed, &["host", "caps"])?;
    assert_eq!(caps["marked"], "yes", "after_get_caps may change the answer");
    let threads = fs::read_to_string("/proc/cpuinfo")?.matches("processor\t").count();
    assert_eq!(text(&caps, "cpuThreads"), threads.to_string());
    let kib: u64 = fs::read_to_string("/proc/meminfo")?.split_whitespace().nth(1).unwrap().parse()?;
    assert_eq!(text(&caps, "memSize"), (kib >> 10).to_string());
    assert!(caps["emulatedMachines"].as_array().unwrap().contains(&json!("pc")), "{caps}");
    assert!(["true", "false"].contains(&text(&caps, "kvmEnabled")));
    assert_eq!(caps["vmTypes"], json!(["kvm"]));
    assert!(text(&caps["packages2"]["libvirt"], "version").contains('.'));
    assert!(caps["nics"].is_object() && caps["bridges"].is_object());
    let hooks = caps["hooks"].as_object().unwrap();
    assert_eq!(text(&hooks["after_get_caps"]["50_mark"], "checksum").len(), 64);
    assert!(hooks.contains_key("a_directory_of_ours"), "as VDSM, every directory with a hook: {hooks:?}");
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_get_caps", "after_get_caps"]);
    assert_eq!((seen[0].payload.as_str(), seen[0].variable("vmId")), ("{}", ""));
    assert_eq!(serde_json::from_str::<Value>(&seen[1].payload)?["memSize"], caps["memSize"]);
    bed.assert_tidy();
    bed.finish()
}

fn stats_have_vdsms_keys_and_their_points() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&HOST_POINTS)?;
    mark(&bed, "after_get_stats")?;
    bed.vm(&["start", "--xml", &bed.plain("counted")?])?.expect(0);
    let stats = answer(&bed, &["host", "stats", "--interval", "100ms"])?;
    assert_eq!(stats["marked"], "yes");
    assert_eq!(
        (&stats["vmCount"], &stats["vmActive"], &stats["vmMigrating"]),
        (&1.into(), &1.into(), &0.into())
    );
    let shares: f64 =
        ["cpuUser", "cpuSys", "cpuIdle"].map(|key| text(&stats, key).parse::<f64>().unwrap()).iter().sum();
    assert!((shares - 100.0).abs() < 0.05, "{shares}");
    assert!(stats["memFree"].as_u64().unwrap() > 0 && stats["swapTotal"].is_u64());
    assert!(text(&stats, "memUsed").parse::<u32>()? <= 100);
    assert!(text(&stats, "dateTime").ends_with(" GMT"));
    assert_eq!(points(&bed.seen()), ["before_get_stats", "after_get_stats"]);
    let since_boot = answer(&bed, &["host", "stats", "--since-boot"])?;
    assert!(text(&since_boot, "cpuIdle").parse::<f64>()? > 0.0);
    bed.vm(&["destroy", "counted"])?.expect(0);
    bed.finish()
}

fn devices_come_from_the_kernel_where_libvirt_has_none() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&HOST_POINTS)?;
    mark(&bed, "after_hostdev_list_by_caps")?;
    let devices = answer(&bed, &["host", "devices"])?;
    assert_eq!(devices["marked"], "yes");
    let expected = fs::read_dir("/sys/bus/pci/devices").map_or(0, Iterator::count);
    let devices = devices.as_object().unwrap();
    assert_eq!(devices.len(), expected + 1);
    for (name, device) in devices.iter().filter(|(name, _)| *name != "marked") {
        assert!(name.starts_with("pci_"), "{name}");
        assert_eq!(device["params"]["capability"], "pci");
        assert!(text(&device["params"], "vendor_id").starts_with("0x"));
    }
    let seen = bed.seen();
    assert_eq!(points(&seen), ["after_hostdev_list_by_caps"], "there is no point before it");
    bed.finish()
}

fn devices_come_from_libvirt() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&HOST_POINTS)?;
    let known = bed.connect()?.node_devices();
    let devices = answer(&bed, &["host", "devices"])?;
    let devices = devices.as_object().unwrap();
    match known {
        // All but the machine itself.
        Ok(known) => assert_eq!(devices.len(), known.iter().filter(|d| d.name != "computer").count()),
        Err(_) => assert!(devices.keys().all(|name| name.starts_with("pci_")), "{devices:?}"),
    }
    assert_eq!(points(&bed.seen()), ["after_hostdev_list_by_caps"]);
    bed.finish()
}

fn vm_stats_have_vdsms_keys_and_their_points() -> Result {
    let bed = Bed::embedded()?;
    let nic = "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>";
    let options = GuestOptions { devices: nic.into(), ..Default::default() };
    let xml = bed.file("counted.xml", &bed.xml("counted", options))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    bed.spy(&VM_POINTS)?;
    mark(&bed, "after_get_vm_stats")?;
    let one = answer(&bed, &["vm", "stats", "counted", "--interval", "100ms"])?;
    assert_eq!(one["marked"], "yes", "element 0 is the answer: {one}");
    let about =
        ["vmId", "vmName", "status", "vmType", "kvmEnable", "acpiEnable", "monitorResponse", "pauseCode"]
            .map(|key| text(&one, key));
    assert_eq!(about[..4], [UUID, "counted", "Up", "kvm"]);
    assert_eq!((about[4], about[6], about[7]), ("false", "0", "NOERR"));
    assert!(text(&one, "statusTime").parse::<u64>()? > 0);
    assert!(one["disks"].is_object() && one["network"].is_object() && one["displayInfo"].is_array());
    let seen = bed.seen();
    assert_eq!(points(&seen), VM_POINTS[..2]);
    assert_eq!((seen[0].payload.as_str(), seen[0].variable("vmId")), ("{}", ""));
    assert_eq!(serde_json::from_str::<Value>(&seen[1].payload)?.as_array().map(Vec::len), Some(1));

    bed.hook("after_get_all_vm_stats", "60_more", "sed -i 's/\"Up\"/\"Changed\"/' \"$_hook_json\"")?;
    let all = answer(&bed, &["vm", "stats", "--no-rates"])?;
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    assert_eq!((text(&all[0], "vmId"), text(&all[0], "status")), (UUID, "Changed"));
    assert_eq!(all[0].get("cpuUser"), None, "one sample gives no rate");
    assert_eq!(points(&bed.seen()), VM_POINTS[2..]);
    bed.vm(&["destroy", "counted"])?.expect(0);
    assert_eq!(answer(&bed, &["vm", "stats"])?, json!([]));
    bed.finish()
}

/// QEMU of one VM stands still: it owes libvirt answers for ever.
fn stats_do_not_wait_for_a_busy_vm() -> Result {
    let bed = Bed::with_daemon()?;
    bed.vm(&["start", "--xml", &bed.plain("stuck")?])?.expect(0);
    let qemu = bed.process("stuck").expect("QEMU runs");
    let pid = rustix::process::Pid::from_raw(qemu.pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP)?;
    let connection = bed.connect()?;
    // Its "stop" waits for an answer of QEMU.
    let waiting = connection.lookup("stuck")?;
    let waiting = std::thread::spawn(move || waiting.suspend());
    let watched = connection.lookup("stuck")?;
    until("libvirt waits for QEMU", || matches!(watched.control(), Ok(Control::Occupied(_))));
    let all = answer(&bed, &["vm", "stats", "--no-rates"]);
    let one = answer(&bed, &["vm", "stats", "stuck", "--interval", "50ms"]);
    let still = watched.control()?;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT)?;
    waiting.join().unwrap()?;
    assert!(matches!(still, Control::Occupied(_)), "it was busy all the time: {still:?}");
    for stats in [&all?[0], &one?] {
        assert_eq!((text(stats, "vmName"), text(stats, "status")), ("stuck", "Up"));
    }
    bed.vm(&["destroy", "stuck"])?.expect(0);
    bed.finish()
}

fn c26_a_veto_refuses_the_answer_with_the_hooks_words() -> Result {
    let bed = Bed::without_vms()?;
    for (point, arguments, what) in [
        ("before_get_caps", &["host", "caps"][..], "host capabilities"),
        ("before_get_stats", &["host", "stats", "--since-boot"], "host statistics"),
        ("before_get_all_vm_stats", &["vm", "stats"], "statistics of all VMs"),
        ("before_get_vm_stats", &["vm", "stats", "test"], "statistics of VM test"),
    ] {
        bed.hook(point, "50_no", "echo the host is being moved >&2; exit 2")?;
        bed.spy(&HOST_POINTS)?;
        let done = bed.run(arguments)?.expect(1);
        let expected = format!(
            "report {what}: vetoed at {point}: Hook Error: 50_no: exit code 2: the host is being moved"
        );
        assert_eq!((done.error(), done.stdout.as_str()), (expected.as_str(), ""));
        assert!(bed.seen().is_empty(), "nothing after a veto");
    }
    bed.finish()
}

fn c26_a_hook_after_it_never_breaks_an_answer() -> Result {
    let bed = Bed::without_vms()?;
    let whole = answer(&bed, &["host", "caps"])?;
    for nonsense in
        ["echo '{' >\"$_hook_json\"", "echo '[]' >\"$_hook_json\"", "rm \"$_hook_json\"", "exit 2"]
    {
        bed.hook("after_get_caps", "50_nonsense", nonsense)?;
        let caps = answer(&bed, &["host", "caps"])?;
        assert_eq!(caps["memSize"], whole["memSize"], "{nonsense}");
    }
    // An array without an element zero is no answer, though it is an array.
    for nonsense in ["echo '[]' >\"$_hook_json\"", "echo '[1]' >\"$_hook_json\""] {
        bed.hook("after_get_vm_stats", "50_nonsense", nonsense)?;
        let done = bed.run(&["vm", "stats", "test", "--no-rates"])?.expect(0);
        assert_eq!(serde_json::from_str::<Value>(&done.stdout)?["vmName"], "test");
        assert!(done.stderr.contains("warning: after_get_vm_stats: what the hooks left"), "{}", done.stderr);
    }
    bed.finish()
}

fn an_unknown_vm_fires_nothing() -> Result {
    let bed = Bed::without_vms()?;
    bed.spy(&VM_POINTS)?;
    let done = bed.run(&["vm", "stats", "no-such-vm"])?.expect(3);
    assert!(done.error().contains("no-such-vm"), "{}", done.error());
    assert!(bed.seen().is_empty());
    bed.finish()
}
