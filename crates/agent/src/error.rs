// SPDX-License-Identifier: Apache-2.0
//! Why an operation did not happen.

use std::io;
use std::path::PathBuf;
use virt_hooks_engine::{FlagsError, HookError};
use virt_hooks_libvirt::ErrorKind;

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
    /// The engine could not run the hooks of a vetoing point.
    #[error("{operation} {vm}: {point}: {trouble}")]
    Trouble {
        /// What was to happen.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// The hook point.
        point: String,
        /// What was in the way, with its cause.
        trouble: String,
    },
    /// Whoever asked for the operation gave it up.
    #[error("{operation} {vm}: interrupted: {left}")]
    Interrupted {
        /// What was to happen.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// What there is now.
        left: &'static str,
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
    #[error("{operation} {vm}: {}", source.message)]
    Refused {
        /// What was to happen.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// What libvirt said.
        source: Box<virt_hooks_libvirt::Error>,
    },
    /// libvirt went away while it was at the operation.
    #[error("{operation} {vm}: the connection to libvirt was lost ({}): {left}", source.message)]
    Lost {
        /// What was to happen.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// What there is now.
        left: &'static str,
        /// What libvirt's client said.
        source: Box<virt_hooks_libvirt::Error>,
    },
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
    /// Another operation on this VM is under way.
    #[error("another operation on VM {0} is under way: wait for its end and try again")]
    Busy(String),
    /// The XML of a device cannot be used.
    #[error("device XML: {0}")]
    DeviceXml(String),
    /// The VM has no such device.
    #[error("VM {vm} has no {kind} \"{which}\"{known}")]
    NoDevice {
        /// The VM.
        vm: String,
        /// What was looked for: `interface`, `disk`.
        kind: &'static str,
        /// Its alias, address or target, as it was given.
        which: String,
        /// Those it has.
        known: String,
    },
    /// The guest did not let go of a device.
    #[error("{operation} {vm}: {device}: {why}")]
    NotReleased {
        /// What was to happen.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// The device.
        device: String,
        /// `the guest did not let go within 30 s, and may do so later`.
        why: String,
    },
    /// A device is neither as it was nor as it was to be.
    #[error("{operation} {vm}: {}; the earlier configuration could not be restored: {restore}", source.message)]
    NotRestored {
        /// What was to happen.
        operation: &'static str,
        /// The VM.
        vm: String,
        /// Why it did not.
        source: Box<virt_hooks_libvirt::Error>,
        /// What libvirt said to the earlier configuration.
        restore: String,
    },
    /// The ticket cannot be used.
    #[error("set ticket of VM {vm}: {problem}")]
    Ticket {
        /// The VM.
        vm: String,
        /// What is wrong. Never the ticket itself.
        problem: String,
    },
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
    /// The launch flags file could not be written: no hook had a part in that.
    pub(crate) fn unwritten(operation: &'static str, vm: &str, error: FlagsError) -> Self {
        match error {
            FlagsError::File { doing, path, source } => Self::File { doing, path, source },
            source => Self::Flags { operation, vm: vm.to_owned(), source },
        }
    }

    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreachable(e) => e.hint(),
            Self::Refused { source, .. } if source.kind == ErrorKind::Unreachable => Some(
                "libvirt itself cannot reach another of its daemons: start that, such as with \
                 `systemctl start virtnetworkd.socket` for networks",
            ),
            Self::Refused { source, .. } | Self::Lost { source, .. } | Self::NotRestored { source, .. } => {
                source.hint()
            }
            _ => None,
        }
    }
}
