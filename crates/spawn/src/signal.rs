// SPDX-License-Identifier: Apache-2.0
//! Names of signals.

use std::borrow::Cow;

/// The name of a signal, such as `SIGKILL`; `SIG<number>` for one without a name.
pub fn signal_name(number: i32) -> Cow<'static, str> {
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSTKFLT => "SIGSTKFLT",
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGIO => "SIGIO",
        libc::SIGPWR => "SIGPWR",
        libc::SIGSYS => "SIGSYS",
        n => return Cow::Owned(format!("SIG{n}")),
    };
    Cow::Borrowed(name)
}

/// Has the kernel keep the end of a child until it is asked for. For programs, at their start.
///
/// Where whoever started the program ignores SIGCHLD, the program does too, and its children end without a
/// trace: each would be [`Status::Lost`](crate::Status::Lost). A library leaves this to the program it is part of.
pub fn keep_ends_of_children() {
    // SAFETY: the default is set, so no code of ours runs on a signal.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
