// SPDX-License-Identifier: Apache-2.0
//! Questions: their answers are JSON documents on standard output, as VDSM gives them.

use crate::request::{Done, Request, milliseconds};
use std::time::Duration;
use virt_hooks::cli::{HostAsk, HostCommand, Place, VmStats, Whom};
use virt_hooks_agent::protocol::Parameters;

/// The question of a command about the host; `None` for one that is no question.
pub(crate) fn of_host(command: &HostCommand) -> Option<Request<'_>> {
    Some(match command {
        HostCommand::Caps(HostAsk { whom, report }) => ask("HostCaps", "caps", None, whom, report.as_ref()),
        HostCommand::Devices(HostAsk { whom, report }) => {
            ask("HostDevices", "devices", None, whom, report.as_ref())
        }
        HostCommand::Stats(stats) => {
            let HostAsk { whom, report } = &stats.ask;
            ask("HostStats", "stats", interval(stats.since_boot, stats.interval), whom, report.as_ref())
        }
        HostCommand::SetupNetworks(_) => return None,
    })
}

/// The question for the statistics of VMs.
pub(crate) fn of_vms(stats: &VmStats) -> Request<'_> {
    let interval = interval(stats.no_rates, stats.interval);
    let mut request = ask("VmStats", "stats", interval, &stats.whom, stats.report.as_ref());
    request.parameters.vm = stats.vm.clone();
    request
}

fn ask<'a>(
    method: &'static str,
    verb: &'static str,
    interval_ms: Option<u64>,
    whom: &'a Whom,
    report: Option<&'a Place>,
) -> Request<'a> {
    let parameters = Parameters { interval_ms, ..Parameters::default() };
    Request { method, verb, done: Done::Document, parameters, whom, report, diff: false }
}

fn interval(once: bool, interval: Duration) -> Option<u64> {
    (!once).then(|| milliseconds(interval))
}
