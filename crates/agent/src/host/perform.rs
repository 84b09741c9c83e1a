// SPDX-License-Identifier: Apache-2.0
//! Questions by their names in `io.virthooks.Agent`.

use crate::driver::Driver;
use crate::error::Error;
use crate::host::{Inquiry, Sampling};
use crate::protocol::{Answer, Parameters};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use virt_hooks_contract::Report;
use virt_hooks_engine::Watch;

/// The questions about the host and its VMs.
pub(crate) const QUESTIONS: [&str; 4] = ["VmStats", "HostCaps", "HostStats", "HostDevices"];

impl Driver {
    /// Answers the question that is called `method`.
    pub(crate) fn perform_question(
        &self,
        method: &str,
        p: &Parameters,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
        reports: &mut Vec<Report>,
    ) -> Result<Answer, Error> {
        let sampling =
            p.interval_ms.map_or(Sampling::SinceBoot, |ms| Sampling::Over(Duration::from_millis(ms)));
        let mut inquiry = Inquiry { cancel, reports: &mut *reports, watch };
        let document = match method {
            "VmStats" => match &p.vm {
                Some(vm) => self.vm_stats(vm, sampling, &mut inquiry),
                None => self.all_vm_stats(sampling, &mut inquiry),
            },
            "HostCaps" => self.host_caps(&mut inquiry),
            "HostStats" => self.host_stats(sampling, &mut inquiry),
            "HostDevices" => self.host_devices(&mut inquiry),
            _ => return Err(Error::Missing("method")),
        };
        // Polled every few seconds: an event without hooks is not worth a record.
        reports.retain(|event| !event.runs.is_empty() || !event.error.is_empty());
        Ok(Answer { document: Some(document?), ..Answer::default() })
    }
}
