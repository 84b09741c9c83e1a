// SPDX-License-Identifier: Apache-2.0
//! What the child does between `clone3` and `execve`.

use crate::Credentials;
use std::ffi::{c_char, c_int, c_long};

/// Everything the child needs, made ready by the parent: the child only makes system calls.
pub(crate) struct Plan {
    pub(crate) program: *const c_char,
    pub(crate) argv: *const *const c_char,
    pub(crate) envp: *const *const c_char,
    pub(crate) stdin: c_int,
    pub(crate) stdout: c_int,
    pub(crate) stderr: c_int,
    pub(crate) credentials: *const Credentials,
    /// Written by the child before it gives up; read by the parent, which shares the memory.
    pub(crate) failure: Failure,
}

/// Why the child did not become the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    None,
    Descriptors(c_int),
    Credentials(c_int),
    Exec(c_int),
}

/// The child. Runs on a stack of its own in the parent's memory while the parent stands still.
///
/// # Safety
/// `plan` points to a valid plan that nobody else touches; all signals are blocked; the caller is the
/// fresh child of `clone3(VM | VFORK | FILES)`.
pub(crate) unsafe extern "C" fn become_program(plan: *mut Plan) -> ! {
    // SAFETY: by the contract above the plan and all it points to are valid and ours while the parent
    // is suspended. Only system calls are made: no allocation, no lock, no unwinding. The raw forms of
    // the uid and gid calls are used because libc's would signal the parent's other threads.
    unsafe {
        let plan = &mut *plan;
        libc::setsid();
        if !own_descriptors(plan.stdin.max(plan.stdout).max(plan.stderr)) {
            plan.failure = Failure::Descriptors(*libc::__errno_location());
            libc::_exit(127);
        }
        libc::dup2(plan.stdin, 0);
        libc::dup2(plan.stdout, 1);
        libc::dup2(plan.stderr, 2);
        close_from(3);
        if let Some(c) = plan.credentials.as_ref() {
            let denied = libc::syscall(libc::SYS_setgroups, c.groups.len() as c_long, c.groups.as_ptr()) < 0
                || libc::syscall(
                    libc::SYS_setresgid,
                    c_long::from(c.gid),
                    c_long::from(c.gid),
                    c_long::from(c.gid),
                ) < 0
                || libc::syscall(
                    libc::SYS_setresuid,
                    c_long::from(c.uid),
                    c_long::from(c.uid),
                    c_long::from(c.uid),
                ) < 0;
            if denied {
                plan.failure = Failure::Credentials(*libc::__errno_location());
                libc::_exit(127);
            }
        }
        // CLONE_CLEAR_SIGHAND has reset handlers, but leaves ignored signals ignored, and Rust programs
        // ignore SIGPIPE.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::execve(plan.program, plan.argv, plan.envp);
        plan.failure = Failure::Exec(*libc::__errno_location());
        libc::_exit(127)
    }
}

/// Gives this process a descriptor table of its own, with at least those up to `last` in it.
///
/// Cloning without `FILES` would copy all of the parent's descriptors, only to close them again: with 64 events
/// at once that is several hundred, and dearer than the rest of the start.
///
/// # Safety
/// The caller shares its table with its parent.
unsafe fn own_descriptors(last: c_int) -> bool {
    // SAFETY: plain system calls; the parent's table stays as it is.
    unsafe {
        let (first, to) = (c_long::from(last) + 1, c_long::from(u32::MAX));
        libc::syscall(libc::SYS_close_range, first, to, libc::CLOSE_RANGE_UNSHARE as c_long) == 0
            // Before Linux 5.9.
            || libc::syscall(libc::SYS_unshare, c_long::from(libc::CLONE_FILES)) == 0
    }
}

/// Closes every descriptor from `first` on.
///
/// # Safety
/// Nobody in this process may still need them.
unsafe fn close_from(first: c_int) {
    // SAFETY: plain system calls on numbers; by the contract the descriptors are not needed any more.
    unsafe {
        if libc::syscall(libc::SYS_close_range, c_long::from(first), c_long::from(u32::MAX), 0 as c_long) == 0
        {
            return;
        }
        // Before Linux 5.9: what a process commonly has; the rest is close-on-exec where it is ours.
        for fd in first..1024 {
            libc::close(fd);
        }
    }
}
