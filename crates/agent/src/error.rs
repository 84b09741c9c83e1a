// SPDX-License-Identifier: Apache-2.0
//! Why an operation did not happen.

use std::io;
use std::path::PathBuf;
use virt_hooks_engine::{FlagsError, HookError, LockError, MachineError};
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
    /// The VM has no stored definition.
    #[error(
        "VM {0} has no stored definition: define it first, or start it with \"virt-hooks vm start --xml FILE\""
    )]
    NotStored(String),
    /// There is nothing to undo.
    #[error("no hooks were applied to the definition of VM {0}: there is nothing to undo")]
    NotApplied(String),
    /// Others changed what hooks had changed.
    #[error(
        "the definition of VM {name} was changed where hooks had changed it: take that back with \"virsh edit {name}\"; \
         the definition before the hooks is in {}", record.display()
    )]
    ChangedSince {
        /// The VM.
        name: String,
        /// The file with the definition before.
        record: PathBuf,
    },
    /// It came here with its changes.
    #[error(
        "hooks were applied to the definition of VM {0}, but not here (a copy, or another state directory?): to take it as \
         it is, remove the element \"applied\" from its metadata with \"virsh edit {0}\""
    )]
    Unrecorded(String),
    /// Another operation on this VM is under way.
    #[error("another operation on VM {0} is under way: wait for its end and try again")]
    Busy(String),
    /// As many VMs come as may.
    #[error("{0} VMs are on their way to this host already: see incoming of [agent] in config.toml")]
    TooManyArrive(u32),
    /// A destination takes no VM for now.
    #[error(
        "migrate VM {vm}: the destination is busy ({said}): asked {attempts} times; try again later, or with more --retries"
    )]
    DestinationBusy {
        /// The VM.
        vm: String,
        /// What its agent said.
        said: String,
        /// How often it was asked.
        attempts: u32,
    },
    /// Hooks of the destination vetoed (VDSM's error 78).
    #[error("migrate VM {vm}: Destination hook failed: {said}")]
    DestinationVeto {
        /// The VM.
        vm: String,
        /// What its agent said, with the hooks' own words.
        said: String,
    },
    /// The destination's agent cannot take the VM.
    #[error("migrate VM {vm}: destination: {said}")]
    Destination {
        /// The VM.
        vm: String,
        /// What it said.
        said: String,
    },
    /// A migration took too long.
    #[error("migrate VM {vm}: it was not done within {limit:?}, and was given up: the VM still runs here")]
    TooSlow {
        /// The VM.
        vm: String,
        /// How long it might take.
        limit: std::time::Duration,
    },
    /// An agent does this; two would fire everything twice.
    #[error(
        "an agent serves {0}: leave out --no-agent and --connect, or stop it with `systemctl stop virt-hooksd`"
    )]
    AgentServes(String),
    /// A parameter of an operation.
    #[error("the parameter \"{0}\" is missing")]
    Missing(&'static str),
    /// The agent has no connection to libvirt just now.
    #[error("libvirt does not answer just now: the agent tries again every second")]
    Away,
    /// The agent takes no more.
    #[error("the agent is about to end: try again when it is back")]
    Stopping,
    /// The agent cannot say that it is there; there may be one already.
    #[error(transparent)]
    Presence(#[from] virt_hooks_engine::PresenceError),
    /// The VM is down without our doing: its points were fired then (C08).
    #[error(
        "VM {vm} is not running: it went by itself ({reason}), and after_vm_destroy was fired then; before_vm_destroy is not fired after it"
    )]
    WentBefore {
        /// The VM.
        vm: String,
        /// Why it went.
        reason: String,
    },
    /// The guest did not heed the request to shut down.
    #[error(
        "shut down VM {vm}: it still runs after {waited:?}: the guest may yet do so; \"virt-hooks vm destroy {vm}\" ends it at once"
    )]
    StillRuns {
        /// The VM.
        vm: String,
        /// How long it was waited for.
        waited: std::time::Duration,
    },
    /// A file is there already, and would be overwritten.
    #[error("{} is there already: give another file, or remove it", .0.display())]
    FileTaken(PathBuf),
    /// A custom property cannot be set.
    #[error("set a property of VM {vm}: {problem}")]
    Property {
        /// The VM.
        vm: String,
        /// What is wrong with it.
        problem: String,
    },
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
    /// What is on record of a VM cannot be understood.
    #[error(
        "the record of VM {vm} is damaged ({problem}): it is now {}, and hooks may be told again of what they know, \
         or miss what they were not told", aside.display()
    )]
    DamagedRecord {
        /// The VM.
        vm: String,
        /// Where the record is now.
        aside: PathBuf,
        /// What is wrong with it.
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

impl From<MachineError> for Error {
    fn from(error: MachineError) -> Self {
        Self::Xml(error.0)
    }
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy(vm) => Self::Busy(vm),
            LockError::File { path, source } => Self::File { doing: "lock", path, source },
        }
    }
}

/// What kind of end an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Hooks did not want it.
    Vetoed,
    /// libvirt did not want it.
    Refused,
    /// It may go better later.
    Busy,
    /// Anything else.
    Failed,
}

impl Error {
    /// What kind of end it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Veto { .. } | Self::Flags { .. } | Self::DestinationVeto { .. } => Kind::Vetoed,
            Self::Busy(_) | Self::TooManyArrive(_) => Kind::Busy,
            Self::Refused { .. } | Self::NotRestored { .. } | Self::NotReleased { .. } => Kind::Refused,
            _ => Kind::Failed,
        }
    }

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
            Self::Refused { operation: crate::migrate::OPERATION, source, .. }
                if source.kind == ErrorKind::Unreachable =>
            {
                Some(
                    "the libvirt of this host cannot reach that of the destination: see --to, which it follows from here",
                )
            }
            Self::Refused { source, .. } if source.kind == ErrorKind::Unreachable => Some(
                "libvirt itself cannot reach another of its daemons: start that, such as with \
                 `systemctl start virtnetworkd.socket` for networks",
            ),
            Self::Refused { source, .. } | Self::Lost { source, .. } | Self::NotRestored { source, .. } => {
                source.hint()
            }
            Self::DamagedRecord { .. } => Some("try again: the record is not in the way any more"),
            _ => None,
        }
    }
}
