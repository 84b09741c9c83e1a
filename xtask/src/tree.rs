// SPDX-License-Identifier: Apache-2.0
//! Writing a tree of files below a directory, and nowhere else.

use crate::error::Error;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// A tree that is being written.
pub struct Target {
    /// Given by the caller; nothing outside is written to, whatever links lie below. Empty: the host itself.
    destdir: PathBuf,
    /// The destination without links.
    real: PathBuf,
    base: PathBuf,
    written: usize,
}

impl Target {
    /// A tree below `base` below `destdir`. Both may be missing yet.
    ///
    /// # Errors
    /// `destdir` cannot be made.
    pub fn new(destdir: &Path, base: &Path) -> Result<Self, Error> {
        let place = if destdir.as_os_str().is_empty() { Path::new("/") } else { destdir };
        fs::create_dir_all(place).map_err(Error::file("make", place))?;
        let real = fs::canonicalize(place).map_err(Error::file("look at", place))?;
        Ok(Self { destdir: destdir.to_owned(), real, base: relative(base), written: 0 })
    }

    /// The same tree from another directory of the destination on.
    pub(crate) fn set_base(&mut self, base: &Path) {
        self.base = relative(base);
    }

    /// Makes a directory and those above it, mode 0755; one that is there stays as it is.
    ///
    /// # Errors
    /// It cannot be made, or a link on the way leads out of the destination.
    pub fn dir(&mut self, path: &Path) -> Result<PathBuf, Error> {
        let mut at = self.real.clone();
        for part in self.base.join(relative(path)).components() {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(m) if m.is_symlink() => at = self.inside(&at)?,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&at).map_err(Error::file("make", &at))?;
                    fs::set_permissions(&at, Permissions::from_mode(0o755))
                        .map_err(Error::file("set the mode of", &at))?;
                }
                Err(e) => return Err(Error::file("look at", &at)(e)),
            }
        }
        Ok(at)
    }

    /// Where a link leads, if that is inside.
    fn inside(&self, link: &Path) -> Result<PathBuf, Error> {
        let real = fs::canonicalize(link).map_err(Error::file("follow", link))?;
        if real.starts_with(&self.real) {
            return Ok(real);
        }
        Err(Error::LeadsOut { link: link.to_owned(), destdir: self.destdir.clone() })
    }

    /// Writes a file with this mode. What is at its place goes: a link is replaced, not followed, and a
    /// program that runs keeps the file it was started from.
    ///
    /// # Errors
    /// It cannot be written, or a link on the way leads out of the destination.
    pub fn file(&mut self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let dir = self.dir(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default();
        let (place, mut fresh) = (dir.join(name), std::ffi::OsString::from("."));
        fresh.push(name);
        fresh.push(format!(".new{}", std::process::id()));
        let fresh = dir.join(fresh);
        let write = || {
            let mut file = fs::File::create_new(&fresh)?;
            file.write_all(content)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            drop(file);
            fs::rename(&fresh, &place)
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&fresh);
            Error::file("write", &place)(e)
        })?;
        self.written += 1;
        Ok(())
    }

    /// Makes a link. What is at its place goes.
    ///
    /// # Errors
    /// It cannot be made, or a link on the way leads out of the destination.
    pub fn link(&mut self, path: &Path, leads_to: &Path) -> Result<(), Error> {
        let dir = self.dir(path.parent().unwrap_or(Path::new("")))?;
        let place = dir.join(path.file_name().unwrap_or_default());
        match fs::remove_file(&place) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::file("replace", &place)(e)),
            _ => {}
        }
        std::os::unix::fs::symlink(leads_to, &place).map_err(Error::file("make the link", &place))?;
        self.written += 1;
        Ok(())
    }

    /// Writes a file whose place does not depend on the base.
    ///
    /// # Errors
    /// As [`Target::file`].
    pub fn absolute(&mut self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let base = std::mem::take(&mut self.base);
        let done = self.file(&relative(path), content, mode);
        self.base = base;
        done
    }

    /// What was done, for people.
    pub fn summary(&self) -> String {
        format!("{} files below {}\n", self.written, self.real.join(&self.base).display())
    }
}

/// A path as one below something else: without its root, and without steps up.
fn relative(path: &Path) -> PathBuf {
    path.components().filter(|c| matches!(c, Component::Normal(_))).collect()
}
