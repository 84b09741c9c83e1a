// SPDX-License-Identifier: Apache-2.0
//! The payload file of an event (VDSM contract, payload file).

use crate::check::{Original, Unusable, usable};
use crate::event::{Check, Document, Event};
use crate::file_state::{FileState, Time};
use crate::outcome::Trouble;
use crate::settings::Settings;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use virt_hooks_contract::PayloadKind;
use virt_hooks_spawn::Credentials;

/// Checks a payload before an event is made of it.
///
/// # Errors
/// It is empty, not UTF-8, or not a document of the kind: in one line.
pub fn check_payload(kind: PayloadKind, bytes: &[u8]) -> Result<(), String> {
    usable(kind, bytes).map_err(|e| e.to_string())
}

/// What is wrong with what a hook left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Spoilt {
    #[error("removed the payload file")]
    Removed,
    #[error("replaced the payload file by {0}")]
    NotAFile(&'static str),
    #[error("left a payload that cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("left a payload of {size} bytes, more than the limit of {limit} (payload_limit)")]
    TooLarge { size: u64, limit: u64 },
    #[error("left a payload that is {0}")]
    Unusable(#[from] Unusable),
}

/// The payload in a private directory, as long as an event lasts.
pub(crate) struct PayloadFile<'a> {
    /// Locked as long as the event lasts, so that [`remove_stale`] can tell it from one whose engine was killed.
    _lock: Option<OwnedFd>,
    dir: PathBuf,
    path: PathBuf,
    kind: PayloadKind,
    same_uuid: bool,
    check: Check,
    limit: u64,
    owner: Option<&'a Credentials>,
    given: Document,
    last_good: Document,
    original: Option<Original>,
    seen: Option<Seen>,
    reads_show: bool,
    /// Whether what lies at `path` is known to be `last_good`.
    in_place: bool,
}

/// The state of the file when its content was last known.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    file: FileState,
    atime: Time,
}

impl Seen {
    fn of(s: &Stat) -> Self {
        Self { file: FileState::of(s), atime: FileState::atime(s) }
    }
}

/// Both times of a file nobody has touched. Clocks tick too coarsely to tell a write from what was just
/// before it, so the file starts out with a time no clock shows; and an access time that is not younger
/// than the others moves with the first read even under `relatime`. A store through a shared mapping does
/// not move the times of a file on tmpfs, but to be mapped the file must be opened and that shows.
const UNTOUCHED: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

impl<'a> PayloadFile<'a> {
    /// Writes the payload.
    pub(crate) fn create(
        event: &Event<'_>,
        settings: &Settings,
        owner: Option<&'a Credentials>,
        event_id: &str,
    ) -> Result<Self, Trouble> {
        let dir = settings.run_dir.join(event_id);
        let trouble = |path: &Path, e: rustix::io::Errno| Trouble::WritePayload {
            path: path.to_owned(),
            source: e.into(),
        };
        let locked = match make_locked(&settings.run_dir, event_id) {
            Err(rustix::io::Errno::NOENT) => {
                make_run_dir(&settings.run_dir)
                    .map_err(|source| Trouble::MakeRunDirectory { path: settings.run_dir.clone(), source })?;
                make_locked(&settings.run_dir, event_id)
            }
            other => other,
        }
        .map_err(|e| trouble(&settings.run_dir, e))?;
        let name = if event.point.payload == PayloadKind::Json { "payload.json" } else { "payload.xml" };
        // From here on the directory goes with the value, whatever happens.
        let mut file = Self {
            _lock: locked,
            path: dir.join(name),
            dir,
            kind: event.point.payload,
            same_uuid: event.point.same_uuid,
            check: event.check,
            // What was larger before any hook ran is no hook's fault.
            limit: settings.payload_limit.max(event.payload.bytes().len() as u64),
            owner,
            given: event.payload.clone(),
            last_good: event.payload.clone(),
            original: None,
            seen: None,
            reads_show: false,
            in_place: false,
        };
        file.give_away_dir().map_err(|e| trouble(&file.dir, e))?;
        file.write().map_err(|e| trouble(&file.path, e))?;
        Ok(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn last_good(&self) -> &Document {
        &self.last_good
    }

    /// Makes sure the next hook finds the last good payload.
    pub(crate) fn ready(&mut self) -> Result<(), Trouble> {
        if self.in_place {
            return Ok(());
        }
        self.restore().map_err(|source| Trouble::WritePayload { path: self.path.clone(), source })
    }

    fn restore(&mut self) -> io::Result<()> {
        // A hook may have removed the directory with it, or put something in its place.
        if !std::fs::symlink_metadata(&self.dir).is_ok_and(|m| m.is_dir()) {
            remove(&self.dir)?;
            rustix::fs::mkdir(&self.dir, Mode::RWXU)?;
            self.give_away_dir()?;
        }
        remove(&self.path)?;
        Ok(self.write()?)
    }

    /// Gives the directory to who runs the hooks.
    fn give_away_dir(&self) -> rustix::io::Result<()> {
        self.owner.map_or(Ok(()), |c| chown(rustix::fs::CWD, &self.dir, c))
    }

    /// Takes up what a hook left. `Some` is a change; the file is `last_good` again after an error only when
    /// [`PayloadFile::ready`] was called.
    pub(crate) fn collect(&mut self) -> Result<Option<Document>, Spoilt> {
        self.in_place = false;
        let stat = match rustix::fs::statat(rustix::fs::CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => s,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Err(Spoilt::Removed),
            Err(e) => return Err(Spoilt::Unreadable(e.into())),
        };
        if self.reads_show && self.seen == Some(Seen::of(&stat)) {
            self.in_place = true;
            return Ok(None);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(Spoilt::NotAFile("a symbolic link")),
            FileType::Directory => return Err(Spoilt::NotAFile("a directory")),
            _ => return Err(Spoilt::NotAFile("something that is not a file")),
        }
        let now = FileState::of(&stat);
        if now.size > self.limit {
            return Err(Spoilt::TooLarge { size: now.size, limit: self.limit });
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(e) => return Err(Spoilt::Unreadable(e.into())),
        };
        // A process a hook left behind may have swapped it since it was looked at.
        match rustix::fs::fstat(&fd) {
            Ok(s) if FileState::of(&s).is_same_file(now) => {}
            _ => return Err(Spoilt::NotAFile("another file while it was read")),
        }
        let Some(bytes) = self.read_if_different(&fd, now.size).map_err(Spoilt::Unreadable)? else {
            self.settle(&fd);
            return Ok(None);
        };
        if bytes.len() as u64 > self.limit {
            return Err(Spoilt::TooLarge { size: bytes.len() as u64, limit: self.limit });
        }
        if self.check == Check::Full {
            let original = self.original.get_or_insert_with(|| Original::of(self.kind, self.given.bytes()));
            original.accepts(self.kind, self.same_uuid, &bytes)?;
        }
        self.last_good = Document::from(bytes);
        self.settle(&fd);
        Ok(Some(self.last_good.clone()))
    }

    fn write(&mut self) -> rustix::io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&self.path, flags, Mode::RUSR | Mode::WUSR)?;
        if let Some(c) = self.owner {
            chown(&fd, "", c)?;
        }
        let mut rest = self.last_good.bytes();
        while !rest.is_empty() {
            match rustix::io::write(&fd, rest) {
                Ok(0) => return Err(rustix::io::Errno::NOSPC),
                Ok(n) => rest = &rest[n..],
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
        self.settle(&fd);
        Ok(())
    }

    /// Notes that the file holds `last_good` and makes the next touch visible.
    fn settle(&mut self, fd: &OwnedFd) {
        let times = Timestamps { last_access: UNTOUCHED, last_modification: UNTOUCHED };
        let marked = rustix::fs::futimens(fd, &times);
        self.seen = rustix::fs::fstat(fd).ok().map(|s| Seen::of(&s));
        // A file that another user owns by now cannot be marked: it is read each time.
        self.reads_show = marked.is_ok() && reads_show(fd);
        self.in_place = true;
    }

    /// The content, unless it is `last_good`. Nothing is kept of a large payload that is the same.
    fn read_if_different(&self, fd: &OwnedFd, size: u64) -> io::Result<Option<Vec<u8>>> {
        let known = self.last_good.bytes();
        let mut chunk = vec![0; usize::try_from(size + 1).unwrap_or(usize::MAX).clamp(64, 64 << 10)];
        let mut same = 0;
        let mut bytes = loop {
            let piece = read(fd, &mut chunk)?;
            if piece.is_empty() {
                return Ok((same != known.len()).then(|| known[..same].to_vec()));
            }
            if known.get(same..same + piece.len()) == Some(piece) {
                same += piece.len();
                continue;
            }
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).max(same + piece.len()));
            bytes.extend_from_slice(&known[..same]);
            bytes.extend_from_slice(piece);
            break bytes;
        };
        loop {
            let piece = read(fd, &mut chunk)?;
            // One that grows while it is read is not followed beyond the limit.
            if piece.is_empty() || bytes.len() as u64 > self.limit {
                return Ok(Some(bytes));
            }
            bytes.extend_from_slice(piece);
        }
    }
}

impl Drop for PayloadFile<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(&self.path);
        if rustix::fs::rmdir(&self.dir).is_err() {
            // A hook left something beside it, or in its place.
            let _ = remove(&self.dir);
        }
    }
}

/// How old a directory must be that never was an event's: one that is just being made is not locked yet.
const STALE: std::time::Duration = std::time::Duration::from_secs(60);

/// What the name of a directory begins with that is no event's yet.
const UNFINISHED: &str = "new-";

/// Removes directories of events whose engine was killed: the payloads in them may hold secrets. Says how many.
pub(crate) fn remove_stale(run_dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(run_dir) else { return 0 };
    let is_id = |name: &[u8]| name.len() == 32 && name.iter().all(u8::is_ascii_hexdigit);
    let is_old = |entry: &std::fs::DirEntry| {
        let made = entry.metadata().and_then(|m| m.modified());
        made.is_ok_and(|t| t.elapsed().is_ok_and(|age| age > STALE))
    };
    entries
        .flatten()
        .filter(|e| {
            let name = e.file_name();
            let name = name.as_encoded_bytes();
            // One that has its name was locked before it had it.
            is_id(name) || (name.strip_prefix(UNFINISHED.as_bytes()).is_some_and(is_id) && is_old(e))
        })
        .filter(|e| lock(&e.path()).is_some_and(|_lock| std::fs::remove_dir_all(e.path()).is_ok()))
        .count()
}

/// Makes a directory that is locked as soon as it has its name; without a lock where there are none.
fn make_locked(run_dir: &Path, name: &str) -> Result<Option<OwnedFd>, rustix::io::Errno> {
    let unfinished = run_dir.join(format!("{UNFINISHED}{name}"));
    rustix::fs::mkdir(&unfinished, Mode::RWXU)?;
    let locked = lock(&unfinished);
    match rustix::fs::rename(&unfinished, run_dir.join(name)) {
        Ok(()) => Ok(locked),
        Err(e) => {
            let _ = rustix::fs::rmdir(&unfinished);
            Err(e)
        }
    }
}

/// The directory, locked; `None` where somebody else has it.
fn lock(dir: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&fd, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(fd)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(m) if m.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    }
}

fn read<'b>(fd: &OwnedFd, into: &'b mut [u8]) -> io::Result<&'b [u8]> {
    loop {
        match rustix::io::read(fd, &mut *into) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(n) => return Ok(&into[..n]),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether a read moves the access time here.
fn reads_show(fd: &OwnedFd) -> bool {
    rustix::fs::fstatvfs(fd).is_ok_and(|s| !s.f_flag.contains(rustix::fs::StatVfsMountFlags::NOATIME))
}

/// Makes a run directory where there is none. Passable, not readable, for others, whatever the umask: hooks may
/// run as another user; the directories in it are private, and their names are not to be guessed.
///
/// # Errors
/// It cannot be made.
pub fn make_run_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o711);
    let made = match builder.create(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            builder.recursive(true).create(path.parent().unwrap_or(path))?;
            builder.recursive(false).create(path)
        }
        other => other,
    };
    match made {
        Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711)),
        // Also by another thread or process meanwhile.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(io::ErrorKind::NotADirectory.into()),
        Err(e) => Err(e),
    }
}

fn chown(dir: impl AsFd, path: impl rustix::path::Arg, c: &Credentials) -> rustix::io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(c.uid), rustix::fs::Gid::from_raw(c.gid));
    rustix::fs::chownat(dir, path, Some(uid), Some(gid), AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
}
