// SPDX-License-Identifier: Apache-2.0
//! What this hook made for a VM: nothing else is ever deleted.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use virt_hooks_sdk::{Context, Failure};

/// The record of a VM: a directory with an empty directory for each image. Making a directory is exclusive,
/// follows no link and cannot be half done.
#[derive(Debug)]
pub(crate) struct Record {
    dir: PathBuf,
}

impl Record {
    pub(crate) fn of(hook: &Context) -> Result<Self, Failure> {
        let vm = hook.vm_id()?;
        Ok(Self { dir: hook.host().path(Path::new("/run/vdsm").join(vm).join("scratchpad")) })
    }

    /// Notes a file that was just made.
    pub(crate) fn add(&self, file: &Metadata) -> io::Result<()> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("write it down in {}: {error}", self.dir.display()))
        };
        DirBuilder::new().recursive(true).mode(0o755).create(&self.dir).map_err(named)?;
        match DirBuilder::new().mode(0o700).create(self.dir.join(identity(file))) {
            // Of a file that is gone; this one took its inode in the same instant.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(named),
        }
    }

    /// Whether this is a file that was noted.
    pub(crate) fn has(&self, file: &Metadata) -> bool {
        file.is_file() && self.dir.join(identity(file)).is_dir()
    }

    /// Forgets a file that was noted.
    pub(crate) fn forget(&self, file: &Metadata) {
        let _ = fs::remove_dir(self.dir.join(identity(file)));
        self.tidy();
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            // Removes empty directories only.
            let _ = fs::remove_dir(entry.path());
        }
        self.tidy();
    }

    /// The directory, and the VM's around it, if nobody has anything in there.
    fn tidy(&self) {
        if fs::remove_dir(&self.dir).is_ok() {
            let _ = self.dir.parent().map(fs::remove_dir);
        }
    }
}

/// Names a file as long as it exists; the time it was born tells it from a later one with its inode.
fn identity(file: &Metadata) -> String {
    let born = file.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{:x}-{}-{}", file.dev(), file.ino(), born.map_or(0, |born| born.as_nanos()))
}
