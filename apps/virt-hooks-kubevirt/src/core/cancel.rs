// SPDX-License-Identifier: Apache-2.0
//! Ending the hooks of one call from outside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why a call is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time is over.
    Deadline,
    /// The process was asked to end.
    Stopping,
}

/// The end that hooks' runner waits on.
#[derive(Debug)]
pub struct Cancel {
    reader: UnixStream,
    why: Arc<AtomicU8>,
}

/// The end that gives the call up.
#[derive(Debug)]
pub struct Trigger {
    writer: UnixStream,
    why: Arc<AtomicU8>,
}

impl Cancel {
    /// Both ends.
    ///
    /// # Errors
    /// The kernel gives no descriptors.
    pub fn new() -> io::Result<(Self, Trigger)> {
        let (reader, writer) = UnixStream::pair()?;
        let why = Arc::new(AtomicU8::new(0));
        Ok((Self { reader, why: Arc::clone(&why) }, Trigger { writer, why }))
    }

    /// Why it was given up.
    pub fn why(&self) -> Why {
        if self.why.load(Ordering::Acquire) == 1 { Why::Stopping } else { Why::Deadline }
    }

    /// Whether it is given up by now.
    pub fn is_set(&self) -> bool {
        virt_hooks_engine::is_readable(self.as_fd())
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Trigger {
    /// Gives the call up. Letting go of the trigger does so too.
    pub fn fire(self, why: Why) {
        self.why.store(u8::from(why == Why::Stopping), Ordering::Release);
        // A stream that is at its end is readable.
        drop(self.writer);
    }
}
