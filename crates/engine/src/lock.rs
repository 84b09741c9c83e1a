// SPDX-License-Identifier: Apache-2.0
//! One operation at a time on a VM, across processes.

use crate::held;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why a VM cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another operation holds it.
    #[error("another operation on VM {0} is under way: wait for its end and try again")]
    Busy(String),
    /// The file cannot be used.
    #[error("lock {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What is in the file of an operation that neither begins nor ends a life.
const BESIDE: &[u8] = b"beside";

/// The end of the name of a lock that is held until the hooks of an operation ended.
const HOOKS: &str = ".hooks";

/// The end of the name of a lock that keeps out unplugs only.
const UNPLUG: &str = ".unplug";

/// What to give [`VmLock::take`] to say that hooks of an operation on a VM still run, where the next may begin.
pub fn hooks_lock(uuid: &str) -> String {
    format!("{uuid}{HOOKS}")
}

/// What to give [`VmLock::take`] to keep others from unplugging from a VM, and from nothing else.
pub fn unplug_lock(uuid: &str) -> String {
    format!("{uuid}{UNPLUG}")
}

/// Held as long as an operation of a driver lasts; the kernel frees it when the process dies.
#[derive(Debug)]
pub struct VmLock {
    path: PathBuf,
    file: File,
}

impl VmLock {
    /// Takes the lock of a VM, at once or not at all. `name` is only for the error.
    ///
    /// # Errors
    /// Somebody has it, or the file cannot be made.
    pub fn take(run_dir: &Path, uuid: &str, name: &str) -> Result<Self, LockError> {
        let path = path(run_dir, uuid);
        let failed = |source| LockError::File { path: path.clone(), source };
        held::make_dir(run_dir).map_err(failed)?;
        match held::hold(&path).map_err(failed)? {
            Some(file) => Ok(Self { path, file }),
            None => Err(LockError::Busy(name.to_owned())),
        }
    }

    /// As [`VmLock::take`], for an operation that neither begins nor ends a life of the VM: what libvirt tells of
    /// such meanwhile is others' doing, and [`VmLock::is_held`] leaves it to who asks.
    ///
    /// # Errors
    /// As those of [`VmLock::take`].
    pub fn take_beside(run_dir: &Path, uuid: &str, name: &str) -> Result<Self, LockError> {
        let lock = Self::take(run_dir, uuid, name)?;
        let failed = |source| LockError::File { path: lock.path.clone(), source };
        lock.file.write_all_at(BESIDE, 0).map_err(failed)?;
        Ok(lock)
    }

    /// Whether a living process has the lock of a VM: a driver is at an operation on it that may begin or end its
    /// life, and fires the points of that.
    ///
    /// # Errors
    /// The file is there but cannot be looked at.
    pub fn is_held(run_dir: &Path, uuid: &str) -> Result<bool, LockError> {
        let path = path(run_dir, uuid);
        let failed = |source| LockError::File { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(failed(e)),
        };
        // Given back when the file is closed.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => {
                let mut said = [0; BESIDE.len()];
                Ok(!matches!(file.read_at(&mut said, 0), Ok(n) if said[..n] == *BESIDE))
            }
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}

fn path(run_dir: &Path, uuid: &str) -> PathBuf {
    held::dir(run_dir).join(format!("{uuid}.lock"))
}

/// Removes the locks of processes that were killed. The kernel freed them; their files stayed.
pub fn sweep_locks(run_dir: &Path) {
    let Ok(entries) = fs::read_dir(held::dir(run_dir)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if let Some(uuid) = name.to_str().and_then(|name| name.strip_suffix(".lock")) {
            // One that is held is somebody's.
            drop(VmLock::take(run_dir, uuid, uuid));
        }
    }
}

/// The VMs, by UUID, that living processes are at operations on, or whose hooks of such still run.
pub fn taken_locks(run_dir: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(held::dir(run_dir)) else { return BTreeSet::new() };
    let taken = |entry: fs::DirEntry| {
        let uuid = entry.file_name().to_str()?.strip_suffix(".lock")?.to_owned();
        if uuid.ends_with(UNPLUG) {
            return None;
        }
        // Given back when the file is closed.
        let file = File::open(entry.path()).ok()?;
        let is_taken = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        is_taken.then(|| uuid.strip_suffix(HOOKS).unwrap_or(&uuid).to_owned())
    };
    entries.flatten().filter_map(taken).collect()
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
    fn locks_of_the_dead_are_swept_and_held_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let held = VmLock::take(dir.path(), "held", "web").unwrap();
        fs::write(dir.path().join("vm/dead.lock"), "").unwrap();
        sweep_locks(dir.path());
        assert!(held.path.exists() && !dir.path().join("vm/dead.lock").exists());
    }

    #[test]
    fn vms_that_somebody_is_at_are_known() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(taken_locks(dir.path()), BTreeSet::new());
        let held = VmLock::take(dir.path(), "a", "web").unwrap();
        let _beside = VmLock::take_beside(dir.path(), "b", "web").unwrap();
        let hooks = VmLock::take(dir.path(), "a.hooks", "web").unwrap();
        let _unplug = VmLock::take(dir.path(), &unplug_lock("c"), "web").unwrap();
        fs::write(dir.path().join("vm/dead.lock"), "").unwrap();
        let taken = || taken_locks(dir.path()).into_iter().collect::<Vec<_>>();
        assert_eq!(taken(), ["a", "b"]);
        drop(held);
        assert_eq!(taken(), ["a", "b"], "its hooks run");
        drop(hooks);
        assert_eq!(taken(), ["b"]);
    }

    #[test]
    fn one_at_a_time_and_nothing_left() {
        let dir = tempfile::tempdir().unwrap();
        let take = || VmLock::take(dir.path(), "u", "web");
        let held = take().unwrap();
        assert!(matches!(take(), Err(LockError::Busy(_))));
        assert!(VmLock::is_held(dir.path(), "u").unwrap() && !VmLock::is_held(dir.path(), "v").unwrap());
        drop(held);
        assert!(!VmLock::is_held(dir.path(), "u").unwrap());
        drop(take().unwrap());
        assert_eq!(fs::read_dir(dir.path().join("vm")).unwrap().count(), 0);
    }

    #[test]
    fn a_change_beside_the_life_keeps_out_operations_and_hides_no_event() {
        let dir = tempfile::tempdir().unwrap();
        let held = VmLock::take_beside(dir.path(), "u", "web").unwrap();
        assert!(matches!(VmLock::take(dir.path(), "u", "web"), Err(LockError::Busy(_))));
        assert!(!VmLock::is_held(dir.path(), "u").unwrap());
        drop(held);
        // One that was killed.
        fs::write(dir.path().join("vm/u.lock"), BESIDE).unwrap();
        let _held = VmLock::take(dir.path(), "u", "web").unwrap();
        assert!(VmLock::is_held(dir.path(), "u").unwrap());
    }

    #[test]
    fn nobody_else_can_hold_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let held = VmLock::take(dir.path(), "u", "web").unwrap();
        assert_eq!(fs::metadata(&held.path).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn who_only_looks_keeps_nobody_out() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    VmLock::is_held(dir.path(), "u").unwrap();
                }
            });
            for _ in 0..2000 {
                let taken = VmLock::take(dir.path(), "u", "web");
                if taken.is_err() {
                    done.store(true, Ordering::SeqCst);
                }
                taken.unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
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
