// SPDX-License-Identifier: Apache-2.0
//! Devices with custom properties: VDSM's metadata and ours, NICs and disks.

use crate::bed::{Bed, UUID};
use crate::traces::{Seen, points};
use crate::{Result, tests};
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu c02_c30_devices_are_edited_in_place_and_come_back_alive,
}

/// libvirt writes disks before NICs.
const LIVE: [&str; 3] = ["disk", "nic a", "nic b"];

const METADATA: &str = "\
    <o:vm xmlns:o='http://ovirt.org/vm/1.0'>\
      <o:custom><o:colour>of the VM</o:colour></o:custom>\
      <o:device devtype='interface' mac_address='52:54:00:00:00:0A'><o:custom><o:which>nic a</o:which><o:colour>of the device</o:colour></o:custom></o:device>\
      <o:device devtype='disk' name='vda'><o:custom><o:which>disk</o:which></o:custom></o:device>\
    </o:vm>\
    <v:vm xmlns:v='http://virt-hooks.io/vm/1.0'>\
      <v:device alias='ua-b'><v:custom><v:property name='which'>nic b</v:property></v:custom></v:device>\
    </v:vm>";

fn devices(disk: &str) -> String {
    format!(
        "<interface type='user'><mac address='52:54:00:00:00:0a'/><model type='e1000'/></interface>\
         <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>\
         <interface type='user'><mac address='52:54:00:00:00:0b'/><model type='e1000'/><alias name='ua-b'/></interface>\
         <interface type='user'><mac address='52:54:00:00:00:0c'/><model type='e1000'/></interface>"
    )
}

fn c02_c30_devices_are_edited_in_place_and_come_back_alive() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&crate::bed::ALL)?;
    bed.hook(
        "before_device_create",
        "10_edit",
        "case $which in\n\
         disk) sed -i 's|</disk>|<serial>FROM-A-HOOK</serial></disk>|' \"$_hook_domxml\" ;;\n\
         *) sed -i 's/e1000/rtl8139/' \"$_hook_domxml\" ;;\nesac",
    )?;
    let disk = bed.file("disk.img", &"\0".repeat(1 << 20))?;
    let options = GuestOptions { metadata: METADATA.into(), devices: devices(&disk), ..Default::default() };
    let xml = bed.file("devices.xml", &bed.xml("devices", options))?;
    let started = bed.vm(&["start", "--xml", &xml])?.expect(0);
    assert!(
        started.stderr.contains("warning: property \"colour\" of the VM takes the place of the device's"),
        "{}",
        started.stderr
    );

    let seen = bed.seen();
    let (create, rest) = seen.split_at(3);
    assert_eq!(points(create), ["before_device_create"; 3]);
    assert_eq!(
        points(rest),
        [&["before_vm_start", "after_vm_start"][..], &["after_device_create"; 3]].concat()
    );
    // In document order.
    assert_each(create, ["nic a", "disk", "nic b"], |_| true);
    // C30: nothing moved; the third NIC, with no properties, had no event and is as it was.
    let given = &rest[0].payload;
    let marks = ["0a'", "FROM-A-HOOK", "0b'", "0c'"].map(|mark| given.find(mark).expect(mark));
    assert!(marks.is_sorted(), "{marks:?} in {given}");
    assert_eq!((given.matches("rtl8139").count(), given.matches("e1000").count()), (2, 1), "{given}");
    // C02: what is alive, with what libvirt gave it.
    assert_each(&rest[2..], LIVE, |e| {
        e.payload.contains("<address type='pci'") && e.payload.contains("<alias name='")
    });
    let qemu = bed.qemu("devices").expect("QEMU runs");
    assert_eq!((qemu.matches("rtl8139").count(), qemu.matches("e1000").count()), (2, 1), "{qemu}");
    assert!(qemu.contains("FROM-A-HOOK"), "C03, disks too: {qemu}");

    bed.vm(&["destroy", "devices"])?.expect(0);
    let seen = bed.seen();
    assert_eq!(seen.len(), 8, "{:?}", points(&seen));
    assert_eq!(
        points(&seen[2..6]),
        ["before_device_destroy", "before_vm_destroy", "after_vm_destroy", "after_device_destroy"]
    );
    for devices in [&seen[..3], &seen[5..]] {
        assert_each(devices, LIVE, |e| e.payload.contains("<alias name='"));
    }
    bed.finish()
}

/// In this order, each with its own properties, the VM's winning over its own (E14).
fn assert_each(events: &[Seen], order: [&str; 3], alive: fn(&Seen) -> bool) {
    let which: Vec<&str> = events.iter().map(|e| e.variable("which")).collect();
    assert_eq!(which, order);
    for event in events {
        let mark = match event.variable("which") {
            "nic a" => "52:54:00:00:00:0a",
            "nic b" => "ua-b",
            _ => "vda",
        };
        assert_eq!(event.variable("colour"), "of the VM");
        assert_eq!(event.variable("vmId"), UUID);
        assert!(event.payload.contains(mark) && alive(event), "{event:?}");
    }
}
