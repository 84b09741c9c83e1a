// SPDX-License-Identifier: Apache-2.0
//! One process in a session of its own, with a deadline and bounded output.
//!
//! # Theory of operation
//!
//! [`Launcher::run`] starts a program and returns when it has ended; it owns the process from first
//! to last and keeps these promises:
//!
//! * **The parent's size does not matter.** The child is made by `clone3` with `VM | VFORK`, as
//!   `vfork` would: no page table is copied. Where `clone3` is not to be had (old kernels, seccomp
//!   filters, other architectures) `posix_spawn` does the same more slowly.
//! * **A pid is never signalled after it was reaped.** The child stays a zombie, and so keeps its
//!   process-group number taken, until the last signal to the group has been sent.
//! * **The end of the process is the end of the run.** The run waits on a pidfd, not for end-of-file:
//!   a background child that keeps standard output or error open delays nothing. It is reported.
//! * **Memory is bounded.** Of each stream the head and the tail are kept.
//! * **Nothing leaks in.** The child gets standard input from `/dev/null`, the two pipes, no other
//!   descriptor, default signal handling and an empty signal mask.
//! * **A crowd costs no more than a queue.** A launcher starts a few processes per CPU at the same
//!   moment; how many run is not its business.
//!
//! Between `clone3` and `execve` the child runs on borrowed memory: it makes system calls only,
//! allocates nothing, and cannot unwind.

mod capture;
mod child;
mod environment;
mod gate;
mod inherited;
mod launch;
mod signal;
mod wait;

pub use capture::Captured;
pub use environment::Environment;
pub use inherited::inherited_listener;
pub use launch::{Launcher, Method, SpawnError};
pub use signal::{keep_ends_of_children, signal_name};
pub use wait::{Finished, Limits, Status, Tick};

/// Whom a process runs as, where not as its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}
