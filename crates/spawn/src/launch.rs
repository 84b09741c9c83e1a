// SPDX-License-Identifier: Apache-2.0
//! Starting a process.

use crate::child::{Failure, Plan, become_program};
use crate::gate::Gate;
use crate::wait::{Finished, Limits, Tick, wait};
use crate::{Credentials, Environment};
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The kernel refused the program.
    #[error("{}", exec_message(.0))]
    Exec(#[source] io::Error),
    /// The kernel refused the user it was to run as.
    #[error("run as user {uid}")]
    Credentials {
        /// The user id asked for.
        uid: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No process could be made for it.
    #[error("make a process for it")]
    Process(#[source] io::Error),
    /// No pipe, or no `/dev/null`, could be had for it.
    #[error("open {what} for it")]
    Descriptor {
        /// What could not be opened.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

fn exec_message(e: &io::Error) -> &'static str {
    match e.raw_os_error() {
        Some(libc::ENOENT) => "cannot be executed: it or its interpreter is missing",
        Some(libc::EACCES) => "cannot be executed: no permission, or its file system is mounted noexec",
        Some(libc::ENOEXEC) => "cannot be executed: not a program for this machine",
        Some(libc::ETXTBSY) => "cannot be executed: it is still open for writing",
        Some(libc::E2BIG) => {
            "cannot be executed: its environment or arguments are too large (one of over 128 KiB, or all over 2 MiB)"
        }
        Some(libc::ELOOP) => "cannot be executed: too many symbolic links or interpreters",
        _ => "cannot be executed",
    }
}

/// How a process is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `clone3` with `VM | VFORK | FILES | PIDFD | CLEAR_SIGHAND`.
    Clone,
    /// `posix_spawn`, then `pidfd_open`. Cannot change the user.
    PosixSpawn,
}

/// Whether `clone3` was refused once: it will be again.
static NO_CLONE: AtomicBool = AtomicBool::new(!cfg!(target_arch = "x86_64"));

/// How long a program that is still open for writing is waited for.
const TEXT_BUSY: Duration = Duration::from_millis(200);

/// Runs programs, from any number of threads.
pub struct Launcher {
    null: OwnedFd,
    gate: Gate,
    method: Option<Method>,
}

impl Launcher {
    /// Makes a launcher.
    ///
    /// # Errors
    /// `/dev/null` cannot be opened.
    pub fn new() -> Result<Self, SpawnError> {
        // SAFETY: the path is a constant C string; the result is checked before it becomes an owned descriptor.
        let null = unsafe { owned(libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)) }
            .and_then(above_stdio)
            .map_err(|source| SpawnError::Descriptor { what: "/dev/null", source })?;
        Ok(Self { null, gate: Gate::default(), method: None })
    }

    /// Uses one method, come what may; for tests and measurements.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Runs `program` without arguments until it ends or its deadline has passed.
    ///
    /// A text file without `#!` is run by `/bin/sh`, as a shell would.
    ///
    /// # Errors
    /// It could not be started. Whatever happens after the start is in [`Finished`].
    pub fn run(
        &self,
        program: &CStr,
        environment: &Environment,
        credentials: Option<&Credentials>,
        limits: &Limits<'_>,
        tick: Option<Tick<'_>>,
    ) -> Result<Finished, SpawnError> {
        self.run_with_arguments(program, &[], environment, credentials, limits, tick)
    }

    /// As [`Launcher::run`], with arguments. The kernel takes less than 128 KiB for each.
    ///
    /// # Errors
    /// As [`Launcher::run`].
    pub fn run_with_arguments(
        &self,
        program: &CStr,
        arguments: &[CString],
        environment: &Environment,
        credentials: Option<&Credentials>,
        limits: &Limits<'_>,
        tick: Option<Tick<'_>>,
    ) -> Result<Finished, SpawnError> {
        let envp = environment.pointers();
        // Before the pipes are opened and the clock starts: who waits here holds nothing, and loses nothing.
        let permit = self.gate.enter();
        let started = Instant::now();
        let stdout = pipe()?;
        let stderr = pipe()?;
        // What a shell is given is one word longer: the shell's name.
        let mut argv: Vec<*const c_char> = Vec::with_capacity(arguments.len() + 3);
        argv.extend([c"/bin/sh".as_ptr(), program.as_ptr()]);
        argv.extend(arguments.iter().map(|a| a.as_ptr()));
        argv.push(std::ptr::null());
        let mut by_shell = false;
        let process = loop {
            let (program, argv) = if by_shell {
                (c"/bin/sh", argv.as_slice())
            } else {
                (program, argv.get(1..).unwrap_or_default())
            };
            let mut plan = Plan {
                program: program.as_ptr(),
                argv: argv.as_ptr(),
                envp: envp.as_ptr(),
                stdin: self.null.as_raw_fd(),
                stdout: stdout.write.as_raw_fd(),
                stderr: stderr.write.as_raw_fd(),
                credentials: credentials.map_or(std::ptr::null(), std::ptr::from_ref),
                failure: Failure::None,
            };
            match self.start(&mut plan, credentials) {
                Err(SpawnError::Exec(e))
                    if e.raw_os_error() == Some(libc::ENOEXEC) && !by_shell && is_text(program) =>
                {
                    by_shell = true;
                }
                // An installer is just writing it, or another thread's child has not let go of it yet.
                Err(SpawnError::Exec(e))
                    if e.raw_os_error() == Some(libc::ETXTBSY) && started.elapsed() < TEXT_BUSY =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other?,
            }
        };
        drop(permit);
        Ok(wait(process, stdout, stderr, started, limits, tick))
    }

    fn start(&self, plan: &mut Plan, credentials: Option<&Credentials>) -> Result<Process, SpawnError> {
        let method = self.method.unwrap_or(if NO_CLONE.load(Ordering::Relaxed) {
            Method::PosixSpawn
        } else {
            Method::Clone
        });
        if method == Method::Clone {
            match clone(plan, credentials) {
                // Seccomp filters of containers answer so.
                Err(SpawnError::Process(e))
                    if self.method.is_none()
                        && matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EINVAL)) =>
                {
                    NO_CLONE.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        posix_spawn(plan, credentials)
    }
}

/// A started process: its number, which stays taken until it is reaped, and the descriptor that tells its end.
pub(crate) struct Process {
    pub(crate) pid: libc::pid_t,
    pub(crate) pidfd: OwnedFd,
}

pub(crate) struct Pipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
}

fn pipe() -> Result<Pipe, SpawnError> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors; each becomes owned only where the call succeeded.
    let made = unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) == 0 {
            Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
        } else {
            Err(io::Error::last_os_error())
        }
    };
    made.and_then(|(read, write)| Ok(Pipe { read, write: above_stdio(write)? }))
        .map_err(|source| SpawnError::Descriptor { what: "a pipe", source })
}

/// # Safety
/// `fd` is the result of a call that gives a new descriptor or -1.
unsafe fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: not -1, so new and ours, by the contract.
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

/// Moves a descriptor out of the way of 0, 1 and 2, which a program may have been started without.
fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: the descriptor is open; the new one is checked.
    unsafe { owned(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3)) }
}

/// Whether a file that the kernel does not know how to run looks like a script.
fn is_text(program: &CStr) -> bool {
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    let mut start = Vec::with_capacity(256);
    std::fs::File::open(std::ffi::OsStr::from_bytes(program.to_bytes()))
        .and_then(|f| f.take(256).read_to_end(&mut start))
        .is_ok_and(|_| !start.contains(&0))
}

/// The arguments of `clone3`, as in `linux/sched.h`.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

#[cfg(target_arch = "x86_64")]
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// The child's stack lies in the parent's frame: the parent does not run before the child is done with it.
/// The child makes a dozen shallow calls; measured use is below 1 KiB.
#[repr(C, align(16))]
struct Stack(MaybeUninit<[u8; 16 << 10]>);

#[cfg(target_arch = "x86_64")]
fn clone(plan: &mut Plan, credentials: Option<&Credentials>) -> Result<Process, SpawnError> {
    let mut stack = Stack(MaybeUninit::uninit());
    let mut pidfd: RawFd = -1;
    let args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_PIDFD) as u64
            | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: (&raw mut stack) as u64,
        stack_size: size_of::<Stack>() as u64,
        ..CloneArgs::default()
    };
    let entry: unsafe extern "C" fn(*mut Plan) -> ! = become_program;
    let mut result = libc::SYS_clone3;
    // SAFETY: all signals are blocked, so that no handler of ours runs in the child on shared memory. The
    // child starts with its own registers on `stack`, calls `entry(plan)` and never returns; this thread is
    // suspended until the child has executed or exited, so stack, plan, args and pidfd outlive its use.
    // The kernel clobbers rcx and r11.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") result,
            in("rdi") &raw const args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") &raw mut *plan,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
    }
    if result < 0 {
        return Err(SpawnError::Process(io::Error::from_raw_os_error(-result as i32)));
    }
    // SAFETY: the call succeeded, so the kernel has stored a new descriptor there.
    let process = Process { pid: result as libc::pid_t, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } };
    // SAFETY: the child wrote it through the pointer it was given and is gone.
    let failure = unsafe { std::ptr::read_volatile(&raw const plan.failure) };
    let error = match failure {
        Failure::None => return Ok(process),
        Failure::Descriptors(errno) => SpawnError::Process(io::Error::from_raw_os_error(errno)),
        Failure::Exec(errno) => SpawnError::Exec(io::Error::from_raw_os_error(errno)),
        Failure::Credentials(errno) => SpawnError::Credentials {
            uid: credentials.map_or(0, |c| c.uid),
            source: io::Error::from_raw_os_error(errno),
        },
    };
    crate::wait::reap(&process);
    Err(error)
}

#[cfg(not(target_arch = "x86_64"))]
fn clone(_: &mut Plan, _: Option<&Credentials>) -> Result<Process, SpawnError> {
    let _ = become_program;
    Err(SpawnError::Process(io::Error::from_raw_os_error(libc::ENOSYS)))
}

fn posix_spawn(plan: &Plan, credentials: Option<&Credentials>) -> Result<Process, SpawnError> {
    if let Some(c) = credentials {
        let source = io::Error::other("clone3 is not available here, and posix_spawn cannot change the user");
        return Err(SpawnError::Credentials { uid: c.uid, source });
    }
    let leaks = inheritable_descriptors();
    let mut pid = 0;
    // SAFETY: attributes and actions are initialised before use and destroyed after; the plan's pointers are
    // valid null-terminated arrays and strings. Actions that found no memory show as a failed start.
    let error = unsafe {
        let mut actions: libc::posix_spawn_file_actions_t = std::mem::zeroed();
        let mut attributes: libc::posix_spawnattr_t = std::mem::zeroed();
        libc::posix_spawn_file_actions_init(&raw mut actions);
        libc::posix_spawnattr_init(&raw mut attributes);
        libc::posix_spawn_file_actions_adddup2(&raw mut actions, plan.stdin, 0);
        libc::posix_spawn_file_actions_adddup2(&raw mut actions, plan.stdout, 1);
        libc::posix_spawn_file_actions_adddup2(&raw mut actions, plan.stderr, 2);
        for fd in leaks {
            libc::posix_spawn_file_actions_addclose(&raw mut actions, fd);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::posix_spawnattr_setsigmask(&raw mut attributes, &raw const set);
        libc::sigfillset(&raw mut set);
        libc::posix_spawnattr_setsigdefault(&raw mut attributes, &raw const set);
        // The C libraries disagree on the constants' types.
        let flags = libc::POSIX_SPAWN_SETSID as libc::c_short
            | libc::POSIX_SPAWN_SETSIGDEF as libc::c_short
            | libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
        libc::posix_spawnattr_setflags(&raw mut attributes, flags);
        let error = libc::posix_spawn(
            &raw mut pid,
            plan.program,
            &raw const actions,
            &raw const attributes,
            plan.argv.cast::<*mut c_char>(),
            plan.envp.cast::<*mut c_char>(),
        );
        libc::posix_spawn_file_actions_destroy(&raw mut actions);
        libc::posix_spawnattr_destroy(&raw mut attributes);
        error
    };
    match error {
        0 => {}
        libc::EAGAIN | libc::ENOMEM => return Err(SpawnError::Process(io::Error::from_raw_os_error(error))),
        _ => return Err(SpawnError::Exec(io::Error::from_raw_os_error(error))),
    }
    // SAFETY: a system call on a number; the result is checked. The number is the child's own unless the host
    // takes the ends of its children, and then that is what ESRCH says.
    match unsafe { owned(libc::syscall(libc::SYS_pidfd_open, pid, 0) as RawFd) } {
        Ok(pidfd) => Ok(Process { pid, pidfd }),
        // Over already, and its end taken: there is nobody to undo anything with.
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Err(SpawnError::Process(e)),
        Err(e) => {
            // SAFETY: as above. Without a descriptor its end cannot be awaited with a deadline: undo.
            unsafe {
                libc::kill(-pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
            Err(SpawnError::Process(e))
        }
    }
}

/// Descriptors from 3 on that would survive `execve`.
fn inheritable_descriptors() -> Vec<RawFd> {
    let Ok(dir) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    dir.flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<RawFd>().ok())
        // SAFETY: asks for the flags of a number; one that is closed by now gives -1.
        .filter(|&fd| fd > 2 && unsafe { libc::fcntl(fd, libc::F_GETFD) } == 0)
        .collect()
}
