// SPDX-License-Identifier: Apache-2.0
//! What would differ if a file or a directory did.

use rustix::fs::Stat;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since the epoch.
pub(crate) type Time = (i64, u64);

/// Which file it is, its size, and when it last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileState {
    dev: u64,
    ino: u64,
    pub(crate) size: u64,
    mtime: Time,
    ctime: Time,
}

#[expect(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the types differ between architectures")]
impl FileState {
    pub(crate) fn of(s: &Stat) -> Self {
        Self {
            dev: s.st_dev as u64,
            ino: s.st_ino as u64,
            size: s.st_size as u64,
            mtime: (s.st_mtime as i64, s.st_mtime_nsec as u64),
            ctime: (s.st_ctime as i64, s.st_ctime_nsec as u64),
        }
    }

    /// When it was last read.
    pub(crate) fn atime(s: &Stat) -> Time {
        (s.st_atime as i64, s.st_atime_nsec as u64)
    }
}

impl FileState {
    /// Whether this is that file, changed or not.
    pub(crate) fn is_same_file(self, other: Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// A change within the same tick of the kernel's clock would leave the same times.
    pub(crate) fn is_settled(self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let youngest = self.mtime.max(self.ctime);
        let youngest = Duration::new(youngest.0.try_into().unwrap_or(0), youngest.1.try_into().unwrap_or(0));
        now.checked_sub(youngest).is_some_and(|age| age > Duration::from_millis(100))
    }
}
