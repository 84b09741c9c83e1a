// SPDX-License-Identifier: Apache-2.0
//! What a call has to know of the calls before it: libvirt does not say at `prepare` and `started` whether a VM
//! starts anew, arrives or is restored, nor, before 10.5.0, at `release` that it never ran.
//!
//! A small file per VM in the run directory, from the first call about a start to `started`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use virt_hooks_engine::make_run_dir;

/// libvirt goes on from `migrate` and `restore` to `prepare`, and on to `started`, without waiting for anything but
/// hooks and QEMU. Where it refuses the XML in between, it says so to nobody: what is left is void after this long.
const FRESH: Duration = Duration::from_secs(60);
/// Attempts at a migration that lie this close together are about the same.
const SAME: Duration = Duration::from_secs(600);

/// How far a VM has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It starts anew.
    Start,
    /// It arrives from another host; the how manieth attempt that is.
    Arrival(u32),
    /// It is restored from a file.
    Restore,
    /// Its arrival was refused here.
    Refused(u32),
}

/// The file of one VM.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    path: PathBuf,
}

impl Stage {
    pub(crate) fn of(run_dir: &Path, uuid: &str) -> Self {
        Self { path: run_dir.join("libvirt").join(uuid) }
    }

    fn read(&self, within: Duration) -> Option<Kind> {
        let age = SystemTime::now().duration_since(fs::metadata(&self.path).ok()?.modified().ok()?);
        // A file from the future is one from before the clock was set.
        if age.is_ok_and(|age| age > within) {
            return None;
        }
        let text = fs::read_to_string(&self.path).ok()?;
        let (word, count) = text.trim().split_once(' ')?;
        let count = count.parse().ok()?;
        match word {
            "start" => Some(Kind::Start),
            "arrival" => Some(Kind::Arrival(count)),
            "restore" => Some(Kind::Restore),
            "refused" => Some(Kind::Refused(count)),
            _ => None,
        }
    }

    /// What is under way, as far as a call before this one told.
    pub(crate) fn under_way(&self) -> Option<Kind> {
        self.read(FRESH).filter(|kind| !matches!(kind, Kind::Refused(_)))
    }

    /// What the `prepare` before a `started` was of, however long ago: a large VM takes minutes to be restored.
    pub(crate) fn prepared(&self) -> Option<Kind> {
        self.read(Duration::MAX)
    }

    /// Whether there was a start that never came to `started`, however long ago it began.
    pub(crate) fn was_starting(&self) -> bool {
        matches!(self.prepared(), Some(Kind::Start | Kind::Arrival(_) | Kind::Restore))
    }

    /// Which attempt at this arrival the next one is, from 1.
    pub(crate) fn next_attempt(&self) -> u32 {
        match self.read(SAME) {
            Some(Kind::Arrival(n) | Kind::Refused(n)) => n.saturating_add(1),
            _ => 1,
        }
    }

    pub(crate) fn write(&self, kind: Kind) -> io::Result<()> {
        let (word, count) = match kind {
            Kind::Start => ("start", 1),
            Kind::Arrival(n) => ("arrival", n),
            Kind::Restore => ("restore", 1),
            Kind::Refused(n) => ("refused", n),
        };
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        make_run_dir(dir.parent().unwrap_or(dir)).and_then(|()| make_run_dir(dir))?;
        fs::write(&self.path, format!("{word} {count}\n"))
    }

    pub(crate) fn remove(&self) {
        // One that is not there is as good as removed; one that stays is void soon.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_know_of_those_before() {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::of(&dir.path().join("run"), "u");
        assert_eq!((stage.under_way(), stage.was_starting(), stage.next_attempt()), (None, false, 1));
        stage.write(Kind::Arrival(stage.next_attempt())).unwrap();
        assert_eq!((stage.under_way(), stage.was_starting()), (Some(Kind::Arrival(1)), true));
        stage.write(Kind::Refused(stage.next_attempt())).unwrap();
        assert_eq!((stage.under_way(), stage.was_starting(), stage.next_attempt()), (None, false, 3));
        stage.write(Kind::Restore).unwrap();
        assert_eq!((stage.under_way(), stage.next_attempt()), (Some(Kind::Restore), 1));
        stage.remove();
        assert_eq!(stage.under_way(), None);
    }

    #[test]
    fn what_libvirt_gave_up_in_silence_is_void_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::of(&dir.path().join("run"), "u");
        stage.write(Kind::Restore).unwrap();
        let file = fs::File::options().write(true).open(&stage.path).unwrap();
        file.set_modified(SystemTime::now() - FRESH - Duration::from_secs(5)).unwrap();
        assert_eq!(stage.under_way(), None);
        assert!(stage.was_starting());
        assert_eq!(stage.prepared(), Some(Kind::Restore), "what takes long is not void");
    }
}
