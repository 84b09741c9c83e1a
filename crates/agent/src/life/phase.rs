// SPDX-License-Identifier: Apache-2.0
//! Where a VM is in its life.

use serde::{Deserialize, Serialize};

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
