// SPDX-License-Identifier: Apache-2.0
//! Disks: described to hooks before a start, and plugged into a running VM.

use crate::bed::{ALL, Bed, UUID};
use crate::nics::{OWNED, assert_variables, live};
use crate::traces::points;
use crate::{Result, tests};
use serde_json::{Value, json};
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu c25_each_disk_is_described_before_a_start_and_the_answer_is_used,
    Qemu c25_a_veto_about_a_disk_starts_nothing,
    Qemu c30_a_changed_disk_stays_in_its_place,
    Qemu an_answer_that_makes_no_sense_starts_nothing,
    Daemon a_disk_is_plugged_as_hooks_left_it,
    Daemon c18_a_veto_or_refusal_leaves_nothing_of_the_disk,
}

const DISK_POINTS: [&str; 2] = ["before_disk_hotplug", "after_disk_hotplug"];

fn image(bed: &Bed, name: &str) -> Result<String> {
    bed.file(name, &"\0".repeat(1 << 20))
}

/// A disk, a CD-ROM with a medium, and an empty one.
fn options(bed: &Bed) -> Result<GuestOptions> {
    let (disk, medium) = (image(bed, "disk.img")?, image(bed, "medium.iso")?);
    let devices = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='{disk}'/><target dev='vda' bus='virtio'/>\
         <serial>OURS</serial><boot order='1'/><alias name='ua-disk'/></disk>\
         <disk type='file' device='cdrom'><source file='{medium}'/><target dev='hda' bus='ide'/><readonly/></disk>\
         <disk type='file' device='cdrom'><target dev='hdb' bus='ide'/><readonly/></disk>\
         <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}.2'/><target dev='vdb' bus='virtio'/></disk>"
    );
    image(bed, "disk.img.2")?;
    Ok(GuestOptions { devices, metadata: OWNED.into(), ..Default::default() })
}

fn c25_each_disk_is_described_before_a_start_and_the_answer_is_used() -> Result {
    let bed = Bed::embedded()?;
    let xml = bed.file("prepared.xml", &bed.xml("prepared", options(&bed)?))?;
    let other = image(&bed, "other.img")?;
    bed.spy(&["after_disk_prepare", "before_vm_start"])?;
    // It says what is to change, and no more.
    bed.hook(
        "after_disk_prepare",
        "95_localdisk",
        &format!("grep -q '\"name\":\"vda\"' \"$_hook_json\" || exit 0\necho '{{\"path\": \"{other}\", \"cache\": \"writeback\"}}' >\"$_hook_json\""),
    )?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    let seen = bed.seen();
    assert_eq!(
        points(&seen),
        ["after_disk_prepare", "after_disk_prepare", "after_disk_prepare", "before_vm_start"]
    );
    for event in &seen[..3] {
        assert_variables(
            event,
            "start",
            &[
                ("_hook_flow", "start"),
                ("colour", "of the VM"),
                ("_hook_domxml", ""),
                ("_hook_launch_flags", ""),
            ],
        );
        assert!(!event.variable("_hook_json").is_empty());
    }
    let described: Vec<Value> =
        seen[..3].iter().map(|e| serde_json::from_str(&e.payload)).collect::<std::result::Result<_, _>>()?;
    let path = |name: &str| bed.path(name).to_str().unwrap().to_owned();
    assert_eq!(
        described[0],
        json!({"device": "disk", "type": "disk", "diskType": "file", "path": path("disk.img"), "format": "raw", "iface": "virtio",
               "name": "vda", "index": 0, "serial": "OURS", "cache": "none", "alias": "ua-disk", "bootOrder": "1", "discard": false,
               "propagateErrors": "off", "shared": "false", "specParams": {}})
    );
    assert_eq!(
        (&described[1]["device"], &described[1]["path"]),
        (&json!("cdrom"), &json!(path("medium.iso")))
    );
    assert_eq!(described[2]["name"], "vdb");
    let given = &seen[3].payload;
    assert!(
        given.contains(&format!("<source file='{other}'/>")) && given.contains("cache='writeback'"),
        "{given}"
    );
    assert!(
        given.contains("<serial>OURS</serial>") && given.contains("disk.img.2'/>"),
        "merged, not replaced: {given}"
    );
    let qemu = bed.qemu("prepared").expect("QEMU runs");
    assert!(qemu.contains("other.img") && !qemu.contains("disk.img\""), "{qemu}");
    bed.vm(&["destroy", "prepared"])?.expect(0);
    bed.finish()
}

fn c25_a_veto_about_a_disk_starts_nothing() -> Result {
    let bed = Bed::embedded()?;
    let xml = bed.file("vetoed.xml", &bed.xml("vetoed", options(&bed)?))?;
    bed.spy(&ALL)?;
    bed.spy(&["after_disk_prepare"])?;
    bed.hook(
        "after_disk_prepare",
        "95_no",
        "grep -q medium.iso \"$_hook_json\" || exit 0; echo 'no media here' >&2; exit 2",
    )?;
    let done = bed.vm(&["start", "--xml", &xml])?.expect(1);
    assert_eq!(
        done.error(),
        "start VM vetoed: vetoed at after_disk_prepare: Hook Error: 95_no: exit code 2: no media here"
    );
    assert_eq!((bed.qemu("vetoed"), bed.state("vetoed")?), (None, None));
    let seen = bed.seen();
    // Nothing was started; the clean-up is that of every failed start.
    assert_eq!(
        points(&seen),
        ["after_disk_prepare", "after_disk_prepare", "before_vm_destroy", "after_vm_destroy"]
    );
    assert_eq!(seen[2].variable("_hook_reason"), "start-failed");
    bed.finish()
}

fn c30_a_changed_disk_stays_in_its_place() -> Result {
    let bed = Bed::embedded()?;
    let xml = bed.file("placed.xml", &bed.xml("placed", options(&bed)?))?;
    bed.spy(&["before_vm_start"])?;
    let other = image(&bed, "other.img")?;
    bed.hook(
        "after_disk_prepare",
        "10_block",
        &format!("grep -q '\"name\":\"vda\"' \"$_hook_json\" || exit 0\nsed -i 's|\"path\":\"[^\"]*\"|\"path\":\"{other}\"|; s|\"serial\":\"OURS\"|\"serial\":\"THEIRS\"|' \"$_hook_json\""),
    )?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    let given = &bed.seen()[0].payload;
    let marks = ["other.img", "THEIRS", "medium.iso", "dev='hdb'", "disk.img.2"]
        .map(|mark| given.find(mark).expect(mark));
    assert!(marks.is_sorted(), "{marks:?} in {given}");
    assert!(bed.qemu("placed").expect("QEMU runs").contains("THEIRS"));
    bed.vm(&["destroy", "placed"])?.expect(0);
    bed.finish()
}

fn an_answer_that_makes_no_sense_starts_nothing() -> Result {
    let bed = Bed::embedded()?;
    let xml = bed.file("odd.xml", &bed.xml("odd", options(&bed)?))?;
    bed.hook("after_disk_prepare", "10_odd", "echo '{\"path\": [1]}' >\"$_hook_json\"")?;
    let done = bed.vm(&["start", "--xml", &xml])?.expect(3);
    assert_eq!(done.error(), "domain XML: cannot take disk ua-disk from its hooks: path: a text is expected");
    bed.hook("after_disk_prepare", "10_odd", "echo '[]' >\"$_hook_json\"")?;
    let done = bed.vm(&["start", "--xml", &xml])?.expect(1);
    assert!(done.error().contains("vetoed at after_disk_prepare: Hook Error: 10_odd: "), "{}", done.error());
    assert_eq!((bed.qemu("odd"), bed.state("odd")?), (None, None));
    bed.finish()
}

fn disk_xml(bed: &Bed) -> Result<String> {
    let file = image(bed, "more.img")?;
    Ok(format!(
        "<disk type='file'><driver name='qemu' type='raw'/>\n<source file='{file}'/><target dev='vdc' bus='virtio'/></disk>"
    ))
}

fn a_disk_is_plugged_as_hooks_left_it() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest(
        "plugged",
        &bed.xml("plugged", GuestOptions { metadata: OWNED.into(), ..Default::default() }),
    )?;
    let vm = connection.lookup(UUID)?;
    bed.hook(
        "before_disk_hotplug",
        "10_serial",
        "sed -i 's|</disk>|<serial>FROM-A-HOOK</serial></disk>|' \"$_hook_domxml\"",
    )?;
    bed.spy(&DISK_POINTS)?;
    bed.spy(&["after_disk_prepare"])?;
    let xml = disk_xml(&bed)?;
    bed.vm(&["disk-plug", UUID, "--xml", &bed.file("disk.xml", &xml)?])?.expect(0);
    let seen = bed.seen();
    assert_eq!(points(&seen), DISK_POINTS, "after_disk_prepare is not for this");
    for event in &seen {
        assert_variables(event, "disk-plug", &[("colour", "of the VM")]);
        assert_eq!(
            event.payload,
            xml.replace("</disk>", "<serial>FROM-A-HOOK</serial></disk>"),
            "{}",
            event.point
        );
    }
    assert!(live(&vm)?.contains("<serial>FROM-A-HOOK</serial>"));
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}

fn c18_a_veto_or_refusal_leaves_nothing_of_the_disk() -> Result {
    let bed = Bed::with_daemon()?;
    let connection = bed.connect()?;
    bed.run_guest("bare", &bed.xml("bare", GuestOptions::default()))?;
    let vm = connection.lookup(UUID)?;
    let before = live(&vm)?;
    bed.spy(&DISK_POINTS)?;
    let disk = bed.file("disk.xml", &disk_xml(&bed)?)?;
    bed.hook("before_disk_hotplug", "95_no", "echo 'full' >&2; exit 2")?;
    let done = bed.vm(&["disk-plug", "bare", "--xml", &disk, "-p", "qos=1"])?.expect(1);
    assert_eq!(
        done.error(),
        "plug a disk into VM bare: vetoed at before_disk_hotplug: Hook Error: 95_no: exit code 2: full"
    );
    assert_eq!(points(&bed.seen()), ["before_disk_hotplug"]);
    assert_eq!(live(&vm)?, before);
    bed.hook("before_disk_hotplug", "95_no", "sed -i 's/more.img/none.img/' \"$_hook_domxml\"")?;
    let done = bed.vm(&["disk-plug", "bare", "--xml", &disk, "-p", "qos=1"])?.expect(4);
    assert!(done.error().contains("none.img"), "{}", done.error());
    assert_eq!(points(&bed.seen()), ["before_disk_hotplug"], "there is no point for failures");
    assert_eq!(live(&vm)?, before);
    bed.vm(&["destroy", UUID])?.expect(0);
    drop((vm, connection));
    bed.finish()
}
