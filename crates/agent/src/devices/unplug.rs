// SPDX-License-Identifier: Apache-2.0
//! Unplugging a device from a running VM (VDSM's sequences 4.13 and 4.15).

use crate::devices::live::{alias, changed, lacks, read};
use crate::devices::removals::Pending;
use crate::devices::{Changed, metadata};
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::{About, Occasion};
use crate::scene::Place;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use virt_hooks_contract::Report;
use virt_hooks_engine::{Watch, is_readable};
use virt_hooks_libvirt::{Affect, DeviceChange, Domain, Event, Lifecycle, Subscription};

/// How often a wait looks whether it was given up, and says that it goes on.
const TICK: Duration = Duration::from_millis(200);

/// How long the end of a VM may take that refuses because it ends.
const ENDING: Duration = Duration::from_secs(2);

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
pub(super) struct Kind {
    pub(super) element: &'static str,
    pub(super) operation: &'static str,
    pub(super) reason: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) fail: Option<&'static str>,
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

/// How a wait ended.
enum End {
    Removed,
    Refused,
    TimedOut,
    GivenUp,
    VmGone,
    Lost,
    /// libvirt did not take the request.
    NotAsked(Error),
}

impl Driver {
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

    fn unplug(
        &self,
        kind: &'static Kind,
        request: &UnplugRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        let domain = self.connection.lookup(request.vm).map_err(Error::Unreachable)?;
        let alone = self.unplug_alone((domain.uuid(), domain.name()), request.cancel, watch)?;
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
        let (uuid, vm) = (domain.uuid().to_owned(), occasion.vm_name());
        let (operation, label) = (kind.operation, device.label.clone());
        let pending = Pending {
            kind,
            // Not of `domain`: it may have been started while we waited for our turn.
            run: self.run_of(&uuid),
            machine: live.machine.clone(),
            device: device.element,
            label: label.clone(),
            xml,
            properties: device.properties().clone(),
        };
        let (domain, place) = live.split();
        let is_gone = || read(&domain).is_ok_and(|now| lacks(&now, kind.element, &alias));
        // Before the guest is asked: some devices are gone before libvirt answers.
        let events = occasion
            .check_interrupt()
            .and_then(|()| self.connection.lifecycle_events().map_err(Error::Unreachable));
        // Who asked for the same device before, and waits no longer, hears of its end by us.
        let inherited = self.removals.take(&uuid, &alias).is_some();
        let asked = events.and_then(|events| {
            let asked = occasion.ask_guest(&domain, &alias, &label, place);
            // One that is being ended just now refuses before it is gone.
            if asked.is_err()
                && let End::VmGone = occasion.await_removal(&events, &uuid, &alias, (Instant::now(), ENDING))
            {
                return Err(Error::NotRunning(vm.clone()));
            }
            asked.map(|()| events)
        });
        let (end, events) = match asked {
            Ok(events) => {
                occasion.watch.step(&format!("unplug {label} from VM {vm}"));
                let end = match occasion.await_removal(&events, &uuid, &alias, (begun, request.wait)) {
                    // The word of the device's end may be lost; the VM's XML cannot be wrong about it.
                    End::TimedOut if is_gone() => End::Removed,
                    end => end,
                };
                occasion.watch.step_done();
                (end, Some(events))
            }
            Err(Error::NotRunning(_)) => (End::VmGone, None),
            Err(error) => (End::NotAsked(error), None),
        };
        let (error, grace) = match end {
            End::Removed => {
                let place = (self.come_back(&uuid, &vm), alone);
                return Ok(occasion.removed(&domain, &pending, place, false));
            }
            End::VmGone => return Err(Error::NotRunning(vm)),
            End::NotAsked(error) => (error, None),
            End::Refused => {
                let (why, device) = ("the guest refused to let go".to_owned(), label.clone());
                (Error::NotReleased { operation, vm: vm.clone(), device, why }, None)
            }
            End::TimedOut => {
                let seconds = request.wait.as_secs_f64();
                let why = format!("the guest did not let go within {seconds} s, and may do so later");
                let device = label.clone();
                (Error::NotReleased { operation, vm: vm.clone(), device, why }, Some(request.grace))
            }
            End::GivenUp => {
                let left = "the guest was asked, and may still let go";
                (Error::Interrupted { operation, vm: vm.clone(), left }, Some(Duration::ZERO))
            }
            End::Lost => {
                let left = "the connection to libvirt was lost, and nobody knows whether the guest let go";
                (Error::Interrupted { operation, vm: vm.clone(), left }, Some(Duration::ZERO))
            }
        };
        let place = self.come_back(&uuid, &vm);
        // A VM that ended has no device to fail on: VDSM's sequence has no hook there.
        if self.is_over(&uuid, pending.run) {
            return Err(Error::NotRunning(vm));
        }
        occasion.unplug_failed(kind, &pending);
        drop(place);
        // Nobody waits for a guest that said no, or was not asked, unless somebody did before.
        let grace = grace.or(inherited.then_some(Duration::ZERO));
        let Some(grace) = grace else { return Err(error) };
        // From here on whoever hears of the removal takes this, and only one can.
        self.removals.put(&uuid, &alias, pending);
        occasion.cancel = request.cancel;
        if !grace.is_zero() {
            occasion.watch.step(&format!("look whether {label} goes after all"));
        }
        let late = match &events {
            Some(events) => occasion.await_removal(events, &uuid, &alias, (Instant::now(), grace)),
            None => End::TimedOut,
        };
        // An agent may have heard of it a moment before it could know that somebody waits.
        let gone = matches!(late, End::Removed) || matches!(late, End::TimedOut) && is_gone();
        if !grace.is_zero() {
            occasion.watch.step_done();
        }
        if gone {
            let place = (self.come_back(&uuid, &vm), alone);
            if let Some(pending) = self.removals.take(&uuid, &alias) {
                return Ok(occasion.removed(&domain, &pending, place, true));
            }
        }
        Err(error)
    }

    /// libvirt's number of the run that a VM is at.
    fn run_of(&self, uuid: &str) -> Option<u32> {
        self.connection.lookup(uuid).ok().and_then(|domain| domain.id())
    }

    /// Whether the VM surely is not at that run any more.
    fn is_over(&self, uuid: &str, run: Option<u32>) -> bool {
        match self.connection.lookup(uuid) {
            // One without a number runs no more, also where it was gone before the first look.
            Ok(domain) => domain.id().is_none_or(|now| Some(now) != run),
            Err(_) => self.runs(uuid) == Some(false),
        }
    }
}

impl Occasion<'_> {
    /// Asks the guest to let go. libvirt waits for its answer for a while, and the place at the VM is left meanwhile,
    /// once the request is on its way: before that another run of the VM could be the one that is asked.
    fn ask_guest(
        &mut self,
        domain: &Domain,
        alias: &str,
        label: &str,
        place: Place<'_>,
    ) -> Result<(), Error> {
        let under_way = AtomicBool::new(false);
        let mut place = Some(place);
        let asked = self.step_while(
            &format!("ask the guest of VM {} to let go of {label}", domain.name()),
            || {
                under_way.store(true, Ordering::Release);
                domain.detach_device(alias, Affect::Live)
            },
            |_, _| {
                if under_way.load(Ordering::Acquire) {
                    drop(place.take());
                }
            },
        );
        asked.map_err(|e| self.failed(e, "nobody knows whether the guest was asked"))
    }

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

    /// The device is gone. Others are kept out, by `place`, until that is noted.
    pub(super) fn removed<P>(&mut self, domain: &Domain, pending: &Pending, place: P, late: bool) -> Changed {
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
