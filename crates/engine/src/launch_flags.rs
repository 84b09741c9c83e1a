// SPDX-License-Identifier: Apache-2.0
//! The launch flags file (VDSM contract, launch flags file).

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use virt_hooks_spawn::Credentials;

/// `START_PAUSED` of libvirt's domain-create flags.
const START_PAUSED: u32 = 1;
const FILE: &str = "launchflags";
/// A number takes far less; what is longer is something else.
const LONGEST: u64 = 4096;

/// Why the flags hooks left cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FlagsError {
    /// The file cannot be written, read or removed.
    #[error("{doing} the launch flags file {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Its first line is not a number.
    #[error("launch flags file {}: \"{text}\" is not a decimal number", path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// Its first line.
        text: String,
    },
    /// A bit that the driver does not know.
    #[error("launch flags file {}: bits {unknown:#x} of {flags} are unknown", path.display())]
    UnknownBits {
        /// The file.
        path: PathBuf,
        /// What was read.
        flags: u32,
        /// The bits nobody knows.
        unknown: u32,
    },
    /// The id cannot name a directory.
    #[error("\"{0}\" cannot name a directory for launch flags")]
    Id(String),
}

/// The file through which hooks of a start set libvirt's domain-create flags. It and its directory go
/// with the value, whatever happens (C21).
#[derive(Debug)]
pub struct LaunchFlags {
    dir: PathBuf,
    path: PathBuf,
    own: u32,
    made_dir: bool,
}

impl LaunchFlags {
    /// Removes what a start that was broken off left of a VM; the directory may be VDSM's, and goes only if empty.
    pub fn remove_left(root: &Path, id: &str) {
        let dir = root.join(id);
        let _ = fs::remove_file(dir.join(FILE));
        let _ = fs::remove_dir(dir);
    }

    /// Writes `own` flags to `<root>/<vm id>/launchflags`, for the user that hooks run as.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(root: &Path, vm_id: &str, own: u32, user: Option<&Credentials>) -> Result<Self, FlagsError> {
        if vm_id.is_empty() || vm_id.starts_with('.') || vm_id.contains(['/', '\0']) {
            return Err(FlagsError::Id(vm_id.to_owned()));
        }
        let dir = root.join(vm_id);
        let path = dir.join(FILE);
        let made_dir = !dir.exists();
        let flags = Self { path, dir, own, made_dir };
        flags.create(user).map_err(|source| FlagsError::File {
            doing: "write",
            path: flags.path.clone(),
            source,
        })?;
        Ok(flags)
    }

    fn create(&self, user: Option<&Credentials>) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.dir)?;
        let dir = self.open_dir()?;
        // One left behind by a crash is not followed, if a link, nor trusted.
        self.remove(&dir)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let mut file = File::from(rustix::fs::openat(&dir, FILE, flags, mode)?);
        rustix::fs::fchmod(&file, mode)?;
        if let Some(c) = user {
            let (uid, gid) = (Some(Uid::from_raw(c.uid)), Some(Gid::from_raw(c.gid)));
            rustix::fs::fchown(&dir, uid, gid)?;
            rustix::fs::fchown(&file, uid, gid)?;
        }
        file.write_all(self.own.to_string().as_bytes())
    }

    /// Opened anew each time, because a hook may replace it, and never through a link: the directory above may
    /// belong to the user that hooks run as, and what is done in this one may be done as root.
    fn open_dir(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&self.dir, flags, Mode::empty())
    }

    /// Removes what lies in the place of the file.
    fn remove(&self, dir: &OwnedFd) -> io::Result<()> {
        match rustix::fs::unlinkat(dir, FILE, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(rustix::io::Errno::ISDIR) => fs::remove_dir_all(&self.path),
            Err(e) => Err(e.into()),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds. Never read through a link, nor from a FIFO, which nobody may write to.
    fn content(&self) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(self.open_dir()?, FILE, flags, Mode::empty())?);
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("a hook put something in its place that is not a file"));
        }
        let mut text = String::new();
        if file.take(LONGEST + 1).read_to_string(&mut text)? as u64 > LONGEST {
            return Err(io::Error::other("too long for a number"));
        }
        Ok(text)
    }

    /// The flags to start with: what the hooks left. Where a hook removed the file these are the driver's own; a
    /// hook may clear `START_PAUSED` by writing, not by removing.
    ///
    /// # Errors
    /// Not a number, or bits outside `known`.
    pub fn read(&self, known: u32) -> Result<u32, FlagsError> {
        let text = match self.content() {
            Ok(t) => t,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(self.own),
            Err(source) => return Err(FlagsError::File { doing: "read", path: self.path.clone(), source }),
        };
        let line = text.lines().next().unwrap_or_default();
        // Python's int(): blanks around, a sign, single underscores between digits.
        let digits = line.trim();
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        let well_placed = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
        let flags = digits
            .replace('_', "")
            .parse::<u32>()
            .ok()
            .filter(|_| well_placed && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_'))
            .ok_or_else(|| FlagsError::NotANumber {
                path: self.path.clone(),
                text: line.chars().take(40).flat_map(char::escape_debug).collect(),
            })?;
        match flags & !(known | START_PAUSED) {
            0 => Ok(flags),
            unknown => Err(FlagsError::UnknownBits { path: self.path.clone(), flags, unknown }),
        }
    }
}

impl Drop for LaunchFlags {
    fn drop(&mut self) {
        let _ = self.open_dir().map(|dir| self.remove(&dir));
        if self.made_dir {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}
