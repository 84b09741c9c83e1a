// SPDX-License-Identifier: Apache-2.0
//! What peers may send: how much, and how slowly.
//!
//! A peer that is connected and silent between calls costs a thread and stays. One that begins a call has to finish
//! it: a call that is half there holds memory, which has a bound for each call and one for all of them together.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::de::DeserializeOwned;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use virt_hooks_agent::varlink::Messages;

/// What calls may be and take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest call, in bytes: one with a domain XML, which libvirt's own protocol keeps below 4 MiB.
    pub(crate) call: usize,
    /// What all calls that are there, in part or whole, may hold together, beside what each may in any case.
    pub(crate) together: usize,
    /// How long a call may take from its first byte to its last, and a peer from connecting to its first call.
    pub(crate) time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { call: 8 << 20, together: 64 << 20, time: Duration::from_secs(30) }
    }
}

/// What a call may hold in any case, whatever others hold: most are far smaller.
const SMALL: usize = 64 << 10;

/// The bytes that calls hold.
#[derive(Debug, Default)]
pub(crate) struct Memory(AtomicUsize);

/// What the call of one peer holds; given back with the value, however that goes.
struct Share<'a> {
    memory: &'a Memory,
    limits: Limits,
    read: usize,
    taken: usize,
}

impl Share<'_> {
    fn add(&mut self, count: usize) -> io::Result<()> {
        self.read = self.read.saturating_add(count);
        let more = self.read.saturating_sub(SMALL).saturating_sub(self.taken);
        let all = self.memory.0.fetch_add(more, Ordering::SeqCst).saturating_add(more);
        self.taken += more;
        if all > self.limits.together && more > 0 {
            return Err(io::Error::new(
                ErrorKind::QuotaExceeded,
                "too many long calls at once: try again once others are done",
            ));
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.memory.0.fetch_sub(self.taken, Ordering::SeqCst);
        (self.read, self.taken) = (0, 0);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A stream whose reads have a deadline once a call began.
struct Timed<'a, 'm> {
    stream: &'a UnixStream,
    share: &'a RefCell<Share<'m>>,
    deadline: &'a Cell<Option<Instant>>,
    time: Duration,
}

impl Read for Timed<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(deadline) = self.deadline.get() {
            wait(self.stream, deadline)?;
        }
        let mut stream = self.stream;
        let count = stream.read(buffer)?;
        if count > 0 && self.deadline.get().is_none() {
            self.deadline.set(Some(Instant::now() + self.time));
        }
        self.share.borrow_mut().add(count)?;
        Ok(count)
    }
}

/// Waits until there is something to read, or the end.
fn wait(stream: &UnixStream, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
            Ok(0) => {
                return Err(io::Error::new(ErrorKind::TimedOut, "the call did not come to its end in time"));
            }
            Ok(_) => return Ok(()),
        }
    }
}

/// Reads the calls of one peer, and gives each to `answer`, until the peer ends or breaks a rule, or `answer` fails.
pub(crate) fn each<T: DeserializeOwned>(
    stream: &UnixStream,
    memory: &Memory,
    limits: Limits,
    mut answer: impl FnMut(T) -> io::Result<()>,
) -> io::Result<()> {
    let share = RefCell::new(Share { memory, limits, read: 0, taken: 0 });
    // Who never calls is not to stay.
    let deadline = Cell::new(Some(Instant::now() + limits.time));
    let timed = Timed { stream, share: &share, deadline: &deadline, time: limits.time };
    let mut calls = Messages::at_most(timed, limits.call);
    while let Some(call) = calls.receive::<T>()? {
        answer(call)?;
        share.borrow_mut().clear();
        // One that was sent together with the last has begun already.
        deadline.set(calls.has_begun().then(|| Instant::now() + limits.time));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::io::Write;
    use std::sync::mpsc;
    use std::thread;

    const LONG: Duration = Duration::from_secs(600);

    fn limits(time: Duration) -> Limits {
        Limits { time, ..Limits::default() }
    }

    /// What becomes of a peer that does this.
    fn peer(
        memory: &Memory,
        limits: Limits,
        does: impl FnOnce(UnixStream) + Send,
    ) -> (Vec<Value>, io::Result<()>) {
        let (client, server) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| does(client));
            let mut calls = Vec::new();
            let ended = each::<Value>(&server, memory, limits, |call| {
                calls.push(call);
                Ok(())
            });
            drop(server);
            (calls, ended)
        })
    }

    fn kind(ended: io::Result<()>) -> ErrorKind {
        ended.unwrap_err().kind()
    }

    /// Keeps the peer until the server breaks off.
    fn stay(mut client: UnixStream) {
        let _ = client.read(&mut [0]);
    }

    #[test]
    fn who_says_nothing_does_not_stay() {
        let short = limits(Duration::from_millis(50));
        assert_eq!(kind(peer(&Memory::default(), short, stay).1), ErrorKind::TimedOut);
    }

    #[test]
    fn a_call_has_an_end_however_slowly_it_comes() {
        let short = limits(Duration::from_millis(200));
        let drip = |mut client: UnixStream| while client.write_all(b" ").is_ok() {};
        let limits = Limits { call: usize::MAX, together: usize::MAX, ..short };
        assert_eq!(kind(peer(&Memory::default(), limits, drip).1), ErrorKind::TimedOut);
        // Half of one that came together with another.
        let half = |mut client: UnixStream| {
            client.write_all(b"1\0\"half").unwrap();
            stay(client);
        };
        let (calls, ended) = peer(&Memory::default(), short, half);
        assert_eq!((calls, kind(ended)), (vec![Value::from(1)], ErrorKind::TimedOut));
    }

    #[test]
    fn between_calls_a_peer_may_be_silent() {
        let (client, server) = UnixStream::pair().unwrap();
        let (sender, calls) = mpsc::channel();
        let short = limits(Duration::from_millis(100));
        thread::scope(|scope| {
            scope.spawn(|| {
                let memory = Memory::default();
                each::<Value>(&server, &memory, short, |call| {
                    sender.send(call).unwrap();
                    Ok(())
                })
                .unwrap();
            });
            let mut client = client;
            client.write_all(b"1\0").unwrap();
            assert_eq!(calls.recv_timeout(LONG).unwrap(), 1);
            // Longer than any call may take, which is what this is about: nothing happens that one could wait for.
            let mut polled = [PollFd::new(&client, PollFlags::IN)];
            let while_silent = Timespec { tv_sec: 0, tv_nsec: 400_000_000 };
            assert_eq!(poll(&mut polled, Some(&while_silent)).unwrap(), 0, "it was broken off");
            client.write_all(b"2\0").unwrap();
            assert_eq!(calls.recv_timeout(LONG).unwrap(), 2);
        });
    }

    #[test]
    fn a_call_has_a_greatest_length() {
        let limits = Limits { call: 100_000, ..limits(LONG) };
        let flood = |mut client: UnixStream| while client.write_all(&[b' '; 4096]).is_ok() {};
        let memory = Memory::default();
        assert_eq!(kind(peer(&memory, limits, flood).1), ErrorKind::FileTooLarge);
        assert_eq!(memory.0.into_inner(), 0, "it is given back");
        let fits = |mut client: UnixStream| {
            client.write_all(&[b' '; 99_998]).unwrap();
            client.write_all(b"1\0").unwrap();
        };
        let (calls, ended) = peer(&Memory::default(), limits, fits);
        assert_eq!(calls, [1]);
        ended.unwrap();
    }

    #[test]
    fn all_calls_together_have_one_too_and_small_ones_always_get_in() {
        let limits = Limits { together: 100_000, ..limits(LONG) };
        let memory = Memory(AtomicUsize::new(90_000));
        let long = |mut client: UnixStream| {
            let _ = client.write_all(&[b' '; SMALL + 50_000]);
            stay(client);
        };
        assert_eq!(kind(peer(&memory, limits, long).1), ErrorKind::QuotaExceeded);
        assert_eq!(memory.0.load(Ordering::SeqCst), 90_000);
        let memory = Memory(AtomicUsize::new(200_000));
        let (calls, ended) = peer(&memory, limits, |mut client| client.write_all(b"1\0").unwrap());
        assert_eq!(calls, [1]);
        ended.unwrap();
    }
}
