// SPDX-License-Identifier: Apache-2.0
//! The life of one VM: which after-points follow from what libvirt tells and from what we do.
//!
//! Pure: no libvirt, no hooks, no clock. What we do comes as a [`Step`], before and after each call; what libvirt
//! tells comes as a [`Lifecycle`]. Either may answer with [`After`]s, each of which is fired once. VDSM decides
//! the same by flags that threads race for (C10, C11); here it follows from the phase.
//!
//! What we do is here; what libvirt tells is in `told`, by the same rules.

mod phase;
mod step;
mod told;

pub use phase::Phase;
pub(crate) use step::{After, Found, Step};
use virt_hooks_libvirt::StopReason;

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
mod tests;
