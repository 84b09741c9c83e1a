// SPDX-License-Identifier: Apache-2.0
//! Connections: who calls, what is asked, and the end of it all.

use crate::access::Access;
use crate::log::Log;
use crate::operations;
use crate::requests::{self, Limits, Memory};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, ErrorKind, PipeWriter};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use virt_hooks::Failure;
use virt_hooks_agent::Agent;
use virt_hooks_agent::protocol::{Call, DESCRIPTION, INTERFACE, Reply};
use virt_hooks_agent::varlink::send;
use virt_hooks_engine::Layers;

const SERVICE: &str = "org.varlink.service";
/// The interface every varlink service has.
const SERVICE_DESCRIPTION: &str = "# The Varlink Service Interface is provided by every varlink service.\n\
    interface org.varlink.service\n\n\
    method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)\n\n\
    method GetInterfaceDescription(interface: string) -> (description: string)\n\n\
    error InterfaceNotFound (interface: string)\n\n\
    error MethodNotFound (method: string)\n\n\
    error MethodNotImplemented (method: string)\n\n\
    error InvalidParameter (parameter: string)\n\n\
    error PermissionDenied ()\n";
/// How many may be connected at once: each has a thread. One more takes the place of who was silent longest.
const CONNECTIONS: usize = 512;
/// How long who asked may leave an answer unread: an operation does not wait for a client that was suspended.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves calls.
pub(crate) struct Server {
    pub(crate) agent: Arc<Agent>,
    access: Access,
    /// Checked before each operation: a directory that is missing would skip every hook in silence.
    pub(crate) layers: Layers,
    pub(crate) log: Arc<Log>,
    limits: Limits,
    memory: Memory,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Those who are connected, by a number of their own.
    peers: HashMap<u64, Peer>,
    last_peer: u64,
    /// Calls that are being worked on.
    calls: usize,
    /// What ends an operation that a client named; dropping it makes the other end readable.
    cancels: HashMap<String, PipeWriter>,
}

struct Peer {
    stream: Arc<UnixStream>,
    /// Since when it says nothing; `None` while its call is worked on.
    silent: Option<Instant>,
}

impl State {
    /// Makes room for one more, if need be at the cost of who was silent longest; says whether there is room.
    fn make_room(&mut self, most: usize) -> bool {
        if self.peers.len() < most {
            return true;
        }
        let silent = self.peers.iter().filter_map(|(number, peer)| Some((peer.silent?, *number)));
        let Some(peer) = silent.min().and_then(|(_, number)| self.peers.remove(&number)) else {
            return false;
        };
        // Its thread sees the end.
        let _ = peer.stream.shutdown(Shutdown::Both);
        true
    }
}

impl Server {
    pub(crate) fn new(agent: Arc<Agent>, access: Access, layers: Layers, log: Arc<Log>) -> Arc<Self> {
        Arc::new(Self {
            agent,
            access,
            layers,
            log,
            limits: Limits::default(),
            memory: Memory::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Takes connections until `stop` becomes readable.
    pub(crate) fn serve(
        self: &Arc<Self>,
        listener: &UnixListener,
        stop: BorrowedFd<'_>,
    ) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::unusable(format!("wait for connections: {e}"));
        listener.set_nonblocking(true).map_err(failed)?;
        loop {
            let mut fds =
                [PollFd::new(listener, PollFlags::IN), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(failed(e.into())),
                Ok(_) => {}
            }
            if !fds[1].revents().is_empty() {
                return Ok(());
            }
            match listener.accept() {
                Ok((stream, _)) => self.take(stream),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => {
                    // Out of descriptors, most likely: those who are connected will leave some.
                    self.log.line(&format!("accept a connection: {e}"));
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn take(self: &Arc<Self>, stream: UnixStream) {
        let allowed = self.access.allows(&stream);
        if !allowed || !self.state().make_room(CONNECTIONS) {
            let name =
                if allowed { format!("{INTERFACE}.Failed") } else { format!("{SERVICE}.PermissionDenied") };
            let text = if allowed {
                "too many connections"
            } else {
                "only root and members of the agent's group may"
            };
            // Who does not read this is not waited for.
            let _ = stream.set_write_timeout(Some(PATIENCE));
            let _ = send(&mut &stream, &refusal(&name, json!({"message": text, "events": []})));
            return;
        }
        let connected = Connected::new(self, stream);
        let work = move || {
            let stream = &*connected.stream;
            // Not to inherit the listener's.
            let served = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
                .and_then(|()| connected.server.converse(&connected));
            if let Err(error) = served
                && matches!(
                    error.kind(),
                    ErrorKind::TimedOut | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded
                )
            {
                let told = json!({"message": error.to_string(), "events": []});
                let _ = send(&mut { stream }, &refusal(&format!("{INTERFACE}.Failed"), told));
            }
            // Who breaks off, or speaks something else, is told nothing and kept no longer.
        };
        if let Err(e) = thread::Builder::new().name("connection".to_owned()).spawn(work) {
            self.log.line(&format!("start a thread for a connection: {e}"));
        }
    }

    fn converse(&self, connected: &Connected) -> io::Result<()> {
        let stream = &*connected.stream;
        requests::each(stream, &self.memory, self.limits, |call: Call| {
            let _working = Working::new(connected);
            let more = call.more;
            let quiet = call.oneway;
            let mut to = stream;
            let mut unread = None;
            let reply = self.answer(&call, stream, &mut |part| {
                // The operation goes on without who asked for it. After a part that was cut nothing can follow.
                if more && !quiet && unread.is_none() {
                    let part = Reply { parameters: part, continues: true, error: None };
                    unread = send(&mut to, &part).err();
                }
            });
            match unread {
                Some(error) => Err(error),
                None if quiet => Ok(()),
                None => send(&mut { stream }, &reply),
            }
        })
    }

    fn answer(&self, call: &Call, client: &UnixStream, part: &mut dyn FnMut(Value)) -> Reply {
        let text = |name: &str| call.parameters[name].as_str().unwrap_or_default().to_owned();
        let Some((interface, method)) = call.method.rsplit_once('.') else {
            return refusal(&format!("{SERVICE}.InterfaceNotFound"), json!({"interface": call.method}));
        };
        match (interface, method) {
            (SERVICE, "GetInfo") => fine(json!({
                "vendor": "virt-hooks",
                "product": "virt-hooksd",
                "version": env!("CARGO_PKG_VERSION"),
                "url": env!("CARGO_PKG_REPOSITORY"),
                "interfaces": [SERVICE, INTERFACE],
            })),
            (SERVICE, "GetInterfaceDescription") => match text("interface").as_str() {
                SERVICE => fine(json!({"description": SERVICE_DESCRIPTION})),
                INTERFACE => fine(json!({"description": DESCRIPTION})),
                other => refusal(&format!("{SERVICE}.InterfaceNotFound"), json!({"interface": other})),
            },
            (INTERFACE, "Cancel") => {
                self.cancel(&text("operation"));
                fine(json!({}))
            }
            (INTERFACE, method) => operations::run(self, method, call, client, part),
            (SERVICE, _) => refusal(&format!("{SERVICE}.MethodNotFound"), json!({"method": call.method})),
            _ => refusal(&format!("{SERVICE}.InterfaceNotFound"), json!({"interface": interface})),
        }
    }

    /// Gives up the operation of this name, if it goes on still.
    pub(crate) fn cancel(&self, operation: &str) {
        self.state().cancels.remove(operation);
    }

    /// Lets an operation be cancelled by its name, as long as the value lives.
    pub(crate) fn cancellable(&self, name: &str) -> io::Result<(io::PipeReader, Cancellable<'_>)> {
        let (reader, writer) = io::pipe()?;
        match self.state().cancels.entry(name.to_owned()) {
            // Taking the name over would cancel who has it.
            Entry::Occupied(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Entry::Vacant(free) => drop(free.insert(writer)),
        }
        Ok((reader, Cancellable { server: self, name: name.to_owned() }))
    }

    /// Waits until what is under way is done, for at most `limit`; says whether it is.
    pub(crate) fn stop(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        let busy = |state: &mut State| state.calls > 0;
        self.agent.close();
        let answered = {
            let waited = self.changed.wait_timeout_while(self.state(), limit, busy);
            waited.unwrap_or_else(PoisonError::into_inner).0.calls == 0
        };
        // What operations left to it, too.
        self.agent.stop(limit.saturating_sub(begun.elapsed())) && answered
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer while it is connected; forgotten with the value, however that goes.
struct Connected {
    server: Arc<Server>,
    stream: Arc<UnixStream>,
    number: u64,
}

impl Connected {
    fn new(server: &Arc<Server>, stream: UnixStream) -> Self {
        let stream = Arc::new(stream);
        let mut state = server.state();
        state.last_peer += 1;
        let number = state.last_peer;
        state.peers.insert(number, Peer { stream: stream.clone(), silent: Some(Instant::now()) });
        Self { server: server.clone(), stream, number }
    }

    fn set_silent(&self, silent: Option<Instant>) {
        if let Some(peer) = self.server.state().peers.get_mut(&self.number) {
            peer.silent = silent;
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.server.state().peers.remove(&self.number);
    }
}

/// A call that is worked on; over with the value, however that goes.
struct Working<'a>(&'a Connected);

impl<'a> Working<'a> {
    fn new(connected: &'a Connected) -> Self {
        connected.set_silent(None);
        connected.server.state().calls += 1;
        Self(connected)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.set_silent(Some(Instant::now()));
        self.0.server.state().calls -= 1;
        self.0.server.changed.notify_all();
    }
}

/// An operation that can be cancelled by its name.
pub(crate) struct Cancellable<'a> {
    server: &'a Server,
    name: String,
}

impl Drop for Cancellable<'_> {
    fn drop(&mut self) {
        self.server.state().cancels.remove(&self.name);
    }
}

/// An answer.
pub(crate) fn fine(parameters: Value) -> Reply {
    Reply { parameters, ..Reply::default() }
}

/// An error.
pub(crate) fn refusal(name: &str, parameters: Value) -> Reply {
    Reply { parameters, continues: false, error: Some(name.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use virt_hooks_engine::{Host, Overrides};
    use virt_hooks_journal::Journal;

    /// Ends the agent's threads before the test's process ends.
    struct Leaving {
        agent: Arc<Agent>,
        _dir: tempfile::TempDir,
    }

    impl Drop for Leaving {
        fn drop(&mut self) {
            self.agent.leave();
        }
    }

    fn server() -> (Leaving, Arc<Server>) {
        let dir = tempfile::tempdir().unwrap();
        let overrides = Overrides {
            hooks_dirs: vec![dir.path().join("hooks")],
            run_dir: Some(dir.path().join("run")),
            state_dir: Some(dir.path().join("state")),
            ..Overrides::default()
        };
        let log = Arc::new(Log::new(Journal::new(dir.path().join("state"))));
        let chronicle = Box::new(crate::log::Chronicle(log.clone()));
        let host = Host::load(overrides, &|_| None).unwrap();
        let layers = host.layers();
        // No libvirt is there; none is needed.
        let agent = Agent::start(Some("test:///nonexistent"), host, chronicle).unwrap();
        (
            Leaving { agent: agent.clone(), _dir: dir },
            Server::new(agent, Access::new(None).unwrap(), layers, log),
        )
    }

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let (_dir, server) = server();
        let (mut client, end) = UnixStream::pair().unwrap();
        server.take(end);
        let call = b"{\"method\":\"org.varlink.service.GetInfo\"}\0".repeat(100);
        // Until the server breaks off, which only who waits for ever never does.
        while client.write_all(&call).is_ok() {}
        assert!(server.stop(Duration::from_secs(600)));
    }

    #[test]
    fn a_panic_gives_back_what_it_held() {
        let (_dir, server) = server();
        let (_client, end) = UnixStream::pair().unwrap();
        let connected = Connected::new(&server, end);
        let held = || {
            let state = server.state();
            (state.peers.len(), state.calls)
        };
        assert_eq!(held(), (1, 0));
        let worker = thread::spawn(move || {
            let _working = Working::new(&connected);
            assert_eq!(connected.server.state().calls, 1);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(worker.join().is_err());
        assert_eq!(held(), (0, 0));
        assert!(server.stop(Duration::from_secs(600)));
    }

    #[test]
    fn who_was_silent_longest_makes_room_and_who_is_served_does_not() {
        use std::io::Read;
        let (_dir, server) = server();
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        let (mut clients, ends): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let connected: Vec<_> = ends.into_iter().map(|end| Connected::new(&server, end)).collect();
        let working = Working::new(&connected[0]);
        assert!(server.state().make_room(4) && server.state().peers.len() == 3);
        assert!(server.state().make_room(3));
        assert_eq!(server.state().peers.len(), 2);
        assert_eq!(clients[1].read(&mut [0]).unwrap(), 0, "it is told by the end");
        assert!(server.state().make_room(2));
        assert!(!server.state().make_room(1), "nobody is silent");
        drop(working);
        assert!(server.state().make_room(1));
    }

    #[test]
    fn a_call_that_is_too_long_is_told_so() {
        let (_dir, server) = server();
        let (client, end) = UnixStream::pair().unwrap();
        server.take(end);
        thread::scope(|scope| {
            scope.spawn(|| while (&client).write_all(&[b' '; 65536]).is_ok() {});
            let mut messages = virt_hooks_agent::varlink::Messages::new(&client);
            let reply: Reply = messages.receive().unwrap().unwrap();
            assert_eq!(reply.error.as_deref(), Some("io.virthooks.Agent.Failed"));
            assert!(reply.parameters.to_string().contains("more than 8388608 bytes"), "{reply:?}");
            client.shutdown(Shutdown::Both).unwrap();
        });
        assert!(server.stop(Duration::from_secs(600)));
    }

    #[test]
    fn a_name_in_use_is_not_taken_over() {
        let (_dir, server) = server();
        let (reader, cancellable) = server.cancellable("a").unwrap();
        assert_eq!(server.cancellable("a").map(drop).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap(), 0, "it goes on");
        drop(cancellable);
        assert!(server.cancellable("a").is_ok());
    }
}
