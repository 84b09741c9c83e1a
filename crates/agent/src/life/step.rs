// SPDX-License-Identifier: Apache-2.0
//! What a life goes by, and what follows from it: steps of ours, what libvirt says of a VM, after-points.

/// A step of an operation of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A start or a restore begins; the VM does not run.
    Start,
    /// libvirt created it.
    Started {
        /// With its processors standing still.
        paused: bool,
    },
    /// libvirt restored it, with its processors standing still.
    Restored,
    /// It was not started, or was ended again.
    StartFailed,
    /// libvirt is about to be asked to stop its processors.
    Pause,
    /// libvirt refused.
    PauseFailed,
    /// libvirt is about to be asked to save it.
    Save,
    /// libvirt refused.
    SaveFailed,
    /// libvirt is about to be asked to move it to another host.
    Migrate,
    /// libvirt refused, or was told to give it up.
    MigrateFailed,
    /// It is about to come from another host.
    Receive,
    /// It did not come.
    ReceiveFailed,
    /// A destroy begins.
    Destroy,
    /// libvirt ended it.
    Destroyed,
    /// The destroy was given up, or refused.
    DestroyFailed,
    /// What libvirt says of it after events may have been missed.
    Found(Found),
    /// There is a new connection to libvirt: what the one before had not told is not to come.
    Reconnected,
}

/// What libvirt says of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Found {
    /// It does not run.
    Gone,
    /// Its processors run.
    Running,
    /// Its processors stand still.
    Paused,
    /// It is on its way to this host or from it, and libvirt is to tell how that ends.
    Migrating,
}

/// After-points that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum After {
    /// `after_vm_start`, then `after_device_create` for each device.
    Start,
    /// `after_vm_dehibernate`.
    Dehibernate {
        /// The variable `FROM_SNAPSHOT`.
        from_snapshot: bool,
    },
    /// `after_vm_pause`, with this reason.
    Pause(&'static str),
    /// `after_vm_cont`.
    Cont,
    /// `after_vm_hibernate`.
    Hibernate,
    /// `after_vm_migrate_source`, then `after_device_migrate_source` for each device.
    MigrateSource,
    /// `after_vm_migrate_destination`, then `after_device_migrate_destination` for each device.
    MigrateDestination,
    /// `after_vm_destroy`, then `after_device_destroy` for each device.
    Destroy {
        /// The variable `_hook_reason` (C34).
        reason: &'static str,
        /// Whether `before_device_destroy` and `before_vm_destroy` come first: after a save or a migration
        /// nobody is there to destroy what is left, as VDSM's client does (VDSM sequences 4.7 and 4.9).
        with_before: bool,
    },
}

impl After {
    /// Whether a VM that these are told of is gone from here.
    pub(crate) fn ends_life(self) -> bool {
        matches!(self, Self::Destroy { .. } | Self::Hibernate | Self::MigrateSource)
    }
}
