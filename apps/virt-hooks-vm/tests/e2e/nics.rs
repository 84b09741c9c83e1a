// SPDX-License-Identifier: Apache-2.0
//! Network interfaces of a running VM: plugged and updated.

use crate::bed::{Bed, UUID};
use crate::stored::wait_at;
use crate::traces::{Seen, points};
use crate::{Result, tests};
use serde_json::Value;
use virt_hooks_libvirt::{Domain, XmlFlags};
use virt_hooks_testhost::GuestOptions;

tests! {
    Daemon an_interface_is_plugged_as_hooks_left_it,
    Daemon c03_properties_of_every_device_reach_hooks_and_stay_until_it_goes,
    Daemon c20_the_fail_point_fires_for_every_failure_after_the_first_point,
    Daemon an_update_is_made_as_hooks_left_it,
    Daemon c04_a_veto_or_refusal_leaves_the_interface_as_it_was,
    Daemon what_cannot_be_is_said_before_any_hook_runs,
}

const MAC: &str = "52:54:00:00:00:0a";
const NIC: &str = "<interface type='user'>\n  <mac address='52:54:00:00:00:0a'/>  <!-- as given -->\n  <model type='virtio'/>\n</interface>\n";
const PLUG: [&str; 3] = ["before_nic_hotplug", "after_nic_hotplug", "after_nic_hotplug_fail"];
const UPDATE: [&str; 3] = ["before_update_device", "after_update_device", "after_update_device_fail"];

/// The metadata of a VM with a property of its own.
pub(crate) const OWNED: &str = "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:custom><v:property name='colour'>of the VM</v:property></v:custom></v:vm>";

pub(crate) fn live(vm: &Domain) -> Result<String> {
    Ok(vm.xml(XmlFlags::default())?)
}

/// Sees that an event is about the VM of a test, with these variables.
pub(crate) fn assert_variables(event: &Seen, reason: &str, more: &[(&str, &str)]) {
    assert_eq!(event.variable("_hook_point"), event.point);
    assert_eq!((event.variable("vmId"), event.variable("_hook_reason")), (UUID, reason), "{}", event.point);
    for (name, value) in more {
        assert_eq!(event.variable(name), *value, "{name} at {}", event.point);
    }
}

fn an_interface_is_plugged_as_hooks_left_it() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest(
        "plugged",
        &bed.xml("plugged", GuestOptions { metadata: OWNED.into(), ..Default::default() }),
    )?;
    let vm = connection.lookup(UUID)?;
    bed.hook(
        "before_nic_hotplug",
        "10_cable",
        "sed -i \"s|</interface>|<link state='down'/></interface>|\" \"$_hook_domxml\"",
    )?;
    // A hook before the edit sees what was given, byte by byte; one behind it what will be sent.
    bed.hook(
        "before_nic_hotplug",
        "05_given",
        &format!("cp \"$_hook_domxml\" '{}'", bed.path("given").display()),
    )?;
    bed.spy(&PLUG)?;
    // A hook after the change may ask for the next one.
    bed.hook(
        "after_nic_hotplug",
        "95_lock",
        &format!("! [ -e '{}/payloads/vm/{UUID}.lock' ]", bed.root().display()),
    )?;
    let nic = bed.file("nic.xml", NIC)?;
    let done = bed
        .vm(&[
            "nic-plug",
            "plugged",
            "--xml",
            &nic,
            "-p",
            "qos=0.5",
            "-p",
            "colour=of the device",
            "--diff",
            "--report",
            "-",
        ])?
        .expect(0);
    assert_eq!(std::fs::read_to_string(bed.path("given"))?, NIC);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_nic_hotplug", "after_nic_hotplug"]);
    let sent = NIC.replace("</interface>", "<link state='down'/></interface>");
    for event in &seen {
        assert_variables(event, "nic-plug", &[("qos", "0.5"), ("colour", "of the VM")]);
        assert_eq!(event.payload, sent, "{}: as sent, without live values", event.point);
    }
    let now = live(&vm)?;
    assert!(now.contains(MAC) && now.contains("<link state='down'/>"), "{now}");
    assert!(done.stderr.contains("nic-plug: interface net0 of VM plugged"), "{}", done.stderr);
    let report: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!((report["verb"].as_str(), report["result"].as_str()), (Some("nic-plug"), Some("done")));
    assert_eq!((report["vm_id"].as_str(), report["events"].as_array().map(Vec::len)), (Some(UUID), Some(2)));
    assert!(
        report["events"][1]["runs"].as_array().unwrap().iter().all(|run| run["failed"] == false),
        "{report}"
    );
    // libvirt gives it an address, by which its properties are kept.
    let plain = bed.file("plain.xml", "<interface type='user'><model type='virtio'/></interface>")?;
    bed.vm(&["nic-plug", "plugged", "--xml", &plain, "-p", "which=second"])?.expect(0);
    let now = live(&vm)?;
    let second = now.split("<mac address='").nth(2).unwrap().split('\'').next().unwrap();
    assert!(now.contains(&format!("mac_address=\"{second}\"")) && now.contains(">second<"), "{now}");
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn c03_properties_of_every_device_reach_hooks_and_stay_until_it_goes() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("owned", &bed.xml("owned", GuestOptions::default()))?;
    let vm = connection.lookup(UUID)?;
    let nic_points =
        ["before_nic_hotplug", "after_nic_hotplug", "before_nic_hotunplug", "after_nic_hotunplug"];
    let disk_points =
        ["before_disk_hotplug", "after_disk_hotplug", "before_disk_hotunplug", "after_disk_hotunplug"];
    bed.spy(&nic_points)?;
    bed.spy(&disk_points)?;
    bed.spy(&["before_update_device", "before_device_destroy"])?;
    // In VDSM's envelope, with VDSM's metadata.
    let envelope = format!(
        "<hotplug><devices>{NIC}</devices><metadata><o:vm xmlns:o='http://ovirt.org/vm/1.0'><o:device mac_address='52:54:00:00:00:0A'>\
         <o:custom><o:qos>0.5</o:qos></o:custom></o:device></o:vm></metadata></hotplug>"
    );
    let nic = bed.file("nic.xml", &envelope)?;
    let image = bed.file("disk.img", &"\0".repeat(1 << 20))?;
    let disk = bed.file(
        "disk.xml",
        &format!("<disk type='file'><driver name='qemu' type='raw'/><source file='{image}'/><target dev='vdb' bus='virtio'/></disk>"),
    )?;
    bed.vm(&["nic-plug", "owned", "--xml", &nic, "-p", "odd_name=<1>"])?.expect(0);
    bed.vm(&["disk-plug", "owned", "--xml", &disk, "-p", "qos=9"])?.expect(0);
    let now = live(&vm)?;
    assert!(now.contains("name=\"odd_name\">&lt;1&gt;<"), "{now}");
    // A process that knows nothing of the one before.
    bed.vm(&["nic-update", "owned", MAC, "--link", "down"])?.expect(0);
    bed.vm(&["nic-unplug", "owned", "net0", "--timeout", "120s"])?.expect(0);
    let now = live(&vm)?;
    assert!(!now.contains("odd_name") && now.contains("name=\"vdb\""), "only what went is forgotten: {now}");
    bed.vm(&["disk-unplug", "owned", "vdb", "--timeout", "120s"])?.expect(0);
    let now = live(&vm)?;
    assert!(!now.contains("virt-hooks") && !now.contains("<metadata>"), "{now}");
    let seen = bed.seen();
    let order =
        [&nic_points[..2], &disk_points[..2], &["before_update_device"], &nic_points[2..], &disk_points[2..]];
    assert_eq!(points(&seen), order.concat());
    for event in &seen {
        let expected = if event.point.contains("disk") { ["9", ""] } else { ["0.5", "<1>"] };
        assert_eq!(["qos", "odd_name"].map(|name| event.variable(name)), expected, "{}", event.point);
    }
    bed.vm(&["destroy", UUID])?.expect(0);
    assert!(bed.seen().is_empty(), "no device has properties any more");
    drop((vm, connection));
    bed.finish()
}

fn c20_the_fail_point_fires_for_every_failure_after_the_first_point() -> Result {
    let mut bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("failed", &bed.xml("failed", GuestOptions::default()))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&PLUG)?;
    let nic = bed.file("nic.xml", NIC)?;
    let plug = ["nic-plug", UUID, "--xml", &nic, "-p", "qos=0.5"];

    // libvirt refuses what the hooks made of it.
    bed.hook("before_nic_hotplug", "10_break", "sed -i \"s/type='user'/type='bridge'/; s|</interface>|<source bridge='none-such'/></interface>|\" \"$_hook_domxml\"")?;
    let done = bed.vm(&plug)?.expect(4);
    assert!(
        done.error().starts_with("plug an interface into VM failed: ") && done.error().contains("none-such"),
        "{}",
        done.error()
    );
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_nic_hotplug", "after_nic_hotplug_fail"]);
    assert_variables(&seen[1], "nic-plug", &[("qos", "0.5")]);
    assert!(seen[1].payload.contains("none-such"), "as sent: {}", seen[1].payload);
    assert_eq!(live(&vm)?, before);

    // After a veto the point did not go well, so there is nothing to clean up.
    bed.hook("before_nic_hotplug", "10_break", "echo 'no more than one' >&2; exit 1")?;
    let done = bed.vm(&plug)?.expect(1);
    assert_eq!(
        done.error(),
        "plug an interface into VM failed: vetoed at before_nic_hotplug: Hook Error: 10_break: exit code 1: no more than one"
    );
    assert_eq!(points(&bed.seen()), ["before_nic_hotplug"]);
    assert_eq!(live(&vm)?, before, "nothing changed");

    // libvirt goes away: no error of its own, and yet a failure.
    bed.hook("before_nic_hotplug", "10_break", &wait_at("ready", &bed))?;
    let plugging = bed.begin(&plug)?;
    bed.wait_for("ready");
    drop((vm, connection));
    bed.stop_daemon()?;
    std::fs::write(bed.path("go"), "")?;
    let done = plugging.wait()?.expect(3);
    assert!(
        done.error().starts_with("plug an interface into VM failed: the connection to libvirt was lost (")
            && done.error().contains("): nobody knows whether the device was plugged"),
        "{}",
        done.error()
    );
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_nic_hotplug", "after_nic_hotplug_fail"]);
    assert_eq!(seen[1].payload, NIC);
    bed.start_daemon()?;
    let connection = bed.connect()?;
    let vm = connection.lookup(UUID)?;
    vm.settle();
    assert!(!live(&vm)?.contains("<interface"));
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn with_nic() -> GuestOptions {
    let metadata = format!(
        "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device mac_address='{MAC}'><v:custom><v:property name='qos'>0.5</v:property></v:custom></v:device></v:vm>"
    );
    GuestOptions { metadata, devices: NIC.into(), ..Default::default() }
}

fn an_update_is_made_as_hooks_left_it() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("updated", &bed.xml("updated", with_nic()))?;
    let vm = connection.lookup(UUID)?;
    bed.spy(&UPDATE)?;
    bed.vm(&["nic-update", "updated", "net0", "--link", "down", "-p", "colour=red", "-p", "qos=0.7"])?
        .expect(0);
    assert!(live(&vm)?.contains("<link state='down'/>"));
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_update_device", "after_update_device"]);
    for event in &seen {
        assert_variables(event, "nic-update", &[("colour", "red"), ("qos", "0.7")]);
        assert!(
            event.payload.contains("state=\"down\"") && event.payload.contains("<alias name='net0'/>"),
            "{}",
            event.payload
        );
    }
    // The whole XML, and a hook that has its own idea.
    let start = live(&vm)?.find("<interface").unwrap();
    let now = live(&vm)?;
    let end = now.find("</interface>").unwrap() + "</interface>".len();
    let whole = bed.file("whole.xml", &now[start..end])?;
    bed.hook("before_update_device", "10_up", "sed -i \"s/state='down'/state='up'/\" \"$_hook_domxml\"")?;
    bed.vm(&["nic-update", "updated", MAC, "--xml", &whole, "--diff"])?.expect(0);
    assert!(live(&vm)?.contains("<link state='up'/>"));
    let seen = bed.seen();
    assert!(seen.iter().all(|e| e.payload.contains("state='up'")) && seen.len() == 2);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn c04_a_veto_or_refusal_leaves_the_interface_as_it_was() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("kept", &bed.xml("kept", with_nic()))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&UPDATE)?;
    bed.hook(
        "before_update_device",
        "10_edit",
        "sed -i 's/state=\"down\"/state=\"down\" /' \"$_hook_domxml\"",
    )?;
    bed.hook("before_update_device", "95_no", "echo 'the cable stays in' >&2; exit 2")?;
    let down = ["nic-update", "kept", MAC, "--link", "down", "-p", "colour=red"];
    let done = bed.vm(&down)?.expect(1);
    assert_eq!(
        done.error(),
        "update an interface of VM kept: vetoed at before_update_device: Hook Error: 95_no: exit code 2: the cable stays in"
    );
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_update_device", "after_update_device_fail"]);
    assert_variables(&seen[1], "nic-update", &[("colour", "red"), ("qos", "0.5")]);
    assert!(seen[1].payload.contains("state=\"down\"/>"), "as requested: {}", seen[1].payload);
    assert_eq!(live(&vm)?, before, "C04: the change did not happen");

    // libvirt refuses what a hook made of it: a model cannot change.
    bed.hook("before_update_device", "95_no", "sed -i \"s/type='virtio'/type='e1000'/\" \"$_hook_domxml\"")?;
    let done = bed.vm(&down)?.expect(4);
    assert!(done.error().starts_with("update an interface of VM kept: "), "{}", done.error());
    assert!(!done.error().contains("could not be restored"), "{}", done.error());
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_update_device", "after_update_device_fail"]);
    assert!(seen[1].payload.contains("type='e1000'"), "as sent: {}", seen[1].payload);
    assert_eq!(live(&vm)?, before);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn what_cannot_be_is_said_before_any_hook_runs() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("asked", &bed.xml("asked", with_nic()))?;
    for points in [&PLUG, &UPDATE] {
        bed.spy(points)?;
    }
    let disk = bed.file("disk.xml", "<disk/>")?;
    let nic = bed.file("nic.xml", NIC)?;
    let say =
        |arguments: &[&str]| -> Result<String> { Ok(bed.vm(arguments)?.expect(3).only_error().to_owned()) };
    assert_eq!(
        say(&["nic-plug", "asked", "--xml", &disk])?,
        "device XML: the root element is <disk>, not <interface>"
    );
    assert_eq!(
        say(&["nic-update", "asked", "net7", "--link", "up"])?,
        format!("VM asked has no interface \"net7\": it has net0 = {MAC}")
    );
    assert_eq!(say(&["disk-unplug", "asked", "vda"])?, "VM asked has no disk \"vda\"");
    assert!(say(&["nic-plug", "nobody", "--xml", &nic])?.contains("nobody"));
    let defined = connection.define_xml(&bed.xml(
        "idle",
        GuestOptions { uuid: Some("6f0c2a3e-1111-4222-8333-444455556667".into()), ..Default::default() },
    ))?;
    assert_eq!(
        say(&["nic-plug", "idle", "--xml", &nic])?,
        "VM idle is not running: \"virt-hooks vm list\" shows which are"
    );
    assert!(bed.seen().is_empty());
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((defined, connection));
    bed.finish()
}
