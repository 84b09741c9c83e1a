// SPDX-License-Identifier: Apache-2.0
//! Plugging a device into a running VM (VDSM's sequences 4.12, 4.15 and 4.16).

use crate::devices::given::Given;
use crate::devices::live::{alias, changed, read};
use crate::devices::{Changed, metadata};
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::{About, Occasion};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::machine::{CustomDevice, Machine, label};
use virt_hooks_engine::{CustomProperties, Watch};
use virt_hooks_libvirt::Affect;

/// A device to plug into a running VM.
#[derive(Clone)]
pub struct PlugRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// The device's XML, or VDSM's `<hotplug>` around it.
    pub xml: Vec<u8>,
    /// Custom properties of the device, beside those that come with its XML. Hooks at the points of memory get
    /// those of the VM only.
    pub properties: Vec<(String, String)>,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the operation is given up, as long as libvirt was not asked.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// The length of the XML and the names of properties only: both may hold secrets.
impl fmt::Debug for PlugRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("PlugRequest")
            .field("vm", &self.vm)
            .field("xml", &format_args!("{} bytes", self.xml.len()))
            .field("properties", &names)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What differs from kind to kind.
struct Kind {
    element: &'static str,
    operation: &'static str,
    reason: &'static str,
    before: &'static str,
    after: &'static str,
    fail: Option<&'static str>,
    own_properties: bool,
}

const NIC: Kind = Kind {
    element: "interface",
    operation: "plug an interface into VM",
    reason: "nic-plug",
    before: "before_nic_hotplug",
    after: "after_nic_hotplug",
    fail: Some("after_nic_hotplug_fail"),
    own_properties: true,
};
const DISK: Kind = Kind {
    element: "disk",
    operation: "plug a disk into VM",
    reason: "disk-plug",
    before: "before_disk_hotplug",
    after: "after_disk_hotplug",
    fail: None,
    own_properties: true,
};
const MEMORY: Kind = Kind {
    element: "memory",
    operation: "plug memory into VM",
    reason: "memory-plug",
    before: "before_memory_hotplug",
    after: "after_memory_hotplug",
    fail: None,
    own_properties: false,
};

impl Driver {
    /// Plugs a network interface into a running VM. `reports` gets the record of each event.
    ///
    /// # Errors
    /// A veto, with nothing changed; or libvirt's refusal, after which `after_nic_hotplug_fail` was fired, as it was
    /// after every other failure since `before_nic_hotplug` (C20).
    pub fn nic_plug(
        &self,
        request: &PlugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        self.plug(&NIC, request, watch, reports)
    }

    /// Plugs a disk into a running VM. `reports` gets the record of each event.
    ///
    /// # Errors
    /// A veto, with nothing changed; or libvirt's refusal. There is no point for failures, and nothing is left
    /// prepared (C18).
    pub fn disk_plug(
        &self,
        request: &PlugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        self.plug(&DISK, request, watch, reports)
    }

    /// Plugs memory into a running VM. `reports` gets the record of each event.
    ///
    /// # Errors
    /// A veto, with nothing changed; or libvirt's refusal. There is no point for failures.
    pub fn memory_plug(
        &self,
        request: &PlugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        self.plug(&MEMORY, request, watch, reports)
    }

    fn plug(
        &self,
        kind: &Kind,
        request: &PlugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        let mut given = Given::read(&request.xml, kind.element)?;
        for (name, value) in &request.properties {
            given.properties.set(name.as_str(), value.as_str());
        }
        let live = self.live(request.vm, request.cancel, watch, reports)?;
        let properties = match kind.own_properties {
            true => given.all_properties(live.machine.doc()),
            false => CustomProperties::default(),
        };
        let about = About { device: Some(&given.label), parameters: Some(&properties), ..About::default() };
        let mut occasion = Occasion {
            driver: self,
            operation: kind.operation,
            reason: kind.reason,
            vm: live.vm(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "nothing was plugged",
            with_diff: request.with_diff,
            reports,
            watch,
        };
        let outcome = occasion.fire_about(kind.before, &given.xml, about);
        let sent = occasion.settle(outcome, |_| ())?;
        let sent = String::from_utf8_lossy(sent.bytes()).into_owned();
        let attached = occasion.check_interrupt().and_then(|()| {
            occasion.watch.step(&format!("plug {} into VM {}", given.label, live.machine.name()));
            let attached = live.domain.attach_device(&sent, Affect::Live);
            occasion.watch.step_done();
            attached.map_err(|e| occasion.failed(e, "nobody knows whether the device was plugged"))
        });
        // From here on nothing is given up.
        occasion.cancel = None;
        if let Err(error) = attached {
            if let Some(point) = kind.fail {
                occasion.fire_about(point, &sent, about);
            }
            return Err(error);
        }

        let mut done = changed(&live.domain, given.label.clone());
        match read(&live.domain) {
            Ok(now) => {
                if let Some(device) = newcomer(kind.element, &live.machine, &now) {
                    done.what = label(now.doc(), device.element);
                    let own = if kind.own_properties { &given.properties } else { &properties };
                    let kept = metadata::keep(&live.domain, now.doc(), device.element, own);
                    done.warnings.extend(kept.err());
                }
            }
            Err(e) => done.warnings.push(format!("custom properties are not kept: {e}")),
        }
        live.unlock();
        occasion.fire_about(kind.after, &sent, about);
        Ok(done)
    }
}

/// The device that came: the one whose alias was not there before.
fn newcomer(kind: &str, before: &Machine, now: &Machine) -> Option<CustomDevice> {
    let known: Vec<String> = before.devices(kind).iter().map(|d| alias(before, d)).collect();
    now.devices(kind).into_iter().find(|d| !known.contains(&alias(now, d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_request_shows_no_secret() {
        let request = PlugRequest {
            vm: "web1",
            xml: b"s3cret".to_vec(),
            properties: vec![("token".into(), "s3cret".into())],
            timeout: None,
            with_diff: false,
            cancel: None,
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("6 bytes") && shown.contains("token") && !shown.contains("s3cret"), "{shown}");
    }
}
