// SPDX-License-Identifier: Apache-2.0
//! Questions: their answers are JSON documents on standard output, as VDSM gives them.

use crate::verbs::finish;
use serde_json::Value;
use std::os::fd::AsFd;
use std::time::Duration;
use virt_hooks::cli::{HostAsk, HostStats, Place, VmStats};
use virt_hooks::operation::Destined;
use virt_hooks::{Failure, Interrupt, Screen, Streams};
use virt_hooks_agent::{Driver, Error, Inquiry, Sampling};
use virt_hooks_contract::exit;
use virt_hooks_engine::Host;
use virt_hooks_journal::Journal;

pub(crate) fn caps(asked: &HostAsk, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    ask("caps", asked.connect.as_deref(), asked.report.as_ref(), host, streams, |driver, inquiry| {
        driver.host_caps(inquiry)
    })
}

pub(crate) fn host_stats(asked: &HostStats, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let sampling = sampling(asked.since_boot, asked.interval);
    let HostAsk { connect, report } = &asked.ask;
    ask("stats", connect.as_deref(), report.as_ref(), host, streams, |driver, inquiry| {
        driver.host_stats(sampling, inquiry)
    })
}

pub(crate) fn devices(asked: &HostAsk, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    ask("devices", asked.connect.as_deref(), asked.report.as_ref(), host, streams, |driver, inquiry| {
        driver.host_devices(inquiry)
    })
}

pub(crate) fn vm_stats(asked: &VmStats, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let sampling = sampling(asked.no_rates, asked.interval);
    ask("stats", asked.connect.as_deref(), asked.report.as_ref(), host, streams, |driver, inquiry| {
        match &asked.vm {
            Some(vm) => driver.vm_stats(vm, sampling, inquiry),
            None => driver.all_vm_stats(sampling, inquiry),
        }
    })
}

fn sampling(once: bool, interval: Duration) -> Sampling {
    if once { Sampling::SinceBoot } else { Sampling::Over(interval) }
}

fn ask(
    verb: &'static str,
    uri: Option<&str>,
    report: Option<&Place>,
    host: Host,
    streams: &mut Streams<'_>,
    question: impl FnOnce(&Driver, &mut Inquiry<'_>) -> Result<Value, Error>,
) -> Result<u8, Failure> {
    host.check_layers()?;
    if report == Some(&Place::Standard) {
        return Err(Failure::usage("--report -: standard output belongs to the answer, give a file"));
    }
    let report = Destined::prepare(report)?;
    let journal = Journal::new(&host.state_dir);
    let driver = Driver::connect(uri, host);
    let interrupt = Interrupt::listen()?;
    let mut screen = Screen::new(streams.errors_look, false);
    let mut events = Vec::new();
    let answer = driver.and_then(|driver| {
        let cancel = Some(interrupt.as_fd());
        question(&driver, &mut Inquiry { cancel, reports: &mut events, watch: &mut screen })
    });
    // Polled every few seconds: an event without hooks is not worth a record.
    events.retain(|event| !event.runs.is_empty() || !event.error.is_empty());
    let (answer, error) = match answer {
        Ok(answer) => (Some(answer), None),
        Err(error) => (None, Some(error)),
    };
    finish(verb, &report, error, None, events, &journal, streams)?;
    if let Some(answer) = answer {
        let json = serde_json::to_string_pretty(&answer);
        let json = json.map_err(|e| Failure::unusable(format!("write the answer: {e}")))?;
        streams.print(format!("{json}\n").as_bytes())?;
    }
    Ok(exit::command::PROCEED)
}
