// SPDX-License-Identifier: Apache-2.0
//! VMs whose hooks changed XML that the driver could not honour: a note for each, so that it is said once, and so
//! that `doctor` can tell.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The notes in a state directory: a file per VM, by UUID, with its name in it.
#[derive(Clone, Debug)]
pub struct Unheeded {
    dir: PathBuf,
}

impl Unheeded {
    /// Those in `state_dir`.
    pub fn of(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("unheeded") }
    }

    /// Notes a VM, and says whether it was not noted before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&self, uuid: &str, name: &str) -> io::Result<bool> {
        if !is_plain(uuid) {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("\"{uuid}\" cannot name a file")));
        }
        if self.dir.join(uuid).exists() {
            return Ok(false);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        fs::write(self.dir.join(uuid), name).map(|()| true)
    }

    /// Forgets a VM: its hooks' changes are honoured now.
    pub fn forget(&self, uuid: &str) {
        if is_plain(uuid) {
            // Where there is none there is nothing to forget; one that stays is told of once more.
            let _ = fs::remove_file(self.dir.join(uuid));
        }
    }

    /// The names of the VMs that are noted, with the file that says so.
    pub fn list(&self) -> Vec<(String, PathBuf)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut notes: Vec<_> =
            entries.filter_map(|e| Some((fs::read_to_string(e.path()).ok()?, e.path()))).collect();
        notes.sort();
        notes
    }
}

fn is_plain(uuid: &str) -> bool {
    !uuid.is_empty() && uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vm_once() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Unheeded::of(&dir.path().join("state"));
        assert!(notes.list().is_empty());
        assert!(notes.note("u-1", "web").unwrap());
        assert!(!notes.note("u-1", "web").unwrap());
        assert!(notes.note("../x", "web").is_err());
        assert_eq!(notes.list()[0].0, "web");
        notes.forget("u-1");
        assert!(notes.list().is_empty() && notes.note("u-1", "web").unwrap());
    }
}
