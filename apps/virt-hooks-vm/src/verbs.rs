// SPDX-License-Identifier: Apache-2.0
//! The verbs: from the command line to the driver, and from its answer to an exit code.

use std::os::fd::AsFd;
use virt_hooks::cli::{Format, Property, VmDestroy, VmList, VmStart};
use virt_hooks::operation::{Destined, Operation};
use virt_hooks::render::{Style, Table, paint};
use virt_hooks::{Failure, Interrupt, Screen, Streams, history, payload};
use virt_hooks_agent::{DestroyRequest, Driver, Error, Source, StartRequest};
use virt_hooks_contract::{PayloadKind, exit};
use virt_hooks_engine::Host;
use virt_hooks_journal::Journal;

pub(crate) fn start(start: &VmStart, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    host.check_layers()?;
    let report = Destined::prepare(start.report.as_ref())?;
    let source = match (&start.xml, &start.name) {
        (Some(place), _) => {
            let limit = host.settings.payload_limit;
            Source::Xml(
                payload::read(place, &mut *streams.input, limit, PayloadKind::Xml, true)?
                    .bytes
                    .bytes()
                    .to_vec(),
            )
        }
        (None, Some(name)) => Source::Stored(name.clone()),
        (None, None) => return Err(Failure::usage("which VM? give its name, or its XML with --xml FILE")),
    };
    let properties = start.property.iter().map(text).collect::<Result<_, _>>()?;
    let journal = Journal::new(&host.state_dir);
    let driver = Driver::connect(start.connect.as_deref(), host);
    // Not before: connecting may take for ever, and as long as nothing was done a signal may simply end us.
    let interrupt = Interrupt::listen()?;
    let request = StartRequest {
        source,
        properties,
        paused: start.paused,
        timeout: start.timeout,
        with_diff: start.diff,
        cancel: Some(interrupt.as_fd()),
    };
    let mut screen = Screen::new(streams.errors_look, start.diff);
    let mut events = Vec::new();
    let done = driver.and_then(|driver| driver.start(&request, &mut screen, &mut events));
    let started = done.as_ref().ok().map(|s| (s.name.clone(), s.uuid.clone()));
    finish("start", &report, done.err(), started.as_ref(), events, &journal, streams)?;
    if let Some((name, _)) = started {
        streams.say(&format!("{}: VM {name} runs\n", paint("started", Style::Good, streams.errors_look)));
    }
    Ok(exit::command::PROCEED)
}

pub(crate) fn destroy(destroy: &VmDestroy, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    host.check_layers()?;
    let report = Destined::prepare(destroy.report.as_ref())?;
    let journal = Journal::new(&host.state_dir);
    let driver = Driver::connect(destroy.connect.as_deref(), host);
    let interrupt = Interrupt::listen()?;
    let request = DestroyRequest { vm: &destroy.vm, with_diff: false, cancel: Some(interrupt.as_fd()) };
    let mut screen = Screen::new(streams.errors_look, false);
    let mut events = Vec::new();
    let done = driver.and_then(|driver| driver.destroy(&request, &mut screen, &mut events));
    let destroyed = done.as_ref().ok().map(|d| (d.name.clone(), d.uuid.clone()));
    finish("destroy", &report, done.err(), destroyed.as_ref(), events, &journal, streams)?;
    if let Some((name, _)) = destroyed {
        streams.say(&format!("{}: VM {name}\n", paint("destroyed", Style::Good, streams.errors_look)));
    }
    Ok(exit::command::PROCEED)
}

pub(crate) fn list(list: &VmList, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let driver = Driver::connect(list.connect.as_deref(), host).map_err(|e| failure(&e))?;
    let vms = driver.list().map_err(|e| failure(&e))?;
    let text = match list.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&vms);
            json.map_err(|e| Failure::unusable(format!("write the list: {e}")))? + "\n"
        }
        Format::Text if vms.is_empty() => "no VMs\n".to_owned(),
        Format::Text => {
            let mut table = Table::default();
            table.row(["name", "state", "stored", "uuid"].map(String::from), Some(Style::Heading));
            for vm in vms {
                let stored = if vm.persistent { "yes" } else { "no" };
                table.row([vm.name, vm.state.to_owned(), stored.to_owned(), vm.uuid], None);
            }
            table.render(0, streams.output_look)
        }
    };
    streams.print(text.as_bytes())?;
    Ok(exit::command::PROCEED)
}

/// Writes the record, and turns an error into ours.
pub(crate) fn finish(
    verb: &'static str,
    report: &Destined,
    error: Option<Error>,
    vm: Option<&(String, String)>,
    events: Vec<virt_hooks_contract::Report>,
    journal: &Journal,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    history::record(journal, &events, streams);
    let known = |f: fn(&virt_hooks_contract::Report) -> Option<String>| events.iter().find_map(f);
    let operation = Operation {
        verb,
        result: match &error {
            None => "done",
            Some(Error::Veto { .. } | Error::Flags { .. }) => "vetoed",
            Some(_) => "failed",
        },
        vm_name: vm.map(|(name, _)| name.clone()).or_else(|| known(|e| e.vm_name.clone())),
        vm_id: vm.map(|(_, id)| id.clone()).or_else(|| known(|e| e.vm_id.clone())),
        error: error.as_ref().map(ToString::to_string),
        events,
    };
    let written = report.write(&operation, streams);
    match error {
        Some(e) => Err(failure(&e)),
        None => written,
    }
}

fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Veto { .. } | Error::Flags { .. } => exit::command::VETO,
        Error::Refused { .. } | Error::NotRestored { .. } | Error::NotReleased { .. } => {
            exit::command::REFUSED
        }
        _ => exit::command::UNUSABLE,
    };
    let hint = error.hint().map(|h| format!("; {h}")).unwrap_or_default();
    Failure { code, message: format!("{error}{hint}") }
}

/// Properties of a VM are kept in its XML, which is text.
pub(crate) fn text(property: &Property) -> Result<(String, String), Failure> {
    match String::from_utf8(property.value.clone()) {
        Ok(value) => Ok((property.name.clone(), value)),
        Err(_) => Err(Failure::usage(format!("-p {}: the value is not UTF-8", property.name))),
    }
}
