// SPDX-License-Identifier: Apache-2.0
//! Why an operation did not happen.

use std::io;
use std::path::PathBuf;
use virt_hooks_engine::{FlagsError, HookError};

/// Why an operation did not happen. Its text is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chain vetoed.
    #[error("{operation} {vm}: vetoed at {point}: {error}")]
    Veto {
        /// What was to happen: `start VM`.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// The hook point.
        point: String,
        /// Every failing hook in its own words.
        error: HookError,
    },
    /// What hooks left in the launch flags file cannot be used.
    #[error("{operation} {vm}: {source}")]
    Flags {
        /// What was to happen.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// What is wrong.
        source: FlagsError,
    },
    /// libvirt cannot be reached, or there is no such VM.
    #[error("{0}")]
    Unreachable(virt_hooks_libvirt::Error),
    /// libvirt refused the operation.
    #[error("{0}")]
    Refused(virt_hooks_libvirt::Error),
    /// The domain XML cannot be used.
    #[error("domain XML: {0}")]
    Xml(String),
    /// The VM runs.
    #[error("VM {0} is running already: nothing was done")]
    Running(String),
    /// The VM does not run.
    #[error("VM {0} is not running: \"virt-hooks vm list\" shows which are")]
    NotRunning(String),
    /// The name belongs to a VM with another UUID.
    #[error("there is a VM {name} with UUID {existing}: give yours another name, or that UUID")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        existing: String,
    },
    /// Whoever asked for the start gave it up, when no hook ran.
    #[error("start VM {0}: cancelled, the VM was not started")]
    Cancelled(String),
    /// Another operation on this VM is under way.
    #[error("another operation on VM {0} is under way: wait for its end and try again")]
    Busy(String),
    /// A file of ours cannot be used.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreachable(e) | Self::Refused(e) => e.hint(),
            _ => None,
        }
    }
}
