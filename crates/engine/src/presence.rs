// SPDX-License-Identifier: Apache-2.0
//! Whether an agent runs, which libvirt it serves, and whether it hears what happens there.
//!
//! A file beside the locks of VMs, locked as long as the agent lives. Its first line is the libvirt it serves: from
//! then on nobody else works on the VMs of that one. A second line says that it watches: each VM was looked at, and
//! libvirt's events come. Until then, and while the connection is lost, libvirt's hook script fires itself.

use crate::held;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The second line of an agent that watches.
const WATCHING: &str = "watching\n";

/// Why an agent cannot say that it is there.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// There is an agent already, which holds this file.
    #[error("another agent runs: it holds {}", .0.display())]
    Taken(PathBuf),
    /// The file cannot be used.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn path(run_dir: &Path) -> PathBuf {
    held::dir(run_dir).join("agent")
}

/// An agent's presence; the kernel ends it with the process.
#[derive(Debug)]
pub struct Presence {
    file: File,
    path: PathBuf,
}

impl Presence {
    /// Says that an agent is there, of which there is one in a run directory. It serves nothing yet.
    ///
    /// # Errors
    /// There is one already, or the file cannot be made.
    pub fn take(run_dir: &Path) -> Result<Self, PresenceError> {
        let path = path(run_dir);
        let failed = |source| PresenceError::File { doing: "lock", path: path.clone(), source };
        held::make_dir(run_dir).map_err(failed)?;
        match held::hold(&path).map_err(failed)? {
            Some(file) => Ok(Self { file, path }),
            None => Err(PresenceError::Taken(path)),
        }
    }

    /// Says which libvirt it serves.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn serves(&self, uri: &str) -> Result<(), PresenceError> {
        self.write(&format!("{uri}\n"))
    }

    /// Says that it hears what happens there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn watches(&self, uri: &str) -> Result<(), PresenceError> {
        self.write(&format!("{uri}\n{WATCHING}"))
    }

    fn write(&self, text: &str) -> Result<(), PresenceError> {
        // In this order: nobody finds the libvirt missing in between.
        let write = || -> io::Result<()> {
            self.file.write_all_at(text.as_bytes(), 0)?;
            self.file.set_len(text.len() as u64)
        };
        write().map_err(|source| PresenceError::File { doing: "write", path: self.path.clone(), source })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The URI of the libvirt that a running agent serves; empty where it has not reached one yet.
pub fn agent_of(run_dir: &Path) -> Option<String> {
    let text = said(run_dir)?;
    Some(text.lines().next().unwrap_or_default().to_owned())
}

/// The URI of the libvirt whose events a running agent hears, having looked at every VM.
pub fn agent_watching(run_dir: &Path) -> Option<String> {
    let text = said(run_dir)?;
    let (uri, rest) = text.split_once('\n')?;
    (rest == WATCHING).then(|| uri.to_owned())
}

fn said(run_dir: &Path) -> Option<String> {
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
        assert!(matches!(Presence::take(dir.path()), Err(PresenceError::Taken(_))));
        drop(presence);
        assert_eq!(agent_of(dir.path()), None);
        assert_eq!(fs::read_dir(dir.path().join("vm")).unwrap().count(), 0);
    }

    #[test]
    fn an_agent_watches_once_it_says_so_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let presence = Presence::take(dir.path()).unwrap();
        assert_eq!((agent_of(dir.path()).as_deref(), agent_watching(dir.path())), (Some(""), None));
        presence.serves("qemu:///system").unwrap();
        assert_eq!(agent_watching(dir.path()), None);
        presence.watches("qemu:///system").unwrap();
        assert_eq!(agent_watching(dir.path()).as_deref(), Some("qemu:///system"));
        presence.serves("qemu:///system").unwrap();
        assert_eq!(agent_watching(dir.path()), None, "the connection is lost");
        presence.watches("qemu:///system").unwrap();
        presence.file.unlock().unwrap();
        assert_eq!(agent_watching(dir.path()), None, "it was killed");
        let _next = Presence::take(dir.path()).unwrap();
        assert_eq!((agent_of(dir.path()).as_deref(), agent_watching(dir.path())), (Some(""), None));
    }

    #[test]
    fn a_file_that_was_removed_meanwhile_is_no_presence() {
        let dir = tempfile::tempdir().unwrap();
        let first = Presence::take(dir.path()).unwrap();
        let path = first.path.clone();
        // Opened while the first one is there, locked once it is gone.
        let opened = File::options().write(true).open(&path).unwrap();
        drop(first);
        let third = Presence::take(dir.path()).unwrap();
        assert!(matches!(held::lock(opened, &path).unwrap(), held::Held::Again));
        assert!(matches!(Presence::take(dir.path()), Err(PresenceError::Taken(_))));
        drop(third);
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
