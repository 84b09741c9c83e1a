// SPDX-License-Identifier: Apache-2.0
//! What /proc tells about processes, and how to end one for sure.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// One line of /proc/PID/stat, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) zombie: bool,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// Whether the kernel knows it as a QEMU, by the first 15 characters of the program's name.
    pub(crate) qemu: bool,
}

impl Stat {
    /// Of one process; `None` if it is gone. `pid` may be `self`.
    pub(crate) fn read(pid: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        let pid = line.split(' ').next()?.parse().ok()?;
        // The command in parentheses may itself have parentheses and blanks in it.
        let (start, rest) = line.rsplit_once(") ")?;
        let (_, command) = start.split_once(" (")?;
        let mut fields = rest.split(' ');
        let zombie = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Self { pid, zombie, parent, session, qemu: command.starts_with("qemu-system-") })
    }

    /// Of every process there is.
    pub(crate) fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter_map(|pid| Self::read(&pid))
            .collect()
    }
}

/// The processes that descend from `ancestor` by an unbroken line of living parents.
pub(crate) fn descendants(ancestor: i32, all: &[Stat]) -> Vec<i32> {
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// The arguments of a process; empty if it is gone or a zombie.
pub(crate) fn arguments(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let Some(bytes) = bytes.strip_suffix(b"\0") else { return Vec::new() };
    bytes.split(|&byte| byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// Kills a process and waits until it is dead. The file descriptor pins it, so that `is_it` and the
/// signal speak of the same process even if the number is given out again.
pub(crate) fn kill(pid: i32, is_it: impl Fn(i32) -> bool, patience: Duration) -> io::Result<()> {
    let gone = |result: rustix::io::Result<()>| match result {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    };
    let Some(number) = Pid::from_raw(pid) else { return Ok(()) };
    let process = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(error) => return gone(Err(error)),
    };
    if !is_it(pid) {
        return Ok(());
    }
    gone(pidfd_send_signal(&process, Signal::KILL))?;
    let deadline = Instant::now() + patience;
    while !wait_readable(&process, deadline)? {
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not die"));
        }
    }
    Ok(())
}

/// Waits until `fd` is readable or `deadline` has come; says which. May return `false` early.
pub(crate) fn wait_readable(fd: &impl std::os::fd::AsFd, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn stat_lines_with_any_command_are_read() {
        let stat = Stat::parse("42 (a) Z (b) Z 7 40 39 0 -1").unwrap();
        assert_eq!(stat, Stat { pid: 42, zombie: true, parent: 7, session: 39, qemu: false });
        let stat = Stat::parse("42 (qemu-system-x86) S 7 40 39 0 -1").unwrap();
        assert!(stat.qemu && !stat.zombie);
        assert_eq!(Stat::parse("42 (cut"), None);
    }

    #[test]
    fn descendants_are_all_generations_and_nobody_else() {
        let stat = |pid, parent| Stat { pid, parent, zombie: false, session: 1, qemu: false };
        let all = [stat(2, 1), stat(3, 2), stat(5, 3), stat(6, 2), stat(7, 1), stat(8, 7)];
        let mut found = descendants(2, &all);
        found.sort_unstable();
        assert_eq!(found, [3, 5, 6]);
    }

    #[test]
    fn kill_ends_the_right_process_only() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(descendants(me, &Stat::all()).contains(&pid));
        kill(pid, |_| false, Duration::ZERO).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "spared");
        // Between fork and exec the child still has this program's arguments.
        kill(pid, |pid| !arguments(pid).is_empty(), Duration::from_secs(20)).unwrap();
        assert!(!child.wait().unwrap().success());
        kill(pid, |_| true, Duration::ZERO).unwrap();
    }
}
