// SPDX-License-Identifier: Apache-2.0
//! The life of one VM: which after-points follow from what libvirt tells and from what we do.
//!
//! Pure: no libvirt, no hooks, no clock. What we do comes as a [`Step`], before and after each call; what libvirt
//! tells comes as a [`Lifecycle`]. Either may answer with [`After`]s, each of which is fired once. VDSM decides
//! the same by flags that threads race for (C10, C11); here it follows from the phase.

use serde::{Deserialize, Serialize};
use virt_hooks_libvirt::{Lifecycle, ResumeReason, StartReason, StopReason, SuspendReason};

/// Where a VM is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It does not run.
    Down,
    /// It is being started or restored.
    Starting,
    /// It runs.
    Up,
    /// We asked for its processors to stand still.
    Pausing,
    /// Its processors stand still.
    Paused,
    /// It is being saved to a file.
    Saving,
    /// It is on its way to another host.
    MigratingOut,
    /// It is on its way to this host.
    MigratingIn,
    /// It is being destroyed, or shuts down.
    GoingDown,
}

impl Phase {
    /// A name for people, which is its name in JSON too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Saving => "saving",
            Self::MigratingOut => "migrating-out",
            Self::MigratingIn => "migrating-in",
            Self::GoingDown => "going-down",
        }
    }
}

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

/// How a VM that others bring up comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Nothing but RESUMED was told so far.
    Unknown,
    Boot,
    Restore {
        from_snapshot: bool,
    },
}

/// Events of an operation of ours that libvirt may still tell after the call returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Late {
    started: bool,
    resumed: bool,
    suspended: bool,
    stopped: bool,
}

/// One VM's life.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    phase: Phase,
    /// Its processors stand still.
    still: bool,
    /// Whether the phase is the doing of an operation of ours.
    ours: bool,
    origin: Origin,
    /// What was told of our start so far.
    told: Late,
    late: Late,
    /// A stop that was told while an operation of ours was at it.
    stopped: Option<StopReason>,
    /// Its processors were stopped as part of a save of ours: a pause only if the save fails.
    held: bool,
    /// QEMU's driver tells RESUMED or SUSPENDED with every start; the test driver does not.
    tells_processors: bool,
}

impl Life {
    /// A VM that does not run, of the driver behind `uri`.
    pub(crate) fn new(uri: &str) -> Self {
        Self {
            phase: Phase::Down,
            still: false,
            ours: false,
            origin: Origin::Unknown,
            told: Late::default(),
            late: Late::default(),
            stopped: None,
            held: false,
            tells_processors: uri.starts_with("qemu"),
        }
    }

    /// A VM as a record has it.
    pub(crate) fn resumed(uri: &str, phase: Phase) -> Self {
        let still = matches!(phase, Phase::Paused | Phase::Saving);
        // Whose operation it was is not there any more.
        let phase = if phase == Phase::GoingDown { Phase::Up } else { phase };
        Self { phase, still, ..Self::new(uri) }
    }

    /// Where it is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// An operation of ours goes on.
    pub(crate) fn step(&mut self, step: Step) -> Vec<After> {
        match step {
            Step::Start => {
                let afters = self.ended_unheard();
                self.ours = true;
                self.told = Late::default();
                self.stopped = None;
                self.still = false;
                self.phase = Phase::Starting;
                afters
            }
            Step::Started { paused } => {
                let mut afters = vec![After::Start];
                afters.extend(self.arrived(paused));
                afters
            }
            Step::Restored => self.arrived(true),
            Step::StartFailed => {
                self.down();
                vec![]
            }
            Step::Pause => self.begin(Phase::Pausing, !self.still),
            Step::Save => self.begin(Phase::Saving, true),
            Step::Migrate => self.begin(Phase::MigratingOut, true),
            Step::Destroy => self.begin(Phase::GoingDown, true),
            Step::Receive => {
                let afters = self.ended_unheard();
                self.down();
                self.phase = Phase::MigratingIn;
                afters
            }
            Step::ReceiveFailed => {
                if self.phase == Phase::MigratingIn {
                    self.down();
                }
                vec![]
            }
            Step::PauseFailed | Step::SaveFailed | Step::MigrateFailed | Step::DestroyFailed => {
                self.ours = false;
                let held = std::mem::take(&mut self.held);
                match self.stopped.take() {
                    Some(reason) => self.gone(reason),
                    None => {
                        if matches!(
                            self.phase,
                            Phase::Pausing | Phase::Saving | Phase::MigratingOut | Phase::GoingDown
                        ) {
                            self.settle();
                        }
                        if held { vec![After::Pause("pause")] } else { vec![] }
                    }
                }
            }
            Step::Destroyed => {
                let fires = self.phase != Phase::Down;
                let told = self.stopped.take().is_some();
                self.down();
                self.late.stopped = !told;
                if fires { vec![After::Destroy { reason: "destroy", with_before: false }] } else { vec![] }
            }
            Step::Found(found) => self.found(found),
            Step::Reconnected => {
                self.late = Late::default();
                vec![]
            }
        }
    }

    /// libvirt tells something.
    pub(crate) fn event(&mut self, event: Lifecycle) -> Vec<After> {
        if self.is_late(event) {
            return vec![];
        }
        match event {
            Lifecycle::Started(reason) => self.started(reason),
            Lifecycle::Resumed(reason) => self.resumed_event(reason),
            Lifecycle::Suspended(reason) => self.suspended(reason),
            Lifecycle::Stopped(reason) => self.stopped_event(reason),
            Lifecycle::Shutdown(_) if matches!(self.phase, Phase::Up | Phase::Paused) => {
                self.phase = Phase::GoingDown;
                self.ours = false;
                vec![]
            }
            _ => vec![],
        }
    }

    /// The VM does not run, though its end was not told yet: what is due of it comes before its next life, and
    /// the word of it, which is still to come, is of no other.
    fn ended_unheard(&mut self) -> Vec<After> {
        if self.phase == Phase::Down {
            return vec![];
        }
        let shut_down = self.phase == Phase::GoingDown && !self.ours;
        let mut afters = self.found(Found::Gone);
        if shut_down {
            afters = vec![After::Destroy { reason: "shutdown", with_before: false }];
        }
        self.late.stopped = true;
        afters
    }

    fn begin(&mut self, phase: Phase, changes: bool) -> Vec<After> {
        self.stopped = None;
        self.held = false;
        // What is gone is not being saved; what follows from that is for the caller.
        if changes && self.phase != Phase::Down {
            self.ours = true;
            self.phase = phase;
        }
        vec![]
    }

    fn settle(&mut self) {
        self.phase = if self.still { Phase::Paused } else { Phase::Up };
    }

    fn down(&mut self) {
        *self = Self { late: self.late, tells_processors: self.tells_processors, ..Self::new("") };
    }

    /// Our start or restore came to its end.
    fn arrived(&mut self, paused: bool) -> Vec<After> {
        self.ours = false;
        self.still = paused;
        self.settle();
        self.late.started = !self.told.started;
        self.late.resumed = self.tells_processors && !paused && !self.told.resumed;
        self.late.suspended = self.tells_processors && paused && !self.told.suspended;
        self.stopped.take().map(|reason| self.gone(reason)).unwrap_or_default()
    }

    fn is_late(&mut self, event: Lifecycle) -> bool {
        let flag = match event {
            Lifecycle::Started(_) => &mut self.late.started,
            Lifecycle::Resumed(_) => &mut self.late.resumed,
            Lifecycle::Suspended(_) => &mut self.late.suspended,
            Lifecycle::Stopped(_) => {
                let late = self.late.stopped;
                // After a stop nothing of what came before it is to come.
                self.late = Late::default();
                return late;
            }
            _ => return false,
        };
        std::mem::take(flag)
    }

    fn started(&mut self, reason: StartReason) -> Vec<After> {
        // libvirt tells the end of a life before the next one: if it did not, it was lost with a connection.
        if matches!(self.phase, Phase::Down | Phase::Starting) {
            self.late.stopped = false;
        }
        match self.phase {
            Phase::Starting if self.ours => {
                self.told.started = true;
                vec![]
            }
            Phase::Down | Phase::Starting => match reason {
                StartReason::Migrated => {
                    self.phase = Phase::MigratingIn;
                    vec![]
                }
                StartReason::Restored | StartReason::FromSnapshot => {
                    let from_snapshot = reason == StartReason::FromSnapshot;
                    self.phase = Phase::Starting;
                    self.origin = Origin::Restore { from_snapshot };
                    vec![]
                }
                _ => {
                    // What starts paused is told as SUSPENDED next; what runs was told as RESUMED before.
                    let runs = self.phase == Phase::Starting || !self.tells_processors;
                    self.phase = match (runs, self.still) {
                        (true, false) => Phase::Up,
                        (true, true) => Phase::Paused,
                        (false, _) => Phase::Starting,
                    };
                    self.origin = Origin::Boot;
                    vec![After::Start]
                }
            },
            _ => vec![],
        }
    }

    /// A guest that shuts down to boot again runs on after all: libvirt tells SHUTDOWN and no STOPPED.
    fn stayed(&mut self) {
        if self.phase == Phase::GoingDown && !self.ours {
            self.settle();
        }
    }

    fn resumed_event(&mut self, reason: ResumeReason) -> Vec<After> {
        self.stayed();
        let was_still = std::mem::take(&mut self.still);
        match (self.phase, self.origin) {
            (Phase::Starting, _) if self.ours => {
                self.told.resumed = true;
                vec![]
            }
            // libvirt tells this before STARTED (C11).
            (Phase::Down, _) => {
                self.phase = Phase::Starting;
                self.origin = Origin::Unknown;
                vec![]
            }
            (Phase::Starting, Origin::Restore { from_snapshot }) => {
                self.phase = Phase::Up;
                vec![After::Dehibernate { from_snapshot }]
            }
            (Phase::Starting, Origin::Boot) => {
                self.phase = Phase::Up;
                vec![]
            }
            (Phase::MigratingIn, _) => {
                self.phase = Phase::Up;
                vec![After::MigrateDestination]
            }
            (Phase::Starting | Phase::GoingDown, _) => vec![],
            // libvirt gives the save up; its pause was not told either.
            (Phase::Saving, _) if std::mem::take(&mut self.held) => vec![],
            _ => {
                if matches!(self.phase, Phase::Paused | Phase::MigratingOut) {
                    self.phase = Phase::Up;
                }
                if was_still && reason == ResumeReason::Unpaused { vec![After::Cont] } else { vec![] }
            }
        }
    }

    fn suspended(&mut self, reason: SuspendReason) -> Vec<After> {
        self.stayed();
        let was_still = std::mem::replace(&mut self.still, self.phase != Phase::Down);
        match (self.phase, self.origin) {
            (Phase::Starting, _) if self.ours => {
                self.told.suspended = true;
                vec![]
            }
            (Phase::Starting, Origin::Restore { from_snapshot }) => {
                self.phase = Phase::Paused;
                vec![After::Dehibernate { from_snapshot }]
            }
            (Phase::Starting, Origin::Boot) => {
                self.phase = Phase::Paused;
                vec![]
            }
            (Phase::MigratingIn, _) => {
                self.phase = Phase::Paused;
                vec![After::MigrateDestination]
            }
            // One that stands still before it is told as STARTED: that is what makes it a VM.
            (Phase::Down | Phase::GoingDown | Phase::Starting, _) => vec![],
            // A save stops what somebody let run again meanwhile: part of the save.
            (Phase::Saving, _) if self.ours && reason == SuspendReason::Paused => {
                self.held |= !was_still;
                vec![]
            }
            _ => {
                if matches!(self.phase, Phase::Up | Phase::Pausing) {
                    self.phase =
                        if reason == SuspendReason::Migrated { Phase::MigratingOut } else { Phase::Paused };
                }
                match reason {
                    SuspendReason::Paused if !was_still => vec![After::Pause("pause")],
                    SuspendReason::IoError if !was_still => vec![After::Pause("io-error")],
                    _ => vec![],
                }
            }
        }
    }

    fn stopped_event(&mut self, reason: StopReason) -> Vec<After> {
        match self.phase {
            Phase::Down => vec![],
            // The operation fires what is due. A stop told before STARTED is not about this start.
            Phase::Starting if self.ours => {
                self.stopped = self.told.started.then_some(reason);
                vec![]
            }
            Phase::GoingDown if self.ours => {
                self.stopped = Some(reason);
                vec![]
            }
            // It never was up: no hook was told of it.
            Phase::Starting if self.origin != Origin::Boot => {
                self.down();
                vec![]
            }
            Phase::MigratingIn => {
                self.down();
                vec![]
            }
            _ => self.gone(reason),
        }
    }

    fn gone(&mut self, reason: StopReason) -> Vec<After> {
        self.down();
        self.late = Late::default();
        let destroy = |reason, with_before| After::Destroy { reason, with_before };
        match reason {
            StopReason::Saved => vec![After::Hibernate, destroy("hibernate", true)],
            StopReason::Migrated => vec![After::MigrateSource, destroy("migrate", true)],
            StopReason::Shutdown => vec![destroy("shutdown", false)],
            StopReason::Destroyed => vec![destroy("destroyed-by-others", false)],
            StopReason::Crashed => vec![destroy("crashed", false)],
            StopReason::FromSnapshot => vec![destroy("reverted", false)],
            _ => vec![destroy("failed", false)],
        }
    }

    fn found(&mut self, found: Found) -> Vec<After> {
        self.late = Late::default();
        self.stopped = None;
        self.held = false;
        self.ours = false;
        let (phase, was_still) = (self.phase, self.still);
        if found == Found::Gone {
            self.down();
            return match phase {
                // A start that came to nothing is cleaned up by who finds its record.
                Phase::Down | Phase::Starting | Phase::MigratingIn => vec![],
                Phase::Saving => {
                    vec![After::Hibernate, After::Destroy { reason: "hibernate", with_before: true }]
                }
                Phase::MigratingOut => {
                    vec![After::MigrateSource, After::Destroy { reason: "migrate", with_before: true }]
                }
                _ => vec![After::Destroy { reason: "vanished", with_before: false }],
            };
        }
        if found == Found::Migrating {
            // Whatever its processors do just now is libvirt's doing.
            let known = !matches!(phase, Phase::Down | Phase::Starting);
            self.phase = if known { phase } else { Phase::MigratingIn };
            return vec![];
        }
        self.still = found == Found::Paused;
        self.settle();
        match phase {
            Phase::Down => vec![],
            Phase::Starting => vec![After::Start],
            Phase::MigratingIn => vec![After::MigrateDestination],
            _ if self.still && !was_still => vec![After::Pause("pause")],
            _ if was_still && !self.still => vec![After::Cont],
            _ => vec![],
        }
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
