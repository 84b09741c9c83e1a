// SPDX-License-Identifier: Apache-2.0
//! The deadline of a whole call, as something that becomes readable: the engine ends the hook that runs then.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What libvirt gives on standard input is read in pieces of this many bytes.
const PIECE: usize = 64 << 10;

/// Runs from its making on.
#[derive(Debug)]
pub(crate) struct Deadline {
    timer: OwnedFd,
}

impl Deadline {
    pub(crate) fn after(length: Duration) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A timer of nothing would be one that is off.
        let length = length.max(Duration::from_millis(1));
        let value = Timespec::try_from(length).map_err(io::Error::other)?;
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        )?;
        Ok(Self { timer })
    }

    /// Reads `input`, whose descriptor is `fd`, to its end, at most `limit` bytes.
    pub(crate) fn read(&self, fd: BorrowedFd<'_>, input: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            let mut fds =
                [PollFd::from_borrowed_fd(fd, PollFlags::IN), PollFd::new(&self.timer, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if fds[0].revents().is_empty() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match input.read(&mut piece) {
                Ok(0) => return Ok(bytes),
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if bytes.len() as u64 > limit {
                return Err(io::Error::other(format!(
                    "larger than the limit of {limit} bytes (payload_limit)"
                )));
            }
        }
    }
}

impl AsFd for Deadline {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use virt_hooks_engine::is_readable;

    #[test]
    fn input_is_read_whole_and_not_for_ever() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let fd = reader.as_fd().try_clone_to_owned().unwrap();
        let long = Deadline::after(Duration::from_secs(600)).unwrap();
        writer.write_all(b"<a>").unwrap();
        let rest = std::thread::spawn(move || {
            writer.write_all(b"</a>").unwrap();
            writer
        });
        let writer = rest.join().unwrap();
        let short = Deadline::after(Duration::from_millis(20)).unwrap();
        let waits = short.read(fd.as_fd(), &mut reader, 100).unwrap_err();
        assert_eq!(waits.kind(), io::ErrorKind::TimedOut);
        assert!(is_readable(short.as_fd()) && !is_readable(long.as_fd()));
        drop(writer);
        assert_eq!(long.read(fd.as_fd(), &mut reader, 100).unwrap(), b"");
    }

    #[test]
    fn a_flood_is_refused() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let fd = reader.as_fd().try_clone_to_owned().unwrap();
        writer.write_all(b"12345").unwrap();
        drop(writer);
        let long = Deadline::after(Duration::from_secs(600)).unwrap();
        assert!(long.read(fd.as_fd(), &mut reader, 4).unwrap_err().to_string().contains("limit of 4 bytes"));
    }
}
