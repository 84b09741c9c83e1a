// SPDX-License-Identifier: Apache-2.0
//! Asking a guest to shut down, and waiting until it has.

use crate::desk::Waited;
use crate::driver::Driver;
use crate::error::Error;
use crate::pause::{Served, VmRequest};
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::Watch;

impl Driver {
    /// Asks a VM's guest to shut down, and waits for at most `wait`. The request itself has no points; once the
    /// VM is gone its after-points are fired, with `_hook_reason=shutdown`.
    ///
    /// # Errors
    /// libvirt's refusal; or the guest does not heed it in time, in which case an agent fires the points when it
    /// does.
    pub fn shutdown(
        &self,
        request: &VmRequest<'_>,
        wait: Duration,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Served, Error> {
        self.with_running(
            request,
            ("shut down VM", "shutdown"),
            watch,
            reports,
            |occasion, scene, domain, machine| {
                occasion.untouched = "the guest was asked already";
                occasion.check_interrupt()?;
                occasion.watch.step(&format!("shut down VM {}", domain.name()));
                if let Err(source) = domain.shutdown() {
                    occasion.watch.step_done();
                    return Err(occasion.refused_or_lost(source));
                }
                let waited = scene.attendance.wait(wait, occasion.cancel, occasion.watch);
                occasion.watch.step_done();
                match waited {
                    Waited::Due(due) => {
                        scene.over();
                        occasion.cancel = None;
                        scene.fire(due, occasion, machine);
                        Ok(())
                    }
                    Waited::TimedOut => Err(Error::StillRuns { vm: occasion.vm_name(), waited: wait }),
                    Waited::Cancelled => occasion.check_interrupt(),
                    Waited::Lost => Err(occasion.lost_while_waiting()),
                }
            },
        )
    }
}

impl crate::occasion::Occasion<'_> {
    fn lost_while_waiting(&self) -> Error {
        match self.driver.connection.lib_version() {
            Err(source) => self.refused_or_lost(source),
            Ok(_) => Error::NotRunning(self.vm_name()),
        }
    }
}
