// SPDX-License-Identifier: Apache-2.0
//! The methods of `io.virthooks.Agent`: from a call to the driver, and from what came of it to an answer.

use crate::server::{Server, fine, refusal};
use serde_json::{Value, json};
use std::os::fd::AsFd;
use virt_hooks_agent::protocol::{Answer, Call, Failed, INTERFACE, Parameters, Reply, error};
use virt_hooks_agent::{Driver, Error, Kind, OPERATIONS, Teller};
use virt_hooks_contract::Report;

pub(crate) fn run(server: &Server, method: &str, call: &Call, part: &mut dyn FnMut(Value)) -> Reply {
    let parameters = match &call.parameters {
        Value::Null => Ok(Parameters::default()),
        given => serde_json::from_value::<Parameters>(given.clone()),
    };
    let parameters = match parameters {
        Ok(parameters) => parameters,
        Err(e) => return invalid(&e.to_string()),
    };
    // Methods that read.
    let read = |read: &dyn Fn(&Driver) -> Result<Value, Error>| {
        let done = server.agent.driver().and_then(|driver| read(&driver));
        done.map_or_else(|e| failed(&e, Vec::new()), fine)
    };
    match method {
        "List" => read(&|driver| Ok(json!({"vms": driver.list()?}))),
        "Show" => match &parameters.vm {
            Some(vm) => read(&|driver| Ok(json!(driver.show(vm)?))),
            None => invalid("vm"),
        },
        _ if OPERATIONS.contains(&method) => operate(server, method, &parameters, part),
        _ => refusal("org.varlink.service.MethodNotFound", json!({"method": call.method})),
    }
}

fn operate(server: &Server, method: &str, parameters: &Parameters, part: &mut dyn FnMut(Value)) -> Reply {
    let cancel = parameters.operation.as_deref().map(|name| server.cancellable(name)).transpose();
    let cancel = match cancel {
        Ok(cancel) => cancel,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return invalid("operation"),
        Err(e) => return failed_with(&format!("make a pipe: {e}"), None, error::FAILED, Vec::new()),
    };
    let mut teller = Teller::new(parameters.diff, |progress| {
        part(json!(Answer { progress: Some(progress), ..Answer::default() }));
    });
    let mut reports = Vec::new();
    let cancelled = cancel.as_ref().map(|(reader, _)| reader.as_fd());
    let done = server
        .agent
        .driver()
        .and_then(|driver| driver.perform(method, parameters, cancelled, &mut teller, &mut reports));
    server.log.record(&reports);
    match done {
        Ok(served) => fine(json!(Answer {
            progress: None,
            name: Some(served.name),
            uuid: Some(served.uuid),
            events: reports,
        })),
        Err(Error::Missing(parameter)) => invalid(parameter),
        Err(e) => failed(&e, reports),
    }
}

fn invalid(parameter: &str) -> Reply {
    refusal("org.varlink.service.InvalidParameter", json!({"parameter": parameter}))
}

fn failed(e: &Error, events: Vec<Report>) -> Reply {
    let name = match e.kind() {
        Kind::Vetoed => error::VETOED,
        Kind::Refused => error::REFUSED,
        Kind::Failed => error::FAILED,
    };
    failed_with(&e.to_string(), e.hint(), name, events)
}

fn failed_with(message: &str, hint: Option<&str>, name: &str, events: Vec<Report>) -> Reply {
    let failed = Failed { message: message.to_owned(), hint: hint.map(str::to_owned), events };
    refusal(&format!("{INTERFACE}.{name}"), json!(failed))
}
