// SPDX-License-Identifier: Apache-2.0
//! Unplugging a device from a running VM (VDSM's sequences 4.13 and 4.15).

use crate::devices::live::{alias, changed, lacks, read};
use crate::devices::{Changed, metadata};
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::{About, Occasion};
use crate::scene::Place;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use virt_hooks_contract::Report;
use virt_hooks_domxml::Element;
use virt_hooks_engine::machine::Machine;
use virt_hooks_engine::{CustomProperties, Watch, is_readable};
use virt_hooks_libvirt::{Affect, DeviceChange, Domain, ErrorKind, Event, Lifecycle, Subscription};

/// How often a wait looks whether it was given up, and says that it goes on.
const TICK: Duration = Duration::from_millis(200);

/// A device to unplug from a running VM.
#[derive(Clone, Debug)]
pub struct UnplugRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// The device, by alias, MAC address or target.
    pub device: &'a str,
    /// How long the guest may take to let go of it (VDSM: 30 s).
    pub wait: Duration,
    /// How much longer to look, once it counts as failed, whether it happens after all. None for a daemon, which
    /// calls [`Driver::late_removal`] when that happens.
    pub grace: Duration,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the operation is given up. A guest that was asked by then may still let go.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// What differs from kind to kind.
#[derive(Debug)]
struct Kind {
    element: &'static str,
    operation: &'static str,
    reason: &'static str,
    before: &'static str,
    after: &'static str,
    fail: Option<&'static str>,
}

const NIC: Kind = Kind {
    element: "interface",
    operation: "unplug an interface from VM",
    reason: "nic-unplug",
    before: "before_nic_hotunplug",
    after: "after_nic_hotunplug",
    fail: Some("after_nic_hotunplug_fail"),
};
const DISK: Kind = Kind {
    element: "disk",
    operation: "unplug a disk from VM",
    reason: "disk-unplug",
    before: "before_disk_hotunplug",
    after: "after_disk_hotunplug",
    fail: None,
};

/// Devices whose guests were asked to let go, and had not when the wait was over; by UUID of the VM and alias.
#[derive(Default)]
pub(crate) struct PendingRemovals(Mutex<HashMap<(String, String), Pending>>);

/// What the point after the removal needs.
struct Pending {
    kind: &'static Kind,
    /// libvirt's number of the run of the VM: another run has other devices.
    run: Option<u32>,
    machine: Machine,
    device: Element,
    label: String,
    xml: String,
    properties: CustomProperties,
}

impl PendingRemovals {
    fn put(&self, uuid: &str, alias: &str, pending: Pending) {
        let mut all = self.all();
        // Another run of the VM has other devices.
        all.retain(|(vm, _), known| vm != uuid || known.run == pending.run);
        all.insert((uuid.to_owned(), alias.to_owned()), pending);
    }

    /// The name of the VM, where its device is waited for.
    fn name(&self, uuid: &str, alias: &str) -> Option<String> {
        let all = self.all();
        all.get(&(uuid.to_owned(), alias.to_owned())).map(|pending| pending.machine.name().to_owned())
    }

    fn take(&self, uuid: &str, alias: &str) -> Option<Pending> {
        self.all().remove(&(uuid.to_owned(), alias.to_owned()))
    }

    /// The VM ended, and with it its devices.
    pub(crate) fn forget(&self, uuid: &str) {
        self.all().retain(|(vm, _), _| vm != uuid);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Pending>> {
        // Each step leaves the table whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a wait ended.
enum End {
    Removed,
    Refused,
    TimedOut,
    GivenUp,
    VmGone,
    Lost,
}

impl Driver {
    /// Whether [`Driver::late_removal`] would have something to do.
    pub(crate) fn awaits_removal(&self, uuid: &str, alias: &str) -> bool {
        self.removals.name(uuid, alias).is_some()
    }

    /// The devices that guests were asked to let go of and that are gone from their VMs by now, by UUID and alias: the
    /// word of it was lost together with a connection.
    pub(crate) fn removed_unheard(&self) -> Vec<(String, String)> {
        let awaited: Vec<(String, String, &str)> = {
            let all = self.removals.all();
            all.iter().map(|((uuid, alias), p)| (uuid.clone(), alias.clone(), p.kind.element)).collect()
        };
        let gone = |uuid: &str, alias: &str, kind: &str| {
            let now = self.connection.lookup(uuid).map_err(Error::Unreachable).and_then(|d| read(&d));
            now.is_ok_and(|now| lacks(&now, kind, alias))
        };
        let gone = awaited.into_iter().filter(|(uuid, name, kind)| gone(uuid, name, kind));
        gone.map(|(uuid, alias, _)| (uuid, alias)).collect()
    }

    /// Unplugs a network interface from a running VM, and waits for the guest. `reports` gets the record of each
    /// event.
    ///
    /// # Errors
    /// A veto, with nothing changed (C19); or the guest or libvirt refuses, or it takes too long, after which
    /// `after_nic_hotunplug_fail` was fired.
    pub fn nic_unplug(
        &self,
        request: &UnplugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        self.unplug(&NIC, request, watch, reports)
    }

    /// Unplugs a disk from a running VM, and waits for the guest. `reports` gets the record of each event.
    ///
    /// # Errors
    /// A veto, with nothing changed; or the guest or libvirt refuses, or it takes too long. There is no point for
    /// failures.
    pub fn disk_unplug(
        &self,
        request: &UnplugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        self.unplug(&DISK, request, watch, reports)
    }

    /// A device is gone, long after this driver asked for it: fires the point after the unplug (C32). For who
    /// gets libvirt's events, from each [`DeviceChange::Removed`]; `None` where this driver waits for no such
    /// device, which is most often so, because whoever unplugs hears of it himself.
    ///
    /// # Errors
    /// Without an agent: another operation on the VM is under way. Or libvirt does not answer: try again later.
    pub fn late_removal(
        &self,
        uuid: &str,
        alias: &str,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Option<Changed>, Error> {
        let Some(name) = self.removals.name(uuid, alias) else { return Ok(None) };
        // First the VM: whoever is at it may be about to take the same removal.
        let place = self.place_beside(uuid, &name, None, watch, reports)?;
        let Some(pending) = self.removals.take(uuid, alias) else { return Ok(None) };
        let domain = match self.connection.lookup(uuid) {
            Ok(domain) => domain,
            Err(e) if e.kind == ErrorKind::NoDomain => return Ok(None),
            Err(e) => {
                self.removals.put(uuid, alias, pending);
                return Err(Error::Unreachable(e));
            }
        };
        if domain.id() != pending.run {
            return Ok(None);
        }
        let mut occasion = Occasion::afterwards(
            self,
            (pending.kind.operation, pending.kind.reason),
            pending.machine.vm.clone(),
            reports,
            watch,
        );
        Ok(Some(occasion.removed(&domain, &pending, place, true)))
    }

    fn unplug(
        &self,
        kind: &'static Kind,
        request: &UnplugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        let live = self.live(request.vm, request.cancel, watch, reports)?;
        let device = live.device(kind.element, request.device)?;
        let alias = alias(&live.machine, &device);
        let xml = live.machine.device_xml(&device);
        let mut occasion = Occasion {
            driver: self,
            operation: kind.operation,
            reason: kind.reason,
            vm: live.vm(),
            launch_flags: None,
            timeout: None,
            cancel: request.cancel,
            untouched: "nothing was unplugged",
            with_diff: request.with_diff,
            reports,
            watch,
        };
        let outcome = occasion.fire_device(kind.before, &xml, &device, None);
        occasion.settle(outcome, |_| ())?;
        let begun = Instant::now();
        // Before the guest is asked: some devices are gone before libvirt answers.
        let asked = occasion
            .check_interrupt()
            .and_then(|()| self.connection.lifecycle_events().map_err(Error::Unreachable))
            .and_then(|events| {
                let asked = live.domain.detach_device(&alias, Affect::Live);
                asked.map_err(|e| occasion.failed(e, "nobody knows whether the guest was asked"))?;
                Ok(events)
            });
        let pending = Pending {
            kind,
            run: live.domain.id(),
            machine: live.machine.clone(),
            device: device.element,
            label: device.label.clone(),
            xml,
            properties: device.properties().clone(),
        };
        let uuid = live.domain.uuid().to_owned();
        let (end, events) = match asked {
            Ok(events) => {
                occasion.watch.step(&format!("unplug {} from VM {}", device.label, live.machine.name()));
                let end = match occasion.await_removal(&events, &uuid, &alias, (begun, request.wait)) {
                    // The word of the device's end may be lost; the VM's XML cannot be wrong about it.
                    End::TimedOut if live.device_is_gone(kind.element, &alias) => End::Removed,
                    end => end,
                };
                occasion.watch.step_done();
                (end, events)
            }
            // A VM that ended by itself has no device to fail on: VDSM's sequence has no hook there.
            Err(_) if self.runs(&uuid) == Some(false) => return Err(Error::NotRunning(occasion.vm_name())),
            Err(error) => {
                occasion.unplug_failed(kind, &pending);
                return Err(error);
            }
        };
        let (operation, label) = (kind.operation, pending.label.clone());
        let (vm, device) = (occasion.vm_name(), label.clone());
        let (error, grace) = match end {
            End::Removed => {
                // An earlier request for the same device may wait for this too.
                self.removals.take(&uuid, &alias);
                let (domain, place) = live.split();
                return Ok(occasion.removed(&domain, &pending, place, false));
            }
            End::VmGone => return Err(Error::NotRunning(vm)),
            End::Refused => {
                let why = "the guest refused to let go".to_owned();
                (Error::NotReleased { operation, vm, device, why }, None)
            }
            End::TimedOut => {
                let seconds = request.wait.as_secs_f64();
                let why = format!("the guest did not let go within {seconds} s, and may do so later");
                (Error::NotReleased { operation, vm, device, why }, Some(request.grace))
            }
            End::GivenUp => {
                let left = "the guest was asked, and may still let go";
                (Error::Interrupted { operation, vm, left }, Some(Duration::ZERO))
            }
            End::Lost => {
                let left = "the connection to libvirt was lost, and nobody knows whether the guest let go";
                (Error::Interrupted { operation, vm, left }, Some(Duration::ZERO))
            }
        };
        occasion.unplug_failed(kind, &pending);
        // Nobody waits for a guest that said no.
        let Some(grace) = grace else { return Err(error) };
        // From here on whoever hears of the removal takes this, and only one can.
        self.removals.put(&uuid, &alias, pending);
        occasion.cancel = request.cancel;
        if !grace.is_zero() {
            occasion.watch.step(&format!("look whether {label} goes after all"));
        }
        let late = match occasion.await_removal(&events, &uuid, &alias, (Instant::now(), grace)) {
            // An agent may have heard of it a moment before it could know that somebody waits.
            End::TimedOut if live.device_is_gone(kind.element, &alias) => End::Removed,
            end => end,
        };
        if !grace.is_zero() {
            occasion.watch.step_done();
        }
        if matches!(late, End::Removed)
            && let Some(pending) = self.removals.take(&uuid, &alias)
        {
            occasion.cancel = None;
            let (domain, place) = live.split();
            return Ok(occasion.removed(&domain, &pending, place, true));
        }
        Err(error)
    }
}

impl Occasion<'_> {
    fn unplug_failed(&mut self, kind: &Kind, pending: &Pending) {
        self.cancel = None;
        if let Some(point) = kind.fail {
            let about = About {
                device: Some(&pending.label),
                parameters: Some(&pending.properties),
                ..About::default()
            };
            self.fire_about(point, &pending.xml, about);
        }
    }

    /// The device is gone.
    fn removed(&mut self, domain: &Domain, pending: &Pending, place: Place<'_>, late: bool) -> Changed {
        self.cancel = None;
        let mut done = Changed { late, ..changed(domain, pending.label.clone()) };
        let forgotten = metadata::forget(domain, pending.machine.doc(), pending.device);
        done.warnings.extend(forgotten.err());
        drop(place);
        let about =
            About { device: Some(&pending.label), parameters: Some(&pending.properties), ..About::default() };
        self.fire_about(pending.kind.after, &pending.xml, about);
        done
    }

    fn await_removal(
        &mut self,
        events: &Subscription,
        uuid: &str,
        alias: &str,
        (begun, wait): (Instant, Duration),
    ) -> End {
        loop {
            // What is there already counts, also where there is no time to wait.
            let left = wait.saturating_sub(begun.elapsed());
            match events.recv_timeout(left.min(TICK)) {
                Ok(Event::Device(event)) if event.is_about(uuid, alias) => match event.change {
                    DeviceChange::Removed => return End::Removed,
                    DeviceChange::RemovalFailed => return End::Refused,
                    _ => {}
                },
                Ok(Event::Lifecycle(event)) if event.uuid == uuid => {
                    if matches!(event.lifecycle, Lifecycle::Stopped(_)) {
                        return End::VmGone;
                    }
                }
                Ok(Event::Closed(_)) | Err(RecvTimeoutError::Disconnected) => return End::Lost,
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return End::TimedOut,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            if self.cancel.is_some_and(is_readable) {
                return End::GivenUp;
            }
            self.watch.step_running(begun.elapsed());
        }
    }
}
