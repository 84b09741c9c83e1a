// SPDX-License-Identifier: Apache-2.0
//! Firing the points of an operation.

use crate::driver::Driver;
use crate::error::Error;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use virt_hooks_contract::{Failure, Point, Report, Verdict, env};
use virt_hooks_engine::{
    CustomDevice, CustomProperties, Document, Event, Machine, Outcome, Trouble, Vm, Watch, is_readable,
};

/// How often who watches is told of a step that takes long.
const TICK: Duration = Duration::from_secs(1);
/// How often what is done meanwhile has its turn.
const SLICE: Duration = Duration::from_millis(200);

/// One operation on a VM: what its events have in common, and their records.
pub(crate) struct Occasion<'a> {
    pub(crate) driver: &'a Driver,
    pub(crate) operation: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) vm: Vm,
    pub(crate) launch_flags: Option<std::path::PathBuf>,
    pub(crate) timeout: Option<Duration>,
    /// Gives up events while it is set; clean-up is not given up.
    pub(crate) cancel: Option<BorrowedFd<'a>>,
    /// What there is after the operation was given up.
    pub(crate) untouched: &'static str,
    pub(crate) with_diff: bool,
    pub(crate) reports: &'a mut Vec<Report>,
    pub(crate) watch: &'a mut dyn Watch,
}

impl<'a> Occasion<'a> {
    /// For what happened already: nobody asked for it who could give it up or wants differences.
    pub(crate) fn afterwards(
        driver: &'a Driver,
        (operation, reason): (&'static str, &'static str),
        vm: Vm,
        reports: &'a mut Vec<Report>,
        watch: &'a mut dyn Watch,
    ) -> Self {
        Self {
            driver,
            operation,
            reason,
            vm,
            launch_flags: None,
            timeout: None,
            cancel: None,
            untouched: "",
            with_diff: false,
            reports,
            watch,
        }
    }
}

/// What an event is about, beside its VM.
#[derive(Clone, Copy, Default)]
pub(crate) struct About<'a> {
    /// What to call the device, for who watches.
    pub(crate) device: Option<&'a str>,
    /// Custom properties of the device, or parameters of the call.
    pub(crate) parameters: Option<&'a CustomProperties>,
    /// What a failing hook does, where not what the point says.
    pub(crate) failure: Option<Failure>,
    /// Hooks that are not to run again.
    pub(crate) completed: &'a [PathBuf],
    /// Variables of this point alone.
    pub(crate) variables: &'a [(&'static str, &'a str)],
    /// Which attempt it belongs to, from 1, where there may be more than one.
    pub(crate) attempt: Option<u32>,
}

impl Occasion<'_> {
    /// Fires a point about the VM.
    pub(crate) fn fire(&mut self, name: &str, payload: &str) -> Outcome {
        self.fire_about(name, payload, About::default())
    }

    /// Fires a point about a device. `failure` is what a failing hook does, where not what the point says.
    pub(crate) fn fire_device(
        &mut self,
        name: &str,
        payload: &str,
        device: &CustomDevice,
        failure: Option<Failure>,
    ) -> Outcome {
        let (device, parameters) = (Some(device.label.as_str()), Some(device.properties()));
        self.fire_about(name, payload, About { device, parameters, failure, ..About::default() })
    }

    /// Fires a point.
    pub(crate) fn fire_about(&mut self, name: &str, payload: &str, about: About<'_>) -> Outcome {
        let About { device, parameters, failure, completed, variables, attempt } = about;
        let unknown;
        let point = match self.driver.catalogue.get(name) {
            Some(p) => p,
            // Not to be: the table holds every name used here, which a test shows.
            None => {
                unknown = Point::unknown(name);
                &unknown
            }
        };
        let role = point.role().map(|role| (env::ROLE, role));
        let variables: Vec<_> = variables.iter().copied().chain(role).collect();
        let event = Event {
            vm: Some(&self.vm),
            parameters,
            completed,
            variables: &variables,
            attempt: attempt.unwrap_or(1),
            reason: Some(self.reason),
            launch_flags: self.launch_flags.as_deref().map(Path::new),
            timeout: self.timeout,
            cancel: self.cancel,
            failure,
            ..Event::new(point, payload)
        };
        self.watch.event(point, device);
        let outcome = self.driver.engine.fire_observed(&event, self.watch);
        self.watch.outcome(&outcome);
        self.reports.push(outcome.report(self.with_diff));
        outcome
    }

    /// Calls libvirt, which may take long, and tells meanwhile how long it takes.
    pub(crate) fn step<T: Send>(&mut self, what: &str, call: impl Fn() -> T + Sync) -> T {
        self.step_while(what, call, |_, _| {})
    }

    /// The same, with something to do meanwhile, several times a second.
    pub(crate) fn step_while<T: Send>(
        &mut self,
        what: &str,
        call: impl Fn() -> T + Sync,
        mut meanwhile: impl FnMut(Duration, &mut dyn Watch),
    ) -> T {
        self.watch.step(what);
        let begun = Instant::now();
        let mut told = Duration::ZERO;
        let done = thread::scope(|scope| {
            let (ended, end) = mpsc::channel::<()>();
            let worker = thread::Builder::new().spawn_scoped(scope, || {
                let _ended = ended;
                call()
            });
            // Without a thread to spare nobody is told meanwhile.
            let Ok(worker) = worker else { return call() };
            while end.recv_timeout(SLICE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let elapsed = begun.elapsed();
                if elapsed >= told + TICK {
                    told = elapsed;
                    self.watch.step_running(elapsed);
                }
                meanwhile(elapsed, self.watch);
            }
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        self.watch.step_done();
        done
    }

    /// The result of a vetoing point, or the veto as an error of the operation. `keep` gets the result either way.
    pub(crate) fn settle(&self, outcome: Outcome, keep: impl FnOnce(&Document)) -> Result<Document, Error> {
        let point = outcome.point.clone();
        if let Some(trouble) = &outcome.trouble {
            keep(&outcome.payload);
            return Err(match trouble {
                Trouble::Cancelled => self.interrupted(),
                other => Error::Trouble {
                    operation: self.operation,
                    vm: self.vm_name(),
                    point,
                    trouble: other.line(),
                },
            });
        }
        outcome.settle(keep).map_err(|error| Error::Veto {
            operation: self.operation,
            vm: self.vm_name(),
            point,
            error,
        })
    }

    /// An error where a package has its hooks veto at a point that only advises. That hooks could not be run is none
    /// there.
    pub(crate) fn heed(&self, outcome: Outcome) -> Result<(), Error> {
        let cancelled = matches!(outcome.trouble, Some(Trouble::Cancelled));
        if outcome.verdict == Verdict::Veto && !cancelled {
            let error = outcome.hook_error();
            let (operation, vm) = (self.operation, self.vm_name());
            return Err(Error::Veto { operation, vm, point: outcome.point, error });
        }
        self.check_interrupt()
    }

    /// An error where the operation was given up.
    pub(crate) fn check_interrupt(&self) -> Result<(), Error> {
        if self.cancel.is_some_and(is_readable) { Err(self.interrupted()) } else { Ok(()) }
    }

    pub(crate) fn interrupted(&self) -> Error {
        Error::Interrupted { operation: self.operation, vm: self.vm_name(), left: self.untouched }
    }

    /// The VM's name, for errors.
    pub(crate) fn vm_name(&self) -> String {
        self.vm.name.clone().unwrap_or_default()
    }

    /// What libvirt said, as an error of the operation.
    pub(crate) fn refused(&self, source: virt_hooks_libvirt::Error) -> Error {
        Error::Refused { operation: self.operation, vm: self.vm_name(), source: Box::new(source) }
    }

    /// The destroy points before the VM is gone. Who asked for it can stop it, and no hook (C05, C06), except one at
    /// `before_vm_destroy` whose package says that it vetoes.
    pub(crate) fn before_destroy(&mut self, machine: &Machine) -> Result<(), Error> {
        for device in set_devices(machine) {
            let xml = machine.device_xml(&device);
            self.fire_device("before_device_destroy", &xml, &device, Some(Failure::Advisory));
            self.check_interrupt()?;
        }
        let outcome = self.fire("before_vm_destroy", machine.xml());
        self.heed(outcome)
    }
}

/// Devices with custom properties that are set: the points after a start care for no others.
pub(crate) fn set_devices(machine: &Machine) -> impl Iterator<Item = CustomDevice> {
    machine.custom_devices().into_iter().filter(|d| !d.properties().is_empty())
}
