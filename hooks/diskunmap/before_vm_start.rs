// SPDX-License-Identifier: Apache-2.0
//! Sets `discard="unmap"` on the disks of a VM that asks for it.

use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let buses: &[&str] = match hook.property("diskunmap")?.as_deref() {
        Some("on") => &["scsi", "ide"],
        Some("all") => &["scsi", "ide", "sata", "virtio"],
        _ => return Ok(()),
    };
    let mut domain = hook.domain()?;
    let (mut without_target, mut without_driver) = (0, 0);
    for disk in domain.all_named("disk") {
        let device = domain.attribute(disk, "device");
        if !matches!(device.as_deref(), Some("disk" | "lun")) {
            continue;
        }
        let bus = domain.child(disk, "target").and_then(|target| domain.attribute(target, "bus"));
        match (bus.as_deref(), domain.child(disk, "driver")) {
            (None, _) => without_target += 1,
            (Some(bus), _) if !buses.contains(&bus) => {}
            (Some(_), None) => without_driver += 1,
            (Some(_), Some(driver)) => domain.set_attribute(driver, "discard", "unmap")?,
        }
    }
    for (count, what) in [(without_target, "target"), (without_driver, "driver")] {
        if count > 0 {
            hook.log(format_args!("diskunmap: disks without a {what} are left alone: {count}"));
        }
    }
    Ok(domain.save()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(value: &str, xml: &str) -> String {
        let mut hook = Context::for_test().with_env("diskunmap", value).with_xml(xml);
        run(&mut hook).unwrap();
        hook.xml_text()
    }

    const DISK: &str = "<domain><devices><disk device='disk'><driver name='qemu'/><target bus='BUS'/></disk></devices></domain>";

    #[test]
    fn scsi_and_ide_by_default_the_others_on_request() {
        for (value, bus, set) in [
            ("on", "scsi", true),
            ("on", "ide", true),
            ("on", "virtio", false),
            ("all", "virtio", true),
            ("off", "scsi", false),
        ] {
            let xml = DISK.replace("BUS", bus);
            assert_eq!(after(value, &xml).contains("discard"), set, "{value} {bus}");
        }
    }

    #[test]
    fn incomplete_disks_are_left_alone() {
        let xml = "<domain><disk device='disk'/><disk device='lun'><target bus='scsi'/></disk></domain>";
        assert_eq!(after("on", xml), xml);
    }

    #[test]
    fn without_the_property_nothing_is_read() {
        run(&mut Context::for_test()).unwrap();
    }
}
