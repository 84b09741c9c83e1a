// SPDX-License-Identifier: Apache-2.0
//! The methods of `io.virthooks.Agent`: from a call to the driver, and from what came of it to an answer.

use crate::server::{Server, fine, refusal};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use virt_hooks_agent::protocol::{Answer, Call, Failed, INTERFACE, Parameters, Reply, error};
use virt_hooks_agent::{Driver, Error, Kind, Teller, operations};
use virt_hooks_contract::Report;

pub(crate) fn run(
    server: &Server,
    method: &str,
    call: &Call,
    client: &UnixStream,
    part: &mut dyn FnMut(Value),
) -> Reply {
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
        "Receive" => receive(server, parameters, client, part),
        _ if operations().any(|known| known == method) => operate(server, method, &parameters, part),
        _ => refusal("org.varlink.service.MethodNotFound", json!({"method": call.method})),
    }
}

/// An arrival, which whoever sends the VM gives up by closing the connection, whatever it ends by.
fn receive(
    server: &Server,
    mut parameters: Parameters,
    client: &UnixStream,
    part: &mut dyn FnMut(Value),
) -> Reply {
    let name = parameters.operation.get_or_insert_with(|| format!("receive {client:?}")).clone();
    let (over, end) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(e) => return failed_with(&format!("make a pipe: {e}"), None, error::FAILED, Vec::new()),
    };
    thread::scope(|scope| {
        let watch = || {
            if is_closed(client.as_fd(), over.as_fd()) {
                server.cancel(&name);
            }
        };
        if let Err(e) = thread::Builder::new().name("client".to_owned()).spawn_scoped(scope, watch) {
            return failed_with(&format!("start a thread: {e}"), None, error::FAILED, Vec::new());
        }
        let reply = operate(server, "Receive", &parameters, part);
        drop(end);
        reply
    })
}

/// Waits until the other side of a connection closes it, or until `over` is; says whether it was the former.
fn is_closed(client: BorrowedFd<'_>, over: BorrowedFd<'_>) -> bool {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(client, PollFlags::RDHUP),
            PollFd::from_borrowed_fd(over, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            // Nobody can say: the operation ends by itself.
            Err(_) => return false,
            Ok(_) => return fds[1].revents().is_empty(),
        }
    }
}

fn operate(server: &Server, method: &str, parameters: &Parameters, part: &mut dyn FnMut(Value)) -> Reply {
    if let Err(e) = server.layers.check() {
        return failed_with(&e.to_string(), None, error::FAILED, Vec::new());
    }
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
        Ok(done) => fine(json!(Answer { events: reports, ..done })),
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
        Kind::Busy => error::BUSY,
        Kind::Failed => error::FAILED,
    };
    failed_with(&e.to_string(), e.hint(), name, events)
}

fn failed_with(message: &str, hint: Option<&str>, name: &str, events: Vec<Report>) -> Reply {
    let failed = Failed { message: message.to_owned(), hint: hint.map(str::to_owned), events };
    refusal(&format!("{INTERFACE}.{name}"), json!(failed))
}
