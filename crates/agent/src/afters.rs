// SPDX-License-Identifier: Apache-2.0
//! Firing after-points, whether an operation, an event or a look at libvirt is their reason.

use crate::life::After;
use crate::occasion::{About, Occasion, set_devices};
use crate::record::Record;
use virt_hooks_contract::Failure;
use virt_hooks_engine::CustomProperties;
use virt_hooks_engine::{CustomDevice, Machine};

/// The parameter of the points of a restore. Text: VDSM's boolean makes every hook here fail (C01).
pub(crate) fn from_snapshot(yes: bool) -> CustomProperties {
    [("FROM_SNAPSHOT", yes)].into_iter().collect()
}

impl After {
    /// Why it is fired where no operation of ours is the reason, for its hooks.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Start => "started-by-others",
            Self::Dehibernate { .. } => "restored-by-others",
            Self::Cont => "cont",
            Self::Pause(reason) | Self::Destroy { reason, .. } => reason,
            Self::Hibernate => "hibernate",
            Self::MigrateSource | Self::MigrateDestination => "migrate",
        }
    }
}

impl Occasion<'_> {
    /// Fires after-points. Hooks that completed according to `known` do not run again.
    pub(crate) fn fire_after(&mut self, after: After, machine: &Machine, known: Option<&Record>) {
        match after {
            After::Start => {
                self.again("after_vm_start", machine, None, None, known);
                self.again_devices("after_device_create", machine, None, known);
            }
            After::Dehibernate { from_snapshot: yes } => {
                let parameters = from_snapshot(yes);
                self.again("after_vm_dehibernate", machine, None, Some(&parameters), known);
            }
            After::Pause(reason) => {
                self.reason = reason;
                self.again("after_vm_pause", machine, None, None, known);
            }
            After::Cont => self.again("after_vm_cont", machine, None, None, known),
            After::Hibernate => self.again("after_vm_hibernate", machine, None, None, known),
            After::MigrateSource => {
                self.again("after_vm_migrate_source", machine, None, None, known);
                self.again_devices("after_device_migrate_source", machine, None, known);
            }
            After::MigrateDestination => {
                self.again("after_vm_migrate_destination", machine, None, None, known);
                self.again_devices("after_device_migrate_destination", machine, None, known);
            }
            After::Destroy { reason, with_before } => {
                self.reason = reason;
                if with_before {
                    let advisory = Some(Failure::Advisory);
                    self.again_devices("before_device_destroy", machine, advisory, known);
                    self.again("before_vm_destroy", machine, None, None, known);
                }
                self.again("after_vm_destroy", machine, None, None, known);
                self.again_devices("after_device_destroy", machine, None, known);
            }
        }
    }

    fn again_devices(
        &mut self,
        point: &str,
        machine: &Machine,
        failure: Option<Failure>,
        known: Option<&Record>,
    ) {
        for device in set_devices(machine) {
            self.again(point, machine, Some((&device, failure)), None, known);
        }
    }

    fn again(
        &mut self,
        point: &str,
        machine: &Machine,
        device: Option<(&CustomDevice, Option<Failure>)>,
        parameters: Option<&CustomProperties>,
        known: Option<&Record>,
    ) {
        let label = device.map(|(device, _)| device.label.as_str());
        let completed = known.map(|record| record.completed(point, label)).unwrap_or_default();
        let about = About {
            device: label,
            parameters: device.map(|(device, _)| device.properties()).or(parameters),
            failure: device.and_then(|(_, failure)| failure),
            completed: &completed,
            ..About::default()
        };
        match device {
            Some((device, _)) => self.fire_about(point, &machine.device_xml(device), about),
            None => self.fire_about(point, machine.xml(), about),
        };
    }
}
