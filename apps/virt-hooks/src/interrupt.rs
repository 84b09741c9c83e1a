// SPDX-License-Identifier: Apache-2.0
//! Ctrl-C, and what service managers send: the hook that runs is ended, and nothing is left behind.

use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Becomes readable when this process is asked to end.
#[derive(Debug)]
pub struct Interrupt(UnixStream);

impl Interrupt {
    /// Listens from now on; signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub fn listen() -> Result<Self, Failure> {
        // The end of a hook is a signal too, which whoever started this process may ignore.
        virt_hooks_spawn::keep_ends_of_children();
        let listen = || {
            let (reader, writer) = UnixStream::pair()?;
            for signal in [SIGINT, SIGTERM, SIGHUP] {
                signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
            }
            Ok(Self(reader))
        };
        listen().map_err(|e: std::io::Error| Failure::unusable(format!("listen for signals: {e}")))
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
