// SPDX-License-Identifier: Apache-2.0
//! Commands of the host: arguments as they are, no shell, a deadline, bounded output.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, WaitId, WaitIdOptions, geteuid, waitid};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, PipeReader, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes kept of the start, and again of the end, of each output.
const KEPT: usize = 32 * 1024;

/// A command to be run by [`Context::execute`](crate::Context::execute).
///
/// # Examples
/// ```
/// use virt_hooks_sdk::{Command, Context};
/// let mut hook = Context::for_test().with_commands(|command| {
///     assert_eq!(command.to_string(), "qemu-img check 'my disk'");
///     Ok(virt_hooks_sdk::Output::exited(0, "No errors"))
/// });
/// let output = hook.execute(&Command::new("qemu-img").args(["check", "my disk"]))?;
/// assert_eq!(output.stdout.text(), "No errors");
/// # Ok::<(), virt_hooks_sdk::CommandError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Command {
    argv: Vec<OsString>,
    stdin: Vec<u8>,
    deadline: Duration,
    sudo: bool,
}

impl Command {
    /// A program, looked up in `PATH` if it has no slash; no arguments, nothing on standard
    /// input, half a minute's time.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { argv: vec![program.into()], stdin: Vec::new(), deadline: Duration::from_secs(30), sudo: false }
    }

    /// With one more argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// With more arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With this on standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// With this much time; then it is killed.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// As root: through `sudo -n`, unless the hook is root itself.
    pub fn sudo(mut self) -> Self {
        self.sudo = true;
        self
    }

    /// Program and arguments, without sudo.
    pub fn argv(&self) -> &[OsString] {
        &self.argv
    }

    /// What is given on standard input.
    pub fn input(&self) -> &[u8] {
        &self.stdin
    }

    /// Whether it is to run as root.
    pub fn is_sudo(&self) -> bool {
        self.sudo
    }

    /// Runs it, outside of a hook. A hook uses [`Context::execute`](crate::Context::execute), which its tests can
    /// answer.
    ///
    /// # Errors
    /// [`CommandError`] if it cannot be started or takes too long.
    pub fn run(&self) -> Result<Output, CommandError> {
        execute(self)
    }

    fn program(&self) -> String {
        self.argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// As one would type it, for messages.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, argument) in self.argv.iter().enumerate() {
            let argument = argument.to_string_lossy();
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&b);
            let gap = if i == 0 { "" } else { " " };
            if !argument.is_empty() && argument.bytes().all(plain) {
                write!(f, "{gap}{argument}")?;
            } else {
                write!(f, "{gap}'{}'", argument.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// Why there is no output of a command, or none to trust.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be started.
    #[error("run {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It was started, and then lost.
    #[error("wait for {program}")]
    Wait {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{program} gave no answer within {deadline:?} and was killed")]
    Deadline {
        /// The program.
        program: String,
        /// Time it had.
        deadline: Duration,
    },
    /// It ended with another status than 0.
    #[error("{program} ended with {status}: {message}")]
    Status {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// Last line of its standard error.
        message: String,
    },
}

/// How a command ended and what it wrote.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
}

impl Output {
    /// The output of a command that ended by itself; for the scripted commands of a test.
    pub fn exited(code: u8, stdout: &str) -> Self {
        let mut output = Self {
            status: ExitStatus::from_raw(i32::from(code) << 8),
            stdout: Captured::default(),
            stderr: Captured::default(),
        };
        output.stdout.push(stdout.as_bytes());
        output
    }

    /// The same with this on standard error.
    #[must_use]
    pub fn with_stderr(mut self, text: &str) -> Self {
        self.stderr.push(text.as_bytes());
        self
    }

    /// This output, if the command ended with 0.
    ///
    /// # Errors
    /// [`CommandError::Status`] otherwise, with the last line of standard error.
    pub fn success(self, command: &Command) -> Result<Self, CommandError> {
        if self.status.success() {
            return Ok(self);
        }
        let text = self.stderr.text();
        let message = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no message");
        Err(CommandError::Status {
            program: command.program(),
            status: self.status,
            message: message.to_owned(),
        })
    }
}

/// What was kept of an output: its first and its last 32 KiB.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Captured {
    /// The bytes kept; where some were dropped in the middle, a line says how many.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = self.head.clone();
        if self.dropped > 0 {
            all.extend_from_slice(format!("\n[{} bytes dropped]\n", self.dropped).as_bytes());
        }
        all.extend(self.tail.iter());
        all
    }

    /// The bytes kept, as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        match String::from_utf8_lossy(&self.bytes()) {
            Cow::Borrowed(text) => text.to_owned(),
            Cow::Owned(text) => text,
        }
    }

    /// Number of bytes that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..surplus);
        self.dropped += surplus as u64;
    }
}

pub(crate) fn execute(command: &Command) -> Result<Output, CommandError> {
    let sudo: &[&str] = if command.sudo && !geteuid().is_root() { &["/usr/bin/sudo", "-n"] } else { &[] };
    let mut argv = sudo.iter().map(OsStr::new).chain(command.argv.iter().map(OsString::as_os_str));
    let program = argv.next().unwrap_or_default();
    let stdin = if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
    let mut child = std::process::Command::new(program)
        .args(argv)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| CommandError::Start { program: command.program(), source })?;
    let mut output = Output::exited(0, "");
    let ended = attend(&mut child, command, &mut output);
    if !matches!(ended, Ok(true)) {
        // Still running, or not known; either way it must not outlive this call.
        let _ = child.kill();
    }
    let status = child.wait();
    let lost = |source| CommandError::Wait { program: command.program(), source };
    if !ended.map_err(lost)? {
        return Err(CommandError::Deadline { program: command.program(), deadline: command.deadline });
    }
    output.status = status.map_err(lost)?;
    Ok(output)
}

/// Feeds the child and takes what it writes until it ends (true) or its time is over (false). What
/// its own children write after it ended is not waited for.
fn attend(child: &mut Child, command: &Command, output: &mut Output) -> io::Result<bool> {
    let ended = end_of(child)?;
    let (mut stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    for fd in
        [stdin.as_ref().map(AsFd::as_fd), stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)]
            .into_iter()
            .flatten()
    {
        fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?;
    }
    let mut input = command.stdin.as_slice();
    // None: further away than the clock goes.
    let until = Instant::now().checked_add(command.deadline);
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)];
        fds.extend(stdin.as_ref().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        fds.extend(stdout.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(stderr.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            Timespec { tv_sec, tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let over = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if let Some(pipe) = &mut stdin {
            match pipe.write(input) {
                Ok(written) => input = input.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It does not want the rest.
                Err(_) => input = &[],
            }
            if input.is_empty() {
                stdin = None;
            }
        }
        // Bounded, so that a child that never stops writing is still stopped at its deadline; at the
        // end what a pipe can hold at most.
        let reads = if over { 256 } else { 16 };
        drain(&mut stdout, &mut output.stdout, reads)?;
        drain(&mut stderr, &mut output.stderr, reads)?;
        if over {
            return Ok(true);
        }
    }
}

/// A descriptor that becomes readable when the child has ended. A thread waits for that without
/// reaping the child, so its id stays its own until [`Child::wait`]; older kernels have no pidfd.
fn end_of(child: &Child) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    let pid = Pid::from_child(child);
    std::thread::Builder::new().spawn(move || {
        while let Err(rustix::io::Errno::INTR) =
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {}
        drop(writer);
    })?;
    Ok(reader)
}

/// Takes what is there, in so many reads at most; closes the pipe at its end.
fn drain<P: Read>(pipe: &mut Option<P>, into: &mut Captured, reads: usize) -> io::Result<()> {
    let mut buffer = [0; 8192];
    for _ in 0..reads {
        let Some(open) = pipe else { return Ok(()) };
        match open.read(&mut buffer) {
            Ok(0) => *pipe = None,
            Ok(length) => into.push(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
