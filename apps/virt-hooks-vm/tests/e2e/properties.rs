// SPDX-License-Identifier: Apache-2.0
//! Custom properties that are set on VMs and devices.

use crate::bed::{Bed, UUID};
use crate::pausing::with_nic;
use crate::{Result, tests};
use serde_json::Value;
use virt_hooks_libvirt::XmlFlags;
use virt_hooks_testhost::GuestOptions;

tests! {
    Daemon properties_hold_in_the_definition_and_in_the_running_vm,
    Daemon c03_a_disk_has_properties_too,
    Daemon names_and_values_are_checked_against_manifests,
    Daemon vdsms_metadata_is_shown_and_ours_wins,
}

fn show(bed: &Bed, vm: &str) -> Result<Value> {
    Ok(serde_json::from_str(&bed.vm(&["show", vm, "--format", "json"])?.expect(0).stdout)?)
}

fn properties_hold_in_the_definition_and_in_the_running_vm() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&["after_vm_pause"])?;
    let connection = bed.connect()?;
    let stored = connection.define_xml(&bed.xml("set", GuestOptions::default()))?;
    let done = bed.vm(&["set", "set", "colour=light \"blue\" <&>", "size=3"])?.expect(0);
    assert!(done.stderr.contains("no installed hook package has a property \"colour\""), "{}", done.stderr);
    assert!(done.stderr.ends_with("set: VM set\n"), "{}", done.stderr);
    assert_eq!(show(&bed, "set")?["properties"]["colour"], "light \"blue\" <&>");
    bed.vm(&["start", "set"])?.expect(0);
    // Of the running VM too, from now on.
    bed.vm(&["set", UUID, "size=4", "vnc_password=secret"])?.expect(0);
    let shown = show(&bed, "set")?;
    assert_eq!(
        (&shown["properties"]["size"], &shown["properties"]["vnc_password"]),
        (&"4".into(), &"(hidden)".into())
    );
    bed.vm(&["pause", "set"])?.expect(0);
    let seen = bed.seen();
    let told = ["colour", "size", "vnc_password"].map(|name| seen[0].variable(name).to_owned());
    assert_eq!(told, ["light \"blue\" <&>", "4", "secret"]);
    bed.vm(&["set", "set", "--unset", "colour"])?.expect(0);
    for inactive in [false, true] {
        let xml = stored.xml(XmlFlags { inactive, ..Default::default() })?;
        assert!(
            !xml.contains("colour") && xml.contains("<virt-hooks:property name='size'>4<")
                || xml.contains("name=\"size\">4<"),
            "{xml}"
        );
    }
    bed.vm(&["destroy", "set"])?.expect(0);
    stored.undefine()?;
    drop((stored, connection));
    bed.finish()
}

fn c03_a_disk_has_properties_too() -> Result {
    let bed = Bed::with_daemon()?;
    bed.spy(&[
        "before_device_create",
        "after_device_create",
        "before_device_destroy",
        "after_device_destroy",
    ])?;
    std::fs::write(bed.path("d.raw"), vec![0; 1 << 20])?;
    let devices = format!(
        "<disk type='file'><driver name='qemu' type='raw'/><source file='{}'/><target dev='vda' bus='virtio'/>\
         <alias name='ua-disk'/></disk>",
        bed.path("d.raw").display()
    );
    let connection = bed.connect()?;
    let stored = connection.define_xml(&bed.xml("disk", GuestOptions { devices, ..Default::default() }))?;
    bed.vm(&["set", "disk", "--device", "ua-disk", "tier=gold"])?.expect(0);
    let done = bed.vm(&["set", "disk", "--device", "ua-none", "tier=gold"])?.expect(3);
    assert!(done.error().contains("no device with the alias \"ua-none\""), "{}", done.error());
    assert_eq!(show(&bed, "disk")?["devices"][0]["properties"]["tier"], "gold");
    bed.vm(&["start", "disk"])?.expect(0);
    bed.vm(&["destroy", "disk"])?.expect(0);
    let seen = bed.seen();
    assert_eq!(seen.len(), 4);
    // C02: the element itself, at each of them.
    assert!(seen.iter().all(|s| s.variable("tier") == "gold" && s.payload.starts_with("<disk")), "{seen:?}");
    stored.undefine()?;
    drop((stored, connection));
    bed.finish()
}

fn names_and_values_are_checked_against_manifests() -> Result {
    let bed = Bed::with_daemon()?;
    let package = bed.path("packages").join("sized");
    std::fs::create_dir_all(&package)?;
    std::fs::write(
        package.join("hook.toml"),
        "manifest = 1\nname = \"sized\"\nversion = \"1.0.0\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"Apache-2.0\"\n\
         [[point]]\nname = \"before_vm_start\"\nfile = \"50_sized\"\n\
         [[property]]\nname = \"size\"\nscope = \"vm\"\npattern = \"^[0-9]+$\"\nexample = \"3\"\ndescription = \"d\"\n",
    )?;
    let connection = bed.connect()?;
    let stored = connection.define_xml(&bed.xml("checked", GuestOptions::default()))?;
    let done = bed.vm(&["set", "checked", "size=3"])?.expect(0);
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    let done = bed.vm(&["set", "checked", "colour=red", "size=large"])?.expect(3);
    assert!(done.error().contains("size") && done.error().contains("package sized"), "{}", done.error());
    let shown = show(&bed, "checked")?;
    assert_eq!(shown["properties"], serde_json::json!({"size": "3"}), "nothing was set");
    let done = bed.vm(&["set", "checked", "--device", "ua-x", "size=3"])?.expect(3);
    assert!(done.stderr.contains("it is a property of VMs, not of devices"), "{}", done.stderr);
    stored.undefine()?;
    drop((stored, connection));
    bed.finish()
}

fn vdsms_metadata_is_shown_and_ours_wins() -> Result {
    let bed = Bed::with_daemon()?;
    let mut options = with_nic();
    options.metadata = "<o:vm xmlns:o='http://ovirt.org/vm/1.0'><o:custom><o:colour>red</o:colour><o:shape>round</o:shape></o:custom></o:vm>".into();
    let connection = bed.connect()?;
    let stored = connection.define_xml(&bed.xml("ovirt", options))?;
    bed.vm(&["set", "ovirt", "colour=blue"])?.expect(0);
    let shown = show(&bed, "ovirt")?;
    assert_eq!(shown["properties"], serde_json::json!({"colour": "blue", "shape": "round"}));
    stored.undefine()?;
    drop((stored, connection));
    bed.finish()
}
