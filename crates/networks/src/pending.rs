// SPDX-License-Identifier: Apache-2.0
//! What is being done right now: if this process is killed, or the way back fails, the next one finds here how it ends.
//!
//! It is there from before the first hook until after the last one: at whatever moment the process ends, either devices
//! are to be made as they were, or devices and record agree and hooks are to be told.

use crate::error::Error;
use crate::layout::Layout;
use crate::record::{Former, replace};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// In the run directory: nothing of it outlives a boot, as the devices do not.
const FILE: &str = "networks.pending.json";

/// A request that is being carried out.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pending {
    /// Devices may be half-way.
    Undo(Undo),
    /// Devices are as they are to be. The point after the request is to be fired.
    Tell {
        /// Whether the networks were set up.
        done: bool,
        /// The document of the point.
        document: Value,
    },
}

/// How devices are made as they were.
#[derive(Deserialize, Serialize)]
pub(crate) struct Undo {
    /// The devices as they were; those that were not there among them.
    pub(crate) before: Layout,
    /// The record of what had been set up before: the new one may be there already.
    pub(crate) record: Former,
    /// The document of its points.
    pub(crate) document: Value,
    /// The document of a rollback's points.
    pub(crate) rollback: Value,
    /// Whether hooks know that it failed.
    pub(crate) told: bool,
}

impl Pending {
    /// Where it is in a run directory.
    pub(crate) fn path(run_dir: &Path) -> PathBuf {
        run_dir.join(FILE)
    }

    /// What a process left that did not get to its end.
    pub(crate) fn read(run_dir: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(run_dir);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { doing: "read", path, source }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(pending) => Ok(Some(pending)),
            Err(e) => Err(Error::Pending { path, problem: e.to_string() }),
        }
    }

    pub(crate) fn write(&self, run_dir: &Path) -> Result<(), Error> {
        let path = Self::path(run_dir);
        let failed = |source| Error::File { doing: "write", path: path.clone(), source };
        let bytes = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        replace(run_dir, &path, &bytes).map_err(failed)
    }

    /// It is over, one way or the other.
    pub(crate) fn forget(run_dir: &Path) -> Result<(), Error> {
        let path = Self::path(run_dir);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| Error::File { doing: "remove", path, source }),
        }
    }
}

impl Undo {
    pub(crate) fn write(self, run_dir: &Path) -> Result<(), Error> {
        Pending::Undo(self).write(run_dir)
    }
}
