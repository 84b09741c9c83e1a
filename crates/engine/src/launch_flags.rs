// SPDX-License-Identifier: Apache-2.0
//! The launch flags file (VDSM contract, launch flags file).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use virt_hooks_spawn::Credentials;

/// `START_PAUSED` of libvirt's domain-create flags.
const START_PAUSED: u32 = 1;

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
    /// Writes `own` flags to `<root>/<vm id>/launchflags`, for the user that hooks run as.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(root: &Path, vm_id: &str, own: u32, user: Option<&Credentials>) -> Result<Self, FlagsError> {
        if vm_id.is_empty() || vm_id.starts_with('.') || vm_id.contains(['/', '\0']) {
            return Err(FlagsError::Id(vm_id.to_owned()));
        }
        let dir = root.join(vm_id);
        let path = dir.join("launchflags");
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
        // One left behind by a crash is not followed, if a link, nor trusted.
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&self.path)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        if let Some(c) = user {
            chown(&self.dir, Some(c.uid), Some(c.gid))?;
            std::os::unix::fs::fchown(&file, Some(c.uid), Some(c.gid))?;
        }
        file.write_all(self.own.to_string().as_bytes())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The flags to start with: what the hooks left. Where a hook removed the file these are the driver's own; a
    /// hook may clear `START_PAUSED` by writing, not by removing.
    ///
    /// # Errors
    /// Not a number, or bits outside `known`.
    pub fn read(&self, known: u32) -> Result<u32, FlagsError> {
        let text = match fs::read_to_string(&self.path) {
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
        let _ = fs::remove_file(&self.path);
        if self.made_dir {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}
