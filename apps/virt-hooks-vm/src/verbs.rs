// SPDX-License-Identifier: Apache-2.0
//! The verbs: from the command line to the agent, or to a driver of our own where there is none, and from the
//! answer to an exit code.

use crate::agent::{Client, Refusal};
use crate::apply;
use crate::request::{Done, Request};
use std::os::fd::AsFd;
use virt_hooks::cli::{Format, Place, VmCommand, VmList, VmShow, Whom};
use virt_hooks::operation::{Destined, Operation};
use virt_hooks::render::{Style, Table, paint, printable};
use virt_hooks::{Failure, Interrupt, Screen, Streams, history};
use virt_hooks_agent::protocol::{Answer, Parameters};
use virt_hooks_agent::{Driver, Error, Kind, Listed, Shown};
use virt_hooks_contract::exit;
use virt_hooks_engine::Host;
use virt_hooks_journal::Journal;

pub(crate) fn run(command: &VmCommand, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    match command {
        VmCommand::List(list) => self::list(list, host, streams),
        VmCommand::Show(show) => self::show(show, host, streams),
        _ => {
            // Before anything is asked for.
            match Request::of(command, host.settings.payload_limit, streams)? {
                Some(request) => operate(&request, host, streams),
                None => Err(Failure::usage("no operation on a VM")),
            }
        }
    }
}

/// The agent, unless the command line wants none.
fn agent(whom: &Whom, host: &Host) -> Option<Client> {
    (whom.connect.is_none() && !whom.no_agent).then(|| Client::connect(&host.agent_socket))?
}

/// Does what is requested, or asks.
pub(crate) fn operate(request: &Request<'_>, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    host.check_layers()?;
    if matches!(request.done, Done::Document) && request.report == Some(&Place::Standard) {
        return Err(Failure::usage("--report -: standard output belongs to the answer, give a file"));
    }
    let report = Destined::prepare(request.report)?;
    let mut screen = Screen::new(streams.errors_look, request.diff);
    let done = match agent(request.whom, &host) {
        Some(agent) => {
            let interrupt = Interrupt::listen()?;
            agent.operate(request.method, request.parameters.clone(), interrupt.as_fd(), &mut screen)
        }
        None => by_ourselves(request, host, &mut screen, streams)?,
    };
    let (verb, known) = (request.verb, |events: &[virt_hooks_contract::Report]| {
        let name = events.iter().find_map(|e| e.vm_name.clone());
        (name, events.iter().find_map(|e| e.vm_id.clone()))
    });
    match done {
        Ok(mut answer) => {
            let (name, id) = known(&answer.events);
            answer.name = answer.name.or(name);
            let operation = Operation {
                verb,
                result: "done",
                vm_name: answer.name.clone(),
                vm_id: answer.uuid.take().or(id),
                error: None,
                events: std::mem::take(&mut answer.events),
            };
            report.write(&operation, streams)?;
            tell(request, &answer, streams)?;
            Ok(exit::command::PROCEED)
        }
        Err(refusal) => {
            let (vm_name, vm_id) = known(&refusal.events);
            let operation = Operation {
                verb,
                result: refusal.result,
                vm_name,
                vm_id,
                error: Some(refusal.error),
                events: refusal.events,
            };
            // The error of the operation is the one to tell.
            let _ = report.write(&operation, streams);
            Err(refusal.failure)
        }
    }
}

/// Tells what was done.
fn tell(request: &Request<'_>, answer: &Answer, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let name = answer.name.as_deref().unwrap_or_default();
    match request.done {
        Done::Vm(word, after) => {
            streams.say(&format!("{}: VM {name}{after}\n", paint(word, Style::Good, streams.errors_look)));
        }
        Done::Change => {
            for warning in &answer.warnings {
                let word = paint("warning", Style::Odd, streams.errors_look);
                streams.say(&format!("{word}: {}\n", printable(warning)));
            }
            let what = printable(answer.what.as_deref().unwrap_or_default());
            let late = if answer.late { ", late" } else { "" };
            let word = paint(request.verb, Style::Good, streams.errors_look);
            streams.say(&format!("{word}: {what} of VM {}{late}\n", printable(name)));
        }
        Done::Definition(command) => {
            apply::tell(command, (name, answer.changed, answer.definition_diff.as_deref()), streams)?;
        }
        Done::Document => {
            let document = answer.document.as_ref().unwrap_or(&serde_json::Value::Null);
            streams.print(json(document)?.as_bytes())?;
        }
    }
    Ok(())
}

/// Without an agent.
fn by_ourselves(
    request: &Request<'_>,
    host: Host,
    screen: &mut Screen,
    streams: &mut Streams<'_>,
) -> Result<Result<Answer, Refusal>, Failure> {
    let journal = Journal::new(&host.state_dir);
    let driver = Driver::connect(request.whom.connect.as_deref(), host);
    // Not before: connecting may take for ever, and as long as nothing was done a signal may simply end us.
    let interrupt = Interrupt::listen()?;
    let mut events = Vec::new();
    let done = driver.and_then(|driver| {
        let cancel = Some(interrupt.as_fd());
        driver.perform(request.method, &request.parameters, cancel, screen, &mut events)
    });
    history::record(&journal, &events, streams);
    Ok(match done {
        Ok(answer) => Ok(Answer { events, ..answer }),
        Err(e) => Err(Refusal {
            result: if e.kind() == Kind::Vetoed { "vetoed" } else { "failed" },
            error: e.to_string(),
            failure: failure(&e),
            events,
        }),
    })
}

fn list(list: &VmList, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let vms: Vec<Listed> = match agent(&list.whom, &host) {
        Some(agent) => {
            let mut answer: serde_json::Value = agent.ask("List", &Parameters::default())?;
            serde_json::from_value(answer["vms"].take())
                .map_err(|e| Failure::unusable(format!("read the agent's list: {e}")))?
        }
        None => {
            let driver = Driver::connect(list.whom.connect.as_deref(), host).map_err(|e| failure(&e))?;
            driver.list().map_err(|e| failure(&e))?
        }
    };
    let text = match list.format {
        Format::Json => json(&vms)?,
        Format::Text if vms.is_empty() => "no VMs\n".to_owned(),
        Format::Text => {
            let mut table = Table::default();
            table.row(["name", "state", "stored", "uuid"].map(String::from), Some(Style::Heading));
            for vm in vms {
                let stored = if vm.persistent { "yes" } else { "no" };
                table.row([vm.name, vm.state, stored.to_owned(), vm.uuid], None);
            }
            table.render(0, streams.output_look)
        }
    };
    streams.print(text.as_bytes())?;
    Ok(exit::command::PROCEED)
}

fn show(show: &VmShow, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let shown: Shown = match agent(&show.whom, &host) {
        Some(agent) => {
            agent.ask("Show", &Parameters { vm: Some(show.vm.clone()), ..Parameters::default() })?
        }
        None => {
            let driver = Driver::connect(show.whom.connect.as_deref(), host).map_err(|e| failure(&e))?;
            driver.show(&show.vm).map_err(|e| failure(&e))?
        }
    };
    let text = match show.format {
        Format::Json => json(&shown)?,
        Format::Text => {
            let mut table = Table::default();
            let stored = if shown.persistent { "yes" } else { "no" };
            for (what, value) in [
                ("name", shown.name.as_str()),
                ("uuid", &shown.uuid),
                ("state", &shown.state),
                ("phase", &shown.phase),
                ("stored", stored),
            ] {
                table.row([what, value].map(String::from), None);
            }
            let mut properties = |of: &str, all: &std::collections::BTreeMap<String, String>| {
                for (name, value) in all {
                    let line = format!("{name}={value}");
                    table.row([of.to_owned(), printable(&line).into_owned()], None);
                }
            };
            properties("property", &shown.properties);
            for device in &shown.devices {
                properties(&printable(&device.device), &device.properties);
            }
            table.render(0, streams.output_look)
        }
    };
    streams.print(text.as_bytes())?;
    Ok(exit::command::PROCEED)
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|e| Failure::unusable(format!("write JSON: {e}")))? + "\n")
}

fn failure(error: &Error) -> Failure {
    let code = match error.kind() {
        Kind::Vetoed => exit::command::VETO,
        Kind::Refused => exit::command::REFUSED,
        Kind::Busy | Kind::Failed => exit::command::UNUSABLE,
    };
    let hint = error.hint().map(|h| format!("; {h}")).unwrap_or_default();
    Failure { code, message: format!("{error}{hint}") }
}
