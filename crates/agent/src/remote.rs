// SPDX-License-Identifier: Apache-2.0
//! The agent of another host, asked to make ready for a VM that is about to come.
//!
//! One call, `Receive`, lasts until the VM has arrived: the agent says `ready` when its hooks agreed, and answers at
//! the end. Closing our side of the connection gives the arrival up, also where this process is killed.

use crate::protocol::{Answer, Call, Failed, INTERFACE, Parameters, Reply, error};
use crate::telling::Progress;
use crate::varlink::{Messages, send};
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use virt_hooks_engine::{Watch, is_readable};

/// How often who waits is told, and asked whether to go on.
const SLICE: Duration = Duration::from_millis(200);

/// A destination that waits for a VM.
pub(crate) struct Destination {
    socket: PathBuf,
    stream: UnixStream,
    replies: Receiver<io::Result<Option<Reply>>>,
}

/// What came of asking, other than a destination that waits.
pub(crate) enum Answered {
    /// It takes no more just now.
    Busy(String),
    /// Its hooks do not want the VM.
    Vetoed(String),
    /// Anything else.
    Failed(String),
    /// Whoever asked for the migration gave it up.
    Cancelled,
}

/// A part of the conversation.
enum Part {
    Ready,
    Done,
    Answered(Answered),
    /// The wait was given up.
    Cancelled,
}

impl Destination {
    /// Asks an agent to make ready for the VM with this XML, and waits until it is.
    pub(crate) fn ask(
        socket: &Path,
        xml: &str,
        attempt: u32,
        timeout: Option<Duration>,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
    ) -> Result<Self, Answered> {
        let failed =
            |e: &dyn std::fmt::Display| Answered::Failed(format!("the agent at {}: {e}", socket.display()));
        let stream = UnixStream::connect(socket).map_err(|e| failed(&e))?;
        let parameters = Parameters {
            xml: Some(xml.to_owned()),
            attempt: Some(attempt),
            timeout_ms: timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            ..Parameters::default()
        };
        let parameters = serde_json::to_value(parameters).map_err(|e| failed(&e))?;
        let call = Call { method: format!("{INTERFACE}.Receive"), parameters, more: true, oneway: false };
        send(&mut &stream, &call).map_err(|e| failed(&e))?;
        let reading = stream.try_clone().map_err(|e| failed(&e))?;
        let (sender, replies) = mpsc::channel();
        let read = move || {
            let mut messages = Messages::new(reading);
            loop {
                let reply = messages.receive::<Reply>();
                let last = !matches!(reply, Ok(Some(_)));
                if sender.send(reply).is_err() || last {
                    return;
                }
            }
        };
        thread::Builder::new().name("destination".to_owned()).spawn(read).map_err(|e| failed(&e))?;
        let mut destination = Self { socket: socket.to_owned(), stream, replies };
        match destination.next(cancel, watch) {
            Part::Ready => Ok(destination),
            Part::Done => Err(failed(&"it did not wait for the VM")),
            Part::Answered(answered) => Err(answered),
            Part::Cancelled => {
                destination.give_up();
                let _ = destination.end(None, watch);
                Err(Answered::Cancelled)
            }
        }
    }

    /// Tells it that the VM does not come.
    pub(crate) fn give_up(&self) {
        // One that is gone already needs not be told.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Waits for its last answer. Its hooks have deadlines, so there is one.
    pub(crate) fn end(
        &mut self,
        cancel: Option<BorrowedFd<'_>>,
        watch: &mut dyn Watch,
    ) -> Result<(), String> {
        loop {
            match self.next(cancel, watch) {
                Part::Ready => {}
                Part::Done | Part::Cancelled | Part::Answered(Answered::Cancelled) => return Ok(()),
                Part::Answered(Answered::Busy(said) | Answered::Vetoed(said) | Answered::Failed(said)) => {
                    return Err(said);
                }
            }
        }
    }

    fn next(&mut self, cancel: Option<BorrowedFd<'_>>, watch: &mut dyn Watch) -> Part {
        let begun = Instant::now();
        let mut told = Duration::ZERO;
        loop {
            let reply = match self.replies.recv_timeout(SLICE) {
                Ok(Ok(Some(reply))) => reply,
                Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => return self.failed("it ended"),
                Ok(Err(e)) => return self.failed(&e.to_string()),
                Err(RecvTimeoutError::Timeout) => {
                    if cancel.is_some_and(is_readable) {
                        return Part::Cancelled;
                    }
                    let elapsed = begun.elapsed();
                    if elapsed >= told + Duration::from_secs(1) {
                        told = elapsed;
                        watch.step_running(elapsed);
                    }
                    continue;
                }
            };
            if let Some(name) = reply.error {
                return self.refused(&name, reply.parameters);
            }
            if !reply.continues {
                return Part::Done;
            }
            match serde_json::from_value::<Answer>(reply.parameters).map(|answer| answer.progress) {
                Ok(Some(Progress::Ready {})) => return Part::Ready,
                Ok(Some(Progress::Warning { text })) => watch.warning(&format!("destination: {text}")),
                // Its hooks are told of where it is.
                Ok(_) => {}
                Err(e) => return self.failed(&format!("it says what nobody knows: {e}")),
            }
        }
    }

    fn refused(&self, name: &str, parameters: serde_json::Value) -> Part {
        let said = parameters.to_string();
        let Ok(Failed { message, .. }) = serde_json::from_value(parameters) else {
            return self.failed(&format!("{name} {said}"));
        };
        let kind = name.strip_prefix(INTERFACE).and_then(|n| n.strip_prefix('.')).unwrap_or_default();
        Part::Answered(match kind {
            error::BUSY => Answered::Busy(message),
            error::VETOED => Answered::Vetoed(message),
            _ => Answered::Failed(message),
        })
    }

    fn failed(&self, why: &str) -> Part {
        Part::Answered(Answered::Failed(format!("the agent at {}: {why}", self.socket.display())))
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        // Ends the thread that reads.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
