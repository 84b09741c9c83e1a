// SPDX-License-Identifier: Apache-2.0
//! Where a result goes: a file is there as a whole or stays as it was.

use crate::cli::Place;
use crate::failure::Failure;
use crate::streams::Streams;
use rustix::fs::Access;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A place that was found good for a result.
#[derive(Debug)]
pub struct Destination {
    what: &'static str,
    shown: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    Standard,
    /// A file that is, or is going to be, in a directory that can be written to.
    File(PathBuf),
    /// A pipe, a terminal, `/dev/null`: something that must not be replaced.
    Direct,
}

impl Destination {
    /// Sees, before anything is done, whether the result can go there. `what` names it in errors.
    ///
    /// # Errors
    /// It is a directory, or its directory is missing or cannot be written to.
    pub fn prepare(what: &'static str, place: &Place) -> Result<Self, Failure> {
        let Place::File(path) = place else {
            return Ok(Self { what, shown: PathBuf::new(), to: To::Standard });
        };
        let refuse = |e: &dyn std::fmt::Display| {
            Failure::unusable(format!("write the {what} to {}: {e}", path.display()))
        };
        let to = match fs::metadata(path) {
            Ok(m) if m.is_dir() => return Err(refuse(&"it is a directory")),
            // A link stays a link.
            Ok(m) if m.is_file() => To::File(fs::canonicalize(path).map_err(|e| refuse(&e))?),
            Ok(_) => To::Direct,
            Err(e) if e.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_ok() => To::Direct,
            Err(e) if e.kind() == ErrorKind::NotFound => To::File(path.clone()),
            Err(e) => return Err(refuse(&e)),
        };
        if let To::File(file) = &to {
            rustix::fs::access(directory(file), Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
                refuse(&format!("directory {}: {}", directory(file).display(), io::Error::from(e)))
            })?;
        }
        Ok(Self { what, shown: path.clone(), to })
    }

    /// Whether it is standard output.
    pub fn is_standard(&self) -> bool {
        matches!(self.to, To::Standard)
    }

    /// Writes the result.
    ///
    /// # Errors
    /// It cannot be written; a file that was there is as it was.
    pub fn write(&self, bytes: &[u8], streams: &mut Streams<'_>) -> Result<(), Failure> {
        let written = match &self.to {
            To::Standard => return streams.print(bytes),
            To::File(path) => replace(path, bytes),
            To::Direct => fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&self.shown)
                .and_then(|mut f| f.write_all(bytes)),
        };
        written.map_err(|e| {
            Failure::unusable(format!("write the {} to {}: {e}", self.what, self.shown.display()))
        })
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let before = fs::metadata(path).ok();
    // The umask narrows it for a new file; for one that is replaced the mode is set below, so it must not be
    // wider than that for a moment either.
    let mode = before.as_ref().map_or(0o666, |m| m.mode() & 0o600);
    let mut file = tempfile::Builder::new()
        .prefix(".virt-hooks-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory(path))?;
    file.write_all(bytes)?;
    if let Some(m) = before {
        // Only root can give files away; where it cannot be done the file is the caller's, as any new one.
        let _ = std::os::unix::fs::fchown(file.as_file(), Some(m.uid()), Some(m.gid()));
        file.as_file().set_permissions(Permissions::from_mode(m.mode() & 0o7777))?;
    }
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
