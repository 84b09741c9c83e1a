// SPDX-License-Identifier: Apache-2.0
//! One operation at a time on a VM, across processes.

use crate::Error;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use virt_hooks_engine::make_run_dir;

/// Held as long as an operation lasts; the kernel frees it when the process dies.
#[derive(Debug)]
pub(crate) struct VmLock {
    path: PathBuf,
    file: File,
}

impl VmLock {
    pub(crate) fn take(run_dir: &Path, uuid: &str, name: &str) -> Result<Self, Error> {
        let dir = run_dir.join("vm");
        let path = dir.join(format!("{uuid}.lock"));
        let failed = |source| Error::File { doing: "lock", path: path.clone(), source };
        make_run_dir(run_dir).and_then(|()| make_run_dir(&dir)).map_err(failed)?;
        loop {
            // Private: who may read a file may lock it.
            let options = File::options().create(true).truncate(false).write(true).mode(0o600).to_owned();
            let file = options.open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::Busy(name.to_owned())),
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
            // Who had it before us may have removed the file we opened: then nobody else would see our lock.
            match fs::symlink_metadata(&path) {
                Ok(m) if Some(m.ino()) == file.metadata().ok().map(|f| f.ino()) => {
                    return Ok(Self { path, file });
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }
}

/// Removes the locks of processes that were killed. The kernel freed them; their files stayed.
pub(crate) fn sweep(run_dir: &Path) {
    let Ok(entries) = fs::read_dir(run_dir.join("vm")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if let Some(uuid) = name.to_str().and_then(|name| name.strip_suffix(".lock")) {
            // One that is held is somebody's.
            drop(VmLock::take(run_dir, uuid, uuid));
        }
    }
}

impl Drop for VmLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_left() {
        let dir = tempfile::tempdir().unwrap();
        let take = || VmLock::take(dir.path(), "u", "web");
        let held = take().unwrap();
        assert!(matches!(take(), Err(Error::Busy(_))));
        drop(held);
        drop(take().unwrap());
        assert_eq!(fs::read_dir(dir.path().join("vm")).unwrap().count(), 0);
    }

    #[test]
    fn locks_of_the_dead_are_swept_and_held_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let held = VmLock::take(dir.path(), "held", "web").unwrap();
        fs::write(dir.path().join("vm/dead.lock"), "").unwrap();
        sweep(dir.path());
        assert!(held.path.exists() && !dir.path().join("vm/dead.lock").exists());
    }

    #[test]
    fn nobody_else_can_hold_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let held = VmLock::take(dir.path(), "u", "web").unwrap();
        assert_eq!(fs::metadata(&held.path).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn never_two_at_once() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 200 {
                        if let Ok(_lock) = VmLock::take(dir.path(), "u", "web") {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            taken.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
    }
}
