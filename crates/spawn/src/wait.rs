// SPDX-License-Identifier: Apache-2.0
//! From the start of a process to its end.

use crate::capture::Captured;
use crate::launch::{Pipe, Process};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What a process may use.
#[derive(Clone, Debug)]
pub struct Limits<'a> {
    /// From start to TERM.
    pub deadline: Duration,
    /// From TERM to KILL.
    pub grace: Duration,
    /// Bytes of standard output kept.
    pub stdout: usize,
    /// Bytes of standard error kept.
    pub stderr: usize,
    /// When this becomes readable the process is ended as if its deadline had passed.
    pub cancel: Option<BorrowedFd<'a>>,
}

/// Called while a process runs, every so often, with the time since its start.
pub struct Tick<'a> {
    /// The time between two calls.
    pub every: Duration,
    /// What is called.
    pub call: &'a mut dyn FnMut(Duration),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// Unknown: somebody else in this process reaped it, or it could not be killed.
    Lost,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: Status,
    /// Whether its deadline passed.
    pub timed_out: bool,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// From start to end.
    pub duration: Duration,
    /// What it wrote to standard output.
    pub stdout: Captured,
    /// What it wrote to standard error.
    pub stderr: Captured,
    /// Whether processes of its group are left behind: started by it in the background, not ended with it.
    pub left_background: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Terminated,
    Killed,
}

pub(crate) fn wait(
    process: Process,
    stdout: Pipe,
    stderr: Pipe,
    started: Instant,
    limits: &Limits<'_>,
    mut tick: Option<Tick<'_>>,
) -> Finished {
    let mut out = Captured::new(limits.stdout);
    let mut err = Captured::new(limits.stderr);
    let mut phase = Phase::Running;
    let mut until = started.checked_add(limits.deadline);
    let mut cancel = limits.cancel;
    let mut cancelled = false;
    let mut next_tick = tick.as_ref().and_then(|t| started.checked_add(t.every));
    // We keep our write ends: without them each exit would wake us once for the pipes and once more
    // for the process.
    loop {
        let now = Instant::now();
        let wake = [until, next_tick].into_iter().flatten().min();
        let timeout = wake.map_or(-1, |w| poll_timeout(w.saturating_duration_since(now)));
        let mut fds = [polled(&process.pidfd), polled(&stdout.read), polled(&stderr.read), polled_if(cancel)];
        poll(&mut fds, timeout);
        if fds[1].revents != 0 {
            read_once(&stdout.read, &mut out);
        }
        if fds[2].revents != 0 {
            read_once(&stderr.read, &mut err);
        }
        if fds[0].revents != 0 {
            break;
        }
        let now = Instant::now();
        if let (Some(t), Some(at)) = (&mut tick, next_tick)
            && now >= at
        {
            (t.call)(now.saturating_duration_since(started));
            next_tick = now.checked_add(t.every);
        }
        if fds[3].revents != 0 {
            cancel = None;
            if phase == Phase::Running {
                cancelled = true;
                until = Some(now);
            }
        }
        if until.is_some_and(|u| now >= u) {
            phase = match phase {
                Phase::Running => {
                    signal_group(&process, libc::SIGTERM);
                    Phase::Terminated
                }
                Phase::Terminated => {
                    signal_group(&process, libc::SIGKILL);
                    Phase::Killed
                }
                // Not even KILL ends it (it hangs in the kernel): its reaping must not hold the engine up.
                Phase::Killed => {
                    let duration = started.elapsed();
                    let _ = std::thread::Builder::new().spawn(move || reap(&process));
                    return Finished {
                        status: Status::Lost,
                        timed_out: !cancelled,
                        cancelled,
                        duration,
                        stdout: out,
                        stderr: err,
                        left_background: true,
                    };
                }
            };
            until = now.checked_add(limits.grace.max(Duration::from_millis(1)));
        }
    }
    let duration = started.elapsed();
    drop(stdout.write);
    drop(stderr.write);
    drain(&stdout.read, &mut out);
    let mut held = drain(&stderr.read, &mut err);
    if phase != Phase::Running {
        // The leader is gone, but still a zombie, so the group's number is safe to use: whoever is left of
        // the group has the rest of the grace to end, which shows as end-of-file.
        while held && phase == Phase::Terminated && until.is_some_and(|u| Instant::now() < u) {
            let mut fds = [polled(&stderr.read)];
            poll(&mut fds, until.map_or(0, |u| poll_timeout(u.saturating_duration_since(Instant::now()))));
            held = drain(&stderr.read, &mut err);
        }
        signal_group(&process, libc::SIGKILL);
    }
    let status = reap(&process);
    // Asked of the group, not of the pipes: a child of another thread may hold a copy of our pipe for a
    // moment, between its `clone3` and its `execve`. The number is free now, so nothing is sent.
    let left_background = phase == Phase::Running && signal_group(&process, 0);
    Finished {
        status,
        timed_out: phase != Phase::Running && !cancelled,
        cancelled,
        duration,
        stdout: out,
        stderr: err,
        left_background,
    }
}

/// Milliseconds for `poll`, rounded up, so that it never returns just before the time.
fn poll_timeout(d: Duration) -> i32 {
    i32::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

fn polled(fd: &OwnedFd) -> libc::pollfd {
    libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

/// A negative number is passed over by `poll`.
fn polled_if(fd: Option<BorrowedFd<'_>>) -> libc::pollfd {
    libc::pollfd { fd: fd.map_or(-1, |f| f.as_raw_fd()), events: libc::POLLIN, revents: 0 }
}

fn poll(fds: &mut [libc::pollfd], timeout: i32) {
    // SAFETY: the array and its length belong together. An error (EINTR) leaves revents as they were, 0.
    let n = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    if n < 0 {
        fds.iter_mut().for_each(|f| f.revents = 0);
    }
}

/// Reads what is there, once; called only when there is something, so it does not block. 0 at the end.
fn read_once(fd: &OwnedFd, into: &mut Captured) -> usize {
    let mut buffer = std::mem::MaybeUninit::<[u8; 16 << 10]>::uninit();
    // SAFETY: the kernel writes at most the length given; that many bytes are then initialised.
    let data = unsafe {
        let n = libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), size_of_val(&buffer));
        std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), usize::try_from(n).unwrap_or(0))
    };
    into.push(data);
    data.len()
}

/// Takes what lies in the pipe, and says whether somebody still holds its other end.
fn drain(fd: &OwnedFd, into: &mut Captured) -> bool {
    // What a pipe can hold, and some: a background process that writes without end must not keep us.
    for _ in 0..64 {
        let mut fds = [polled(fd)];
        poll(&mut fds, 0);
        match fds[0].revents {
            0 => return true,
            r if r & libc::POLLIN == 0 => return false,
            _ => {}
        }
        if read_once(fd, into) == 0 {
            return false;
        }
    }
    true
}

/// Signals the process and all of its group; true where there is one. Signals other than 0 are sent only while
/// the leader is not reaped, by whomever: then the number is not anybody else's.
fn signal_group(process: &Process, signal: libc::c_int) -> bool {
    // SAFETY: a system call on a number that is ours until the process is reaped.
    (signal == 0 || is_unreaped(process))
        && unsafe {
            // Who may not be signalled, because it became another user, is there all the same.
            libc::kill(-process.pid, signal) == 0 || *libc::__errno_location() == libc::EPERM
        }
}

/// Whether the process runs or waits to be reaped: a host that ignores SIGCHLD or waits for all of its children
/// may have been faster.
fn is_unreaped(process: &Process) -> bool {
    // SAFETY: `info` is plain data for the kernel to fill; the descriptor is open; nothing is reaped.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let fd = process.pidfd.as_raw_fd() as libc::id_t;
        libc::waitid(libc::P_PIDFD, fd, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) == 0
    }
}

/// Waits for the end and frees the number.
pub(crate) fn reap(process: &Process) -> Status {
    loop {
        // SAFETY: `info` is plain data for the kernel to fill; the descriptor is open.
        let (result, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let fd = process.pidfd.as_raw_fd() as libc::id_t;
            (libc::waitid(libc::P_PIDFD, fd, &raw mut info, libc::WEXITED), info)
        };
        if result == 0 {
            // SAFETY: after a successful waitid the union holds the fields of SIGCHLD.
            let status = unsafe { info.si_status() };
            return if info.si_code == libc::CLD_EXITED {
                Status::Exited(status)
            } else {
                Status::Signaled(status)
            };
        }
        if std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return Status::Lost;
        }
    }
}
