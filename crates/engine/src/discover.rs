// SPDX-License-Identifier: Apache-2.0
//! Which hooks run at a point (VDSM contract, discovery), at every firing afresh.

use crate::file_state::FileState;
use crate::outcome::Trouble;
use crate::packages::Described;
use crate::settings::Settings;
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, RawDir};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use virt_hooks_contract::{Failure, ManifestPoint, Point, SkippedRecord};
use virt_hooks_spawn::Credentials;

/// An executable installed at a hook point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The file, which is also the hook's `argv[0]`.
    pub path: PathBuf,
    /// Which layer it lies in, counted from the lowest.
    pub layer: usize,
    /// Whether others than its owner may write to it, or put another in its place.
    pub writable_by_others: bool,
    /// What its package says of it, where it has one.
    pub package: Option<Described>,
}

impl Hook {
    /// Its file name.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Whether its package has its failure stop the operation, also where the point only advises.
    pub fn vetoes(&self) -> bool {
        self.described().and_then(|p| p.failure) == Some(Failure::Veto)
    }

    /// What its package says of it.
    pub fn described(&self) -> Option<&ManifestPoint> {
        self.package.as_ref().and_then(Described::point)
    }
}

/// A file of a point's directory that is not run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

impl From<&Skipped> for SkippedRecord {
    fn from(skipped: &Skipped) -> Self {
        Self { path: skipped.path.to_string_lossy().into_owned(), reason: skipped.reason.to_string() }
    }
}

/// Why a file is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// Its name is that of a copy an editor or a package manager left.
    #[error("its name looks like a backup copy")]
    Backup,
    /// A higher layer has a file of that name.
    #[error("overridden by {}", .0.display())]
    Overridden(PathBuf),
    /// A link to `/dev/null` of that name in a higher layer.
    #[error("masked by {}", .0.display())]
    Masked(PathBuf),
    /// It has no execute permission for who would run it.
    #[error("not executable")]
    NotExecutable,
    /// It is a link to nothing.
    #[error("a link that leads nowhere")]
    Dangling,
    /// Not a regular file; a directory is not worth a word.
    #[error("not a regular file")]
    NotAFile,
    /// Its package does not mean this event.
    #[error("{0}")]
    NotMeant(String),
}

/// The hooks of a point, in the order they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Those that run.
    pub hooks: Vec<Hook>,
    /// Those that do not.
    pub skipped: Vec<Skipped>,
    /// What packages say that cannot be followed, in a line each.
    pub problems: Vec<String>,
}

/// Suffixes of copies that keep the execute bit (E24).
const BACKUPS: &[&str] = &[
    "~",
    ".bak",
    ".orig",
    ".rpmsave",
    ".rpmnew",
    ".rpmorig",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
    ".swp",
];

/// Whether a file of this name looks like a backup copy.
pub fn is_backup(name: &[u8]) -> bool {
    BACKUPS.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// Directories known to be empty. Only emptiness is remembered: what a directory with files in it would
/// give also depends on the files' permissions and on where links lead, which its own times do not show.
#[derive(Default)]
pub(crate) struct EmptyDirectories(RwLock<HashMap<PathBuf, FileState>>);

/// Lists the hooks of `point`.
pub(crate) fn discover(
    settings: &Settings,
    empty: &EmptyDirectories,
    point: &Point,
) -> Result<Chain, Trouble> {
    let user = settings.user_of(point);
    let mut files: Vec<File> = Vec::new();
    for (layer, root) in settings.layers.iter().enumerate() {
        let dir = root.join(&*point.name);
        list(&dir, layer, user, empty, &mut files)
            .map_err(|source| Trouble::ListHooks { path: dir, source })?;
    }
    if files.is_empty() {
        return Ok(Chain::default());
    }
    // By name; of one name the highest layer comes first.
    files.sort_unstable_by(|a, b| a.name().cmp(b.name()).then(b.layer.cmp(&a.layer)));
    let mut chain = Chain::default();
    let mut above: Option<(PathBuf, bool)> = None;
    for file in files {
        let covered =
            above.as_ref().filter(|(path, _)| path.file_name().map(OsStr::as_bytes) == Some(file.name()));
        let reason = match (&file.kind, covered) {
            (Kind::Skip(reason), _) => reason.clone(),
            (_, Some((path, true))) => SkipReason::Masked(path.clone()),
            (_, Some((path, false))) => SkipReason::Overridden(path.clone()),
            (Kind::Mask, None) => {
                above = Some((file.path, true));
                continue;
            }
            (Kind::Run { writable_by_others }, None) => {
                above = Some((file.path.clone(), false));
                chain.hooks.push(Hook {
                    path: file.path,
                    layer: file.layer,
                    writable_by_others: *writable_by_others,
                    package: None,
                });
                continue;
            }
        };
        chain.skipped.push(Skipped { path: file.path, reason });
    }
    Ok(chain)
}

struct File {
    path: PathBuf,
    layer: usize,
    kind: Kind,
}

impl File {
    fn name(&self) -> &[u8] {
        self.path.file_name().map_or(b"", OsStr::as_bytes)
    }
}

enum Kind {
    Run { writable_by_others: bool },
    Mask,
    Skip(SkipReason),
}

fn list(
    dir: &Path,
    layer: usize,
    user: Option<&Credentials>,
    empty: &EmptyDirectories,
    files: &mut Vec<File>,
) -> io::Result<()> {
    let (stamp, mode) = match rustix::fs::stat(dir) {
        Ok(s) => (FileState::of(&s), s.st_mode),
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    if empty.0.read().unwrap_or_else(PoisonError::into_inner).get(dir) == Some(&stamp) {
        return Ok(());
    }
    let fd = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 8192];
    let mut entries = RawDir::new(fd.as_fd(), &mut buffer);
    let mut seen = false;
    // Where the sticky bit is set, only who owns a file can put another in its place.
    let replaceable = mode & 0o022 != 0 && mode & 0o1000 == 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        seen = true;
        if let Some(mut kind) = judge(fd.as_fd(), name, user)? {
            if let Kind::Run { writable_by_others } = &mut kind {
                *writable_by_others |= replaceable;
            }
            files.push(File { path: dir.join(OsStr::from_bytes(name.to_bytes())), layer, kind });
        }
    }
    if !seen && stamp.is_settled() {
        empty.0.write().unwrap_or_else(PoisonError::into_inner).insert(dir.to_owned(), stamp);
    }
    Ok(())
}

/// What a directory entry is to us; `None`: not worth a word.
fn judge(dir: BorrowedFd<'_>, name: &std::ffi::CStr, user: Option<&Credentials>) -> io::Result<Option<Kind>> {
    let stat = match rustix::fs::statat(dir, name, AtFlags::empty()) {
        Ok(s) => s,
        // Removed since it was listed, or a link that leads nowhere.
        Err(rustix::io::Errno::NOENT) => {
            let still = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
            return Ok(still.then_some(Kind::Skip(SkipReason::Dangling)));
        }
        Err(rustix::io::Errno::LOOP) => return Ok(Some(Kind::Skip(SkipReason::Dangling))),
        Err(e) => return Err(e.into()),
    };
    let skip = |reason| Ok(Some(Kind::Skip(reason)));
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Ok(None),
        FileType::CharacterDevice if is_null(stat.st_rdev) => return Ok(Some(Kind::Mask)),
        _ => return skip(SkipReason::NotAFile),
    }
    if is_backup(name.to_bytes()) {
        return skip(SkipReason::Backup);
    }
    let may = user.is_none_or(|user| {
        let bit = if user.uid == stat.st_uid {
            0o100
        } else if user.gid == stat.st_gid || user.groups.contains(&stat.st_gid) {
            0o010
        } else {
            0o001
        };
        stat.st_mode & bit != 0 || user.uid == 0
    });
    if !may || rustix::fs::accessat(dir, name, Access::EXEC_OK, AtFlags::empty()).is_err() {
        return skip(SkipReason::NotExecutable);
    }
    Ok(Some(Kind::Run { writable_by_others: stat.st_mode & 0o022 != 0 }))
}

fn is_null(rdev: rustix::fs::Dev) -> bool {
    rustix::fs::major(rdev) == 1 && rustix::fs::minor(rdev) == 3
}
