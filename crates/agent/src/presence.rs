// SPDX-License-Identifier: Apache-2.0
//! Whether an agent runs, and which libvirt it serves.

use crate::error::Error;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use virt_hooks_engine::make_run_dir;

fn path(run_dir: &Path) -> PathBuf {
    // Beside the locks of VMs.
    run_dir.join("vm").join("agent")
}

/// An agent's presence; the kernel ends it with the process.
#[derive(Debug)]
pub(crate) struct Presence {
    file: File,
    path: PathBuf,
}

impl Presence {
    /// Says that an agent is there, of which there is one in a run directory.
    pub(crate) fn take(run_dir: &Path) -> Result<Self, Error> {
        let path = path(run_dir);
        let failed = |source| Error::File { doing: "lock", path: path.clone(), source };
        make_run_dir(run_dir).and_then(|()| make_run_dir(&run_dir.join("vm"))).map_err(failed)?;
        let mut options = File::options();
        let file =
            options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => Err(Error::AgentRuns(path)),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Says which libvirt it serves.
    pub(crate) fn serves(&self, uri: &str) -> Result<(), Error> {
        let write = || -> io::Result<()> {
            self.file.set_len(0)?;
            self.file.write_all_at(uri.as_bytes(), 0)
        };
        write().map_err(|source| Error::File { doing: "write", path: self.path.clone(), source })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The URI of the libvirt that a running agent serves.
pub(crate) fn agent_of(run_dir: &Path) -> Option<String> {
    let path = path(run_dir);
    let file = File::options().read(true).write(true).open(&path).ok()?;
    // Shared: who looks at the same time is no agent.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => fs::read_to_string(&path).ok(),
        // One that was killed.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_whose_libvirt_is_known_and_none_after_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(agent_of(dir.path()), None);
        let presence = Presence::take(dir.path()).unwrap();
        presence.serves("qemu:///a-long-one").unwrap();
        presence.serves("qemu:///system").unwrap();
        assert_eq!(agent_of(dir.path()).as_deref(), Some("qemu:///system"));
        assert!(matches!(Presence::take(dir.path()), Err(Error::AgentRuns(_))));
        drop(presence);
        assert_eq!(agent_of(dir.path()), None);
        assert_eq!(fs::read_dir(dir.path().join("vm")).unwrap().count(), 0);
    }

    #[test]
    fn who_looks_at_the_same_time_is_no_agent() {
        let dir = tempfile::tempdir().unwrap();
        let killed = Presence::take(dir.path()).unwrap();
        killed.serves("qemu:///system").unwrap();
        killed.file.unlock().unwrap();
        let other = File::open(&killed.path).unwrap();
        other.try_lock_shared().unwrap();
        assert_eq!(agent_of(dir.path()), None);
    }

    #[test]
    fn a_killed_agent_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let presence = Presence::take(dir.path()).unwrap();
        presence.serves("qemu:///system").unwrap();
        presence.file.unlock().unwrap();
        assert_eq!(agent_of(dir.path()), None);
        Presence::take(dir.path()).unwrap();
    }
}
