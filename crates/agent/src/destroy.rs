// SPDX-License-Identifier: Apache-2.0
//! Destroying a VM (VDSM's sequence 4.11).

use crate::driver::Driver;
use crate::error::Error;
use crate::lock::VmLock;
use crate::machine::Machine;
use crate::occasion::Occasion;

use std::os::fd::BorrowedFd;
use virt_hooks_contract::Report;
use virt_hooks_engine::Watch;
use virt_hooks_libvirt::XmlFlags;

/// What to destroy, and how.
#[derive(Clone, Debug)]
pub struct DestroyRequest<'a> {
    /// The VM, by name or UUID.
    pub vm: &'a str,
    /// Whether reports hold a diff for each hook that changed something.
    pub with_diff: bool,
    /// When this becomes readable the destroy is given up, as long as the VM runs.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// A VM that was destroyed.
#[derive(Clone, Debug)]
pub struct Destroyed {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
}

impl Driver {
    /// Ends a running VM at once, as pulling the plug would. `reports` gets the record of each event.
    ///
    /// # Errors
    /// There is no such VM, it does not run, libvirt refuses, or it was given up; no hook can stop it.
    pub fn destroy(
        &self,
        request: &DestroyRequest<'_>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Destroyed, Error> {
        let domain = self.connection.lookup(request.vm).map_err(Error::Unreachable)?;
        let _lock = VmLock::take(&self.engine.settings().run_dir, domain.uuid(), domain.name())?;
        if !domain.is_active().map_err(Error::Unreachable)? {
            return Err(Error::NotRunning(domain.name().to_owned()));
        }
        let machine = Machine::read(domain.xml(XmlFlags::default()).map_err(Error::Unreachable)?.as_bytes())?;
        let mut occasion = Occasion {
            driver: self,
            operation: "destroy VM",
            reason: "destroy",
            vm: machine.vm.clone(),
            launch_flags: None,
            timeout: None,
            cancel: request.cancel,
            untouched: "the VM still runs",
            with_diff: request.with_diff,
            reports,
            watch,
        };
        occasion.before_destroy(&machine)?;
        occasion.cancel = None;
        occasion.watch.step(&format!("destroy VM {}", domain.name()));
        let destroyed = domain.destroy();
        occasion.watch.step_done();
        // It may have gone by itself while hooks ran: what they are to clean up after is gone all the same.
        if let Err(source) = destroyed
            && self.runs(domain.uuid()) != Some(false)
        {
            return Err(occasion.refused(source));
        }
        occasion.after_destroy(&machine);
        Ok(Destroyed { name: domain.name().to_owned(), uuid: domain.uuid().to_owned() })
    }
}
