// SPDX-License-Identifier: Apache-2.0
//! Asking the agent.

use rustix::event::{PollFd, PollFlags, poll};
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use virt_hooks::Failure;
use virt_hooks_agent::Watch;
use virt_hooks_agent::protocol::{Answer, Call, Failed, INTERFACE, Parameters, Reply, error};
use virt_hooks_agent::varlink::{Messages, send};
use virt_hooks_contract::{Report, exit};

/// An agent that listens.
pub(crate) struct Client {
    socket: std::path::PathBuf,
    stream: UnixStream,
}

/// Why an operation was not done.
pub(crate) struct Refusal {
    /// `vetoed` or `failed`.
    pub(crate) result: &'static str,
    pub(crate) error: String,
    pub(crate) failure: Failure,
    pub(crate) events: Vec<Report>,
}

impl Client {
    /// The agent at a socket; `None` where none listens, or none that we may ask.
    pub(crate) fn connect(socket: &Path) -> Option<Self> {
        Some(Self { socket: socket.to_owned(), stream: UnixStream::connect(socket).ok()? })
    }

    /// A call with one answer.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &Parameters,
    ) -> Result<T, Failure> {
        let reply = self.call(method, parameters, false).and_then(|mut messages| self.next(&mut messages));
        let reply = reply?;
        match reply.error {
            None => serde_json::from_value(reply.parameters).map_err(|e| self.odd(&e)),
            Some(name) => Err(refusal(&name, reply.parameters).failure),
        }
    }

    /// An operation: tells how it goes, and what came of it. Cancelled once `interrupt` is readable.
    pub(crate) fn operate(
        &self,
        method: &str,
        mut parameters: Parameters,
        interrupt: BorrowedFd<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Answer, Refusal> {
        let name = format!("{}-{:?}", std::process::id(), std::time::SystemTime::now());
        parameters.operation = Some(name.clone());
        let plain = |failure: Failure| Refusal {
            result: "failed",
            error: failure.message.clone(),
            failure,
            events: Vec::new(),
        };
        let mut messages = self.call(method, &parameters, true).map_err(plain)?;
        let (over, end) = io::pipe().map_err(|e| plain(Failure::unusable(format!("make a pipe: {e}"))))?;
        thread::scope(|scope| {
            scope.spawn(|| self.cancel_when(&name, interrupt, over.as_fd()));
            let done = loop {
                let reply = match self.next(&mut messages) {
                    Ok(reply) => reply,
                    Err(failure) => break Err(plain(failure)),
                };
                if let Some(error) = reply.error {
                    break Err(refusal(&error, reply.parameters));
                }
                let answer: Answer = match serde_json::from_value(reply.parameters) {
                    Ok(answer) => answer,
                    Err(e) => break Err(plain(self.odd(&e))),
                };
                match answer.progress {
                    Some(progress) if reply.continues => progress.tell(watch),
                    _ if reply.continues => {}
                    _ => break Ok(answer),
                }
            };
            drop(end);
            done
        })
    }

    /// Asks on a connection of its own to give an operation up, when `interrupt` says so before `over` does.
    fn cancel_when(&self, name: &str, interrupt: BorrowedFd<'_>, over: BorrowedFd<'_>) {
        let mut fds = [
            PollFd::from_borrowed_fd(interrupt, PollFlags::IN),
            PollFd::from_borrowed_fd(over, PollFlags::IN),
        ];
        while poll(&mut fds, None) == Err(rustix::io::Errno::INTR) {}
        if fds[0].revents().is_empty() {
            return;
        }
        if let Some(other) = Self::connect(&self.socket) {
            let cancel = Parameters { operation: Some(name.to_owned()), ..Parameters::default() };
            // The operation's own answer says what came of it.
            let _: Result<serde_json::Value, Failure> = other.ask("Cancel", &cancel);
        }
    }

    fn call(
        &self,
        method: &str,
        parameters: &Parameters,
        more: bool,
    ) -> Result<Messages<&UnixStream>, Failure> {
        let parameters = serde_json::to_value(parameters).map_err(|e| self.odd(&e))?;
        let call = Call { method: format!("{INTERFACE}.{method}"), parameters, more, oneway: false };
        send(&mut &self.stream, &call).map_err(|e| self.gone(&e.to_string()))?;
        Ok(Messages::new(&self.stream))
    }

    fn next(&self, messages: &mut Messages<&UnixStream>) -> Result<Reply, Failure> {
        match messages.receive() {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(self.gone("it ended")),
            Err(e) => Err(self.gone(&e.to_string())),
        }
    }

    fn gone(&self, why: &str) -> Failure {
        Failure::unusable(format!(
            "the agent at {} went away before it answered ({why}): \"virt-hooks vm list\" shows what there is",
            self.socket.display()
        ))
    }

    fn odd(&self, e: &serde_json::Error) -> Failure {
        Failure::unusable(format!("the agent at {} says what nobody knows: {e}", self.socket.display()))
    }
}

fn refusal(name: &str, parameters: serde_json::Value) -> Refusal {
    let kind = name.strip_prefix(INTERFACE).and_then(|n| n.strip_prefix('.')).unwrap_or_default();
    let said = parameters.to_string();
    let failed: Failed = serde_json::from_value(parameters).unwrap_or_else(|_| Failed {
        message: format!("the agent says {name}: {said}"),
        hint: None,
        events: Vec::new(),
    });
    let (code, result) = match kind {
        error::VETOED => (exit::command::VETO, "vetoed"),
        error::REFUSED => (exit::command::REFUSED, "failed"),
        _ => (exit::command::UNUSABLE, "failed"),
    };
    let hint = failed.hint.map(|h| format!("; {h}")).unwrap_or_default();
    Refusal {
        result,
        failure: Failure { code, message: format!("{}{hint}", failed.message) },
        error: failed.message,
        events: failed.events,
    }
}
