// SPDX-License-Identifier: Apache-2.0
//! Devices are gone when the guest lets go, and not before.

use crate::bed::{Bed, DESTROY, UUID, until};
use crate::nics::{OWNED, assert_variables, live};
use crate::stored::wait_at;
use crate::traces::points;
use crate::{Result, tests};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};
use virt_hooks_agent::{Driver, Error, Quiet, UnplugRequest};
use virt_hooks_engine::{Host, Overrides};
use virt_hooks_libvirt::{DeviceChange, Event};
use virt_hooks_testhost::{Guest, GuestOptions};

tests! {
    Daemon an_obliging_guest_lets_go,
    Daemon c19_a_veto_leaves_the_interface_in_the_guest,
    Daemon a_deaf_guest_keeps_the_device_and_the_fail_point_fires,
    Daemon an_unplug_that_is_interrupted_or_refused_fires_the_fail_point,
    Daemon a_vm_that_goes_takes_its_devices_along,
    Agent a_vm_is_destroyed_while_an_unplug_waits_for_the_guest,
    Agent a_vm_goes_on_while_an_unplug_waits_for_the_guest,
    Daemon a_lost_daemon_fires_the_fail_point,
    Daemon c32_a_late_removal_within_the_grace_fires_the_point_after,
    Daemon c32_a_late_removal_reaches_who_hears_of_it_later,
}

const POINTS: [&str; 3] = ["before_nic_hotunplug", "after_nic_hotunplug", "after_nic_hotunplug_fail"];
const DISK_POINTS: [&str; 2] = ["before_disk_hotunplug", "after_disk_hotunplug"];

fn options(bed: &Bed, guest: Guest) -> Result<GuestOptions> {
    let image = bed.file("disk.img", &"\0".repeat(1 << 20))?;
    let devices = format!(
        "<interface type='user'><mac address='52:54:00:00:00:0a'/><model type='virtio'/></interface>\
         <disk type='file'><driver name='qemu' type='raw'/><source file='{image}'/><target dev='vda' bus='virtio'/></disk>"
    );
    let metadata = OWNED.replace(
        "</v:vm>",
        "<v:device mac_address='52:54:00:00:00:0a'><v:custom><v:property name='qos'>0.5</v:property></v:custom></v:device></v:vm>",
    );
    Ok(GuestOptions { guest, devices, metadata, ..Default::default() })
}

fn an_obliging_guest_lets_go() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("obliging", &bed.xml("obliging", options(&bed, Guest::Obliging)?))?;
    let vm = connection.lookup(UUID)?;
    bed.spy(&POINTS)?;
    bed.spy(&DISK_POINTS)?;
    // What hooks make of the XML at this point is ignored.
    bed.hook("before_nic_hotunplug", "95_edit", "sed -i 's/net0/net9/' \"$_hook_domxml\"")?;
    let done = bed.vm(&["nic-unplug", "obliging", "52:54:00:00:00:0A", "--timeout", "120s"])?.expect(0);
    assert!(done.stderr.contains("nic-unplug: interface net0 of VM obliging\n"), "{}", done.stderr);
    bed.vm(&["disk-unplug", "obliging", "virtio-disk0", "--timeout", "120s"])?.expect(0);
    let now = live(&vm)?;
    assert!(!now.contains("<interface") && !now.contains("<disk"), "{now}");
    assert!(!now.contains("qos") && now.contains("of the VM"), "the VM's own properties stay: {now}");
    let seen = bed.seen();
    assert_eq!(points(&seen), [&POINTS[..2], &DISK_POINTS].concat());
    for (event, alias) in seen.iter().zip(["net0", "net0", "virtio-disk0", "virtio-disk0"]) {
        let reason = if alias == "net0" { "nic-unplug" } else { "disk-unplug" };
        assert_variables(
            event,
            reason,
            &[("colour", "of the VM"), ("qos", if alias == "net0" { "0.5" } else { "" })],
        );
        assert!(
            event.payload.contains(&format!("<alias name='{alias}'/>"))
                && event.payload.contains("<address type='pci'"),
            "{}",
            event.payload
        );
    }
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn c19_a_veto_leaves_the_interface_in_the_guest() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("vetoed", &bed.xml("vetoed", options(&bed, Guest::Obliging)?))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    let events = connection.lifecycle_events()?;
    bed.spy(&POINTS)?;
    bed.spy(&DISK_POINTS)?;
    for point in ["before_nic_hotunplug", "before_disk_hotunplug"] {
        bed.hook(point, "95_no", "echo 'still mirrored' >&2; exit 2")?;
    }
    let done = bed.vm(&["nic-unplug", "vetoed", "net0"])?.expect(1);
    assert_eq!(
        done.error(),
        "unplug an interface from VM vetoed: vetoed at before_nic_hotunplug: Hook Error: 95_no: exit code 2: still mirrored"
    );
    let done = bed.vm(&["disk-unplug", "vetoed", "vda"])?.expect(1);
    assert!(done.error().contains("vetoed at before_disk_hotunplug: "), "{}", done.error());
    assert_eq!(
        points(&bed.seen()),
        ["before_nic_hotunplug", "before_disk_hotunplug"],
        "no point for failures after a veto"
    );
    assert_eq!(live(&vm)?, before);
    bed.vm(&["destroy", UUID])?.expect(0);
    // The guest was never asked, or it would have let go.
    for event in &events {
        match event {
            Event::Device(event) => panic!("{event:?}"),
            Event::Lifecycle(event)
                if matches!(event.lifecycle, virt_hooks_libvirt::Lifecycle::Stopped(_)) =>
            {
                break;
            }
            _ => {}
        }
    }
    drop((events, vm, connection));
    bed.finish()
}

fn a_deaf_guest_keeps_the_device_and_the_fail_point_fires() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("deaf", &bed.xml("deaf", options(&bed, Guest::Deaf)?))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&POINTS)?;
    bed.spy(&DISK_POINTS)?;
    let done = bed
        .vm(&["nic-unplug", "deaf", "net0", "--timeout", "6s", "--grace", "100ms", "--report", "-"])?
        .expect(4);
    assert_eq!(
        done.error(),
        "unplug an interface from VM deaf: interface net0: the guest did not let go within 6 s, and may do so later"
    );
    assert!(done.stderr.contains(" s ... "), "it says that it waits: {}", done.stderr);
    let report: serde_json::Value = serde_json::from_str(&done.stdout)?;
    assert_eq!(report["result"], "failed");
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_nic_hotunplug", "after_nic_hotunplug_fail"]);
    assert_variables(&seen[1], "nic-unplug", &[("qos", "0.5")]);
    assert_eq!(seen[0].payload, seen[1].payload);
    assert!(live(&vm)?.contains("qos"), "its properties stay with it");
    assert_eq!(live(&vm)?, before);
    // Disks have no such point.
    bed.vm(&["disk-unplug", "deaf", "vda", "--timeout", "10ms", "--grace", "0s"])?.expect(4);
    assert_eq!(points(&bed.seen()), ["before_disk_hotunplug"]);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn an_unplug_that_is_interrupted_or_refused_fires_the_fail_point() -> Result {
    let bed = Bed::with_daemon()?;
    bed.run_guest("deaf", &bed.xml("deaf", options(&bed, Guest::Deaf)?))?;
    bed.spy(&POINTS)?;
    // It would wait for an hour, and says so after two seconds.
    let said = bed.path("said");
    let arguments = ["vm", "nic-unplug", "deaf", "net0", "--timeout", "1h"];
    let mut command = bed.command_of(Path::new(env!("CARGO_BIN_EXE_virt-hooks-vm")), &arguments);
    let mut unplugging = command.stderr(File::create(&said)?).spawn()?;
    until("it waits for the guest", || fs::read_to_string(&said).unwrap().contains(" s ... "));
    kill_process(Pid::from_child(&unplugging), Signal::INT)?;
    assert_eq!(unplugging.wait()?.code(), Some(3));
    let said = fs::read_to_string(&said)?;
    assert!(
        said.ends_with(
            "unplug an interface from VM deaf: interrupted: the guest was asked, and may still let go\n"
        ),
        "{said}"
    );
    assert_eq!(points(&bed.seen()), ["before_nic_hotunplug", "after_nic_hotunplug_fail"]);
    // The guest was asked already: refused at once, or waited for in vain again.
    let done = bed.vm(&["nic-unplug", "deaf", "net0", "--timeout", "10ms", "--grace", "0"])?.expect(4);
    assert!(done.error().starts_with("unplug an interface from VM deaf: "), "{}", done.error());
    assert_eq!(points(&bed.seen()), ["before_nic_hotunplug", "after_nic_hotunplug_fail"]);
    bed.vm(&["destroy", UUID])?.expect(0);
    bed.finish()
}

fn a_vm_that_goes_takes_its_devices_along() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("gone", &bed.xml("gone", options(&bed, Guest::Deaf)?))?;
    bed.spy(&POINTS)?;
    let unplugging = bed.begin(&["nic-unplug", "gone", "net0", "--timeout", "1h"])?;
    until("the unplug began", || bed.path("seen/0.point").exists());
    // Somebody who knows no locks of ours.
    connection.lookup(UUID)?.destroy()?;
    let done = unplugging.wait()?.expect(3);
    assert_eq!(done.error(), "VM gone is not running: \"virt-hooks vm list\" shows which are");
    assert_eq!(points(&bed.seen()), ["before_nic_hotunplug"], "as in VDSM's sequence");
    drop(connection);
    bed.finish()
}

/// What the unplug says while libvirt waits for the guest, and while we do.
const WAITING: [&str; 2] =
    ["ask the guest of VM deaf to let go of interface net0", "unplug interface net0 from VM deaf"];

fn a_vm_is_destroyed_while_an_unplug_waits_for_the_guest() -> Result {
    for (with_agent, moment) in
        [(false, WAITING[0]), (false, WAITING[1]), (true, WAITING[0]), (true, WAITING[1])]
    {
        let bed = Bed::with_daemon()?;
        bed.run_guest("deaf", &bed.xml("deaf", options(&bed, Guest::Deaf)?))?;
        bed.spy(&POINTS)?;
        bed.spy(&DESTROY)?;
        let agent = with_agent.then(|| bed.start_agent()).transpose()?;
        let unplugging = bed.begin_saying(&["nic-unplug", "deaf", "net0", "--timeout", "5m"], "said")?;
        bed.wait_for_words("said", &format!("{moment} ... "));
        let begun = Instant::now();
        bed.vm(&["destroy", "deaf"])?.expect(0);
        unplugging.wait()?.expect(3);
        assert!(begun.elapsed() < Duration::from_secs(60), "{moment}: {:?}", begun.elapsed());
        let said = fs::read_to_string(bed.path("said"))?;
        let gone = "virt-hooks: VM deaf is not running: \"virt-hooks vm list\" shows which are\n";
        assert!(said.ends_with(gone), "{said}");
        assert_eq!(points(&bed.seen()), ["before_nic_hotunplug", DESTROY[0], DESTROY[1]]);
        if let Some(agent) = agent {
            agent.stop()?;
        }
        bed.finish()?;
    }
    Ok(())
}

fn a_vm_goes_on_while_an_unplug_waits_for_the_guest() -> Result {
    for with_agent in [false, true] {
        let bed = Bed::with_daemon()?;
        bed.run_guest("still", &bed.xml("still", options(&bed, Guest::Obliging)?))?;
        let agent = with_agent.then(|| bed.start_agent()).transpose()?;
        // A guest that stands still answers nothing.
        bed.vm(&["pause", "still"])?.expect(0);
        bed.spy(&POINTS)?;
        let unplugging = bed.begin_saying(&["nic-unplug", "still", "net0", "--timeout", "5m"], "said")?;
        bed.wait_for_words("said", "unplug interface net0 from VM still ... ");
        bed.vm(&["cont", "still"])?.expect(0);
        unplugging.wait()?.expect(0);
        let seen = bed.seen();
        assert_eq!(points(&seen), POINTS[..2]);
        assert_eq!(seen[0].payload, seen[1].payload);
        bed.vm(&["destroy", "still"])?.expect(0);
        if let Some(agent) = agent {
            agent.stop()?;
        }
        bed.finish()?;
    }
    Ok(())
}

fn a_lost_daemon_fires_the_fail_point() -> Result {
    let mut bed = Bed::with_daemon()?;
    bed.run_guest("lost", &bed.xml("lost", options(&bed, Guest::Deaf)?))?;
    bed.spy(&POINTS)?;
    bed.hook("before_nic_hotunplug", "95_wait", &wait_at("ready", &bed))?;
    let unplugging = bed.begin(&["nic-unplug", "lost", "net0", "--timeout", "1h"])?;
    bed.wait_for("ready");
    bed.stop_daemon()?;
    fs::write(bed.path("go"), "")?;
    let done = unplugging.wait()?.expect(3);
    assert!(done.error().contains("libvirt"), "{}", done.error());
    assert_eq!(points(&bed.seen()), ["before_nic_hotunplug", "after_nic_hotunplug_fail"]);
    bed.start_daemon()?;
    bed.vm(&["destroy", UUID])?.expect(0);
    bed.finish()
}

fn c32_a_late_removal_within_the_grace_fires_the_point_after() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("late", &bed.xml("late", options(&bed, Guest::Obliging)?))?;
    let vm = connection.lookup(UUID)?;
    // A guest that stands still answers nothing.
    vm.suspend()?;
    bed.spy(&POINTS)?;
    bed.hook("after_nic_hotunplug_fail", "95_say", &format!(": >'{}'", bed.path("failed").display()))?;
    let unplugging = bed.begin(&["nic-unplug", "late", "net0", "--timeout", "10ms", "--grace", "1h"])?;
    bed.wait_for("failed");
    vm.resume()?;
    let done = unplugging.wait()?.expect(0);
    assert!(done.stderr.contains("nic-unplug: interface net0 of VM late, late\n"), "{}", done.stderr);
    let seen = bed.seen();
    assert_eq!(points(&seen), ["before_nic_hotunplug", "after_nic_hotunplug_fail", "after_nic_hotunplug"]);
    for event in &seen {
        assert_variables(event, "nic-unplug", &[("qos", "0.5"), ("colour", "of the VM")]);
        assert_eq!(event.payload, seen[0].payload);
    }
    assert!(!live(&vm)?.contains("<interface") && !live(&vm)?.contains("qos"));
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

/// As a daemon does it: it waits no longer, and is told by the events it gets anyway.
fn c32_a_late_removal_reaches_who_hears_of_it_later() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("later", &bed.xml("later", options(&bed, Guest::Obliging)?))?;
    let vm = connection.lookup(UUID)?;
    vm.suspend()?;
    bed.spy(&POINTS)?;
    bed.spy(&DISK_POINTS)?;
    let overrides = Overrides {
        hooks_dirs: vec![bed.path("hooks")],
        config: Some(bed.path("config.toml")),
        run_dir: Some(bed.path("payloads")),
        state_dir: Some(bed.path("state")),
        ..Overrides::default()
    };
    let driver = Driver::connect(
        Some(connection.uri()),
        Host::load(overrides, &|name| {
            (name == "VIRT_HOOKS_LAUNCH_FLAGS_DIR").then(|| bed.path("flags").into())
        })?,
    )?;
    let events = connection.lifecycle_events()?;
    let mut reports = Vec::new();
    for device in ["net0", "vda"] {
        let request = UnplugRequest {
            vm: UUID,
            device,
            wait: Duration::from_millis(10),
            grace: Duration::ZERO,
            with_diff: false,
            cancel: None,
        };
        let done = if device == "net0" {
            driver.nic_unplug(&request, &mut Quiet, &mut reports)
        } else {
            driver.disk_unplug(&request, &mut Quiet, &mut reports)
        };
        assert!(matches!(done, Err(Error::NotReleased { .. })), "{done:?}");
    }
    assert_eq!(
        points(&bed.seen()),
        ["before_nic_hotunplug", "after_nic_hotunplug_fail", "before_disk_hotunplug"]
    );
    assert!(driver.late_removal(UUID, "net7", &mut Quiet, &mut reports)?.is_none(), "nobody waits for that");
    vm.resume()?;
    let mut gone = 0;
    for event in &events {
        let Event::Device(event) = event else { continue };
        assert_eq!(event.change, DeviceChange::Removed);
        let done =
            driver.late_removal(&event.uuid, &event.alias, &mut Quiet, &mut reports)?.expect("awaited");
        assert!(done.late && done.warnings.is_empty() && done.uuid == UUID, "{done:?}");
        assert!(driver.late_removal(&event.uuid, &event.alias, &mut Quiet, &mut reports)?.is_none(), "once");
        gone += 1;
        if gone == 2 {
            break;
        }
    }
    let mut seen: Vec<String> = bed.seen().into_iter().map(|e| e.point).collect();
    seen.sort();
    assert_eq!(seen, ["after_disk_hotunplug", "after_nic_hotunplug"]);
    assert!(!live(&vm)?.contains("qos"));
    assert_eq!(reports.len(), 5);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((driver, events, vm, connection));
    bed.finish()
}
