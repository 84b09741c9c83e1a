// SPDX-License-Identifier: Apache-2.0
//! A destroy happens, whatever hooks say.

use crate::bed::{Bed, UUID};
use crate::{Result, tests};
use serde_json::Value;
use virt_hooks_testhost::GuestOptions;

tests! {
    Qemu no_hook_stops_a_destroy,
    Qemu c06_hooks_before_a_destroy_get_the_vms_xml,
    Library what_does_not_run_is_not_destroyed,
}

fn no_hook_stops_a_destroy() -> Result {
    let bed = Bed::embedded()?;
    for point in ["before_device_destroy", "before_vm_destroy", "after_vm_destroy", "after_device_destroy"] {
        bed.hook(point, "50_no", &format!("echo 'not at {point}' >&2; exit 2"))?;
    }
    bed.spy(&["after_vm_destroy"])?;
    let options = GuestOptions {
        metadata: "<v:vm xmlns:v='http://virt-hooks.io/vm/1.0'><v:device devtype='interface' mac_address='52:54:00:00:00:0a'>\
                   <v:custom><v:property name='link'>slow</v:property></v:custom></v:device></v:vm>"
            .into(),
        devices: "<interface type='user'><mac address='52:54:00:00:00:0a'/></interface>".into(),
        ..Default::default()
    };
    let xml = bed.file("stubborn.xml", &bed.xml("stubborn", options))?;
    bed.vm(&["start", "--xml", &xml])?.expect(0);
    let done = bed.vm(&["destroy", UUID, "--report", "-"])?.expect(0);
    assert_eq!((bed.qemu("stubborn"), bed.state("stubborn")?), (None, None));
    let report: Value = serde_json::from_str(&done.stdout)?;
    assert_eq!(report["result"], "done");
    let events = report["events"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    for event in events {
        let point = event["point"].as_str().unwrap();
        assert_eq!(event["verdict"], "proceed", "{point}");
        assert_eq!(event["error"], format!("50_no: exit code 2: not at {point}"));
        assert!(done.stderr.contains(&format!("proceed: {point}: 1 of 1 hook failed")), "{}", done.stderr);
    }
    bed.finish()
}

fn c06_hooks_before_a_destroy_get_the_vms_xml() -> Result {
    let bed = Bed::embedded()?;
    bed.spy(&["after_vm_start", "before_vm_destroy", "after_vm_destroy"])?;
    bed.vm(&["start", "--xml", &bed.plain("known")?])?.expect(0);
    bed.vm(&["destroy", "known"])?.expect(0);
    let seen = bed.seen();
    for event in &seen {
        // As it runs: libvirt numbers that.
        for part in ["<domain ", " id='", "<name>known</name>", UUID] {
            assert!(event.payload.contains(part), "{part} at {}: {}", event.point, event.payload);
        }
        assert_eq!(event.variable("vmId"), UUID);
    }
    assert_eq!(seen.len(), 3);
    bed.finish()
}

fn what_does_not_run_is_not_destroyed() -> Result {
    let mut bed = Bed::without_vms()?;
    bed.spy(&["before_vm_destroy", "after_vm_destroy"])?;
    let node = "<node xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><domain type='test'><name>idle</name>\
                <memory>8192</memory><os><type>hvm</type></os><test:runstate>5</test:runstate></domain></node>";
    let uri = format!("test://{}", bed.file("node.xml", node)?);
    bed.set_uri(uri);
    let done = bed.vm(&["destroy", "idle"])?.expect(3);
    assert_eq!(done.only_error(), "VM idle is not running: \"virt-hooks vm list\" shows which are");
    let done = bed.vm(&["destroy", "nobody"])?.expect(3);
    assert!(done.only_error().contains("nobody"), "{}", done.only_error());
    assert!(bed.seen().is_empty());
    bed.finish()
}
