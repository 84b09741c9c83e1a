// SPDX-License-Identifier: Apache-2.0
//! How a life goes on by what libvirt tells of it.

use super::{After, Late, Life, Origin, Phase};
use virt_hooks_libvirt::{Lifecycle, ResumeReason, StartReason, StopReason, SuspendReason};

impl Life {
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
}
