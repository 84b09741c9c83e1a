// SPDX-License-Identifier: Apache-2.0
//! Files that somebody holds as long as he lives: the locks of VMs, and an agent's presence, which lie side by side.

use crate::payload::make_run_dir;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where they lie.
pub(crate) fn dir(run_dir: &Path) -> PathBuf {
    run_dir.join("vm")
}

/// Makes the directory they lie in.
pub(crate) fn make_dir(run_dir: &Path) -> io::Result<()> {
    make_run_dir(run_dir)?;
    make_run_dir(&dir(run_dir))
}

/// What became of trying to hold a file.
#[derive(Debug)]
pub(crate) enum Held {
    /// It is ours, and empty: what one that was killed said is void.
    Ours(File),
    /// Somebody has it.
    Taken,
    /// Somebody looked at it just now, or it is not the one of this name any more.
    Again,
}

/// Holds a file, at once or not at all; `None` where somebody has it.
pub(crate) fn hold(path: &Path) -> io::Result<Option<File>> {
    loop {
        // Private: who may read a file may lock it.
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match lock(file, path)? {
            Held::Ours(file) => return Ok(Some(file)),
            Held::Taken => return Ok(None),
            Held::Again => {}
        }
    }
}

/// Locks the file that was opened by this name.
pub(crate) fn lock(file: File, path: &Path) -> io::Result<Held> {
    match file.try_lock() {
        Ok(()) => {}
        // Who only looks shares it for a moment: that is nobody who holds it.
        Err(TryLockError::WouldBlock) => match file.try_lock_shared() {
            Ok(()) => {
                file.unlock()?;
                std::thread::yield_now();
                return Ok(Held::Again);
            }
            Err(TryLockError::WouldBlock) => return Ok(Held::Taken),
            Err(TryLockError::Error(e)) => return Err(e),
        },
        Err(TryLockError::Error(e)) => return Err(e),
    }
    // Who had it before us may have removed the file we opened: then nobody else would see our lock.
    match fs::symlink_metadata(path) {
        Ok(there) => {
            let ours = file.metadata()?;
            if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) {
                return Ok(Held::Again);
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Held::Again),
        Err(e) => return Err(e),
    }
    file.set_len(0)?;
    Ok(Held::Ours(file))
}
