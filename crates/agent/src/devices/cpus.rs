// SPDX-License-Identifier: Apache-2.0
//! Changing the number of virtual CPUs of a running VM (VDSM's sequence 4.17).

use crate::devices::Changed;
use crate::devices::live::{changed, read};
use crate::driver::Driver;
use crate::error::Error;
use crate::occasion::{About, Occasion};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::{Report, env};
use virt_hooks_engine::Watch;
use virt_hooks_libvirt::Affect;

/// A number of virtual CPUs for a running VM.
#[derive(Clone, Debug)]
pub struct CpusRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// How many CPUs it is to have.
    pub count: u32,
    /// The deadline of each hook, before all other settings.
    pub timeout: Option<Duration>,
    /// When this becomes readable the operation is given up, as long as libvirt was not asked.
    pub cancel: Option<BorrowedFd<'a>>,
}

impl Driver {
    /// Changes the number of virtual CPUs of a running VM. `reports` gets the record of each event.
    ///
    /// Hooks get the live XML, `vmId`, the properties of the VM, and the number in `_hook_cpus` (C07). Fewer CPUs need
    /// the guest's consent, and never come about under QEMU's emulation (without KVM): libvirt then reports that
    /// it waited in vain.
    ///
    /// # Errors
    /// A veto, with nothing changed; or libvirt's refusal. There is no point for failures.
    pub fn set_cpus(
        &self,
        request: &CpusRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Changed, Error> {
        let live = self.live(request.vm, request.cancel, watch, reports)?;
        let mut occasion = Occasion {
            driver: self,
            operation: "set the number of CPUs of VM",
            reason: "set-cpus",
            vm: live.vm(),
            launch_flags: None,
            timeout: request.timeout,
            cancel: request.cancel,
            untouched: "nothing was changed",
            with_diff: false,
            reports,
            watch,
        };
        let count = request.count.to_string();
        let variables = [(env::CPUS, count.as_str())];
        let about = About { variables: &variables, ..About::default() };
        let outcome = occasion.fire_about("before_set_num_of_cpus", live.machine.xml(), about);
        occasion.settle(outcome, |_| ())?;
        occasion.check_interrupt()?;
        occasion.cancel = None;
        occasion.watch.step(&format!("give VM {} {count} CPUs", live.machine.name()));
        let set = live.domain.set_vcpus(request.count, Affect::Live);
        occasion.watch.step_done();
        set.map_err(|e| occasion.failed(e, "nobody knows whether the number was changed"))?;
        let done = changed(&live.domain, format!("{count} CPUs"));
        let (domain, before) = live.unlock();
        // Where libvirt does not answer just now, what there was is the next best.
        let now = read(&domain).unwrap_or(before);
        occasion.fire_about("after_set_num_of_cpus", now.xml(), about);
        Ok(done)
    }
}
