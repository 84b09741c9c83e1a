// SPDX-License-Identifier: Apache-2.0
//! The root of a host, or of an image.

use super::error::ShelfError;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A directory that absolute places lie below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// This host.
    pub fn host() -> Self {
        Self(PathBuf::from("/"))
    }

    /// An image, or a directory to try things in.
    ///
    /// # Errors
    /// It is no directory.
    pub fn at(dir: &Path) -> Result<Self, ShelfError> {
        let wrong = |source| ShelfError::Root { path: dir.to_owned(), source };
        let real = fs::canonicalize(dir).map_err(wrong)?;
        if !real.is_dir() {
            return Err(wrong(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self(real))
    }

    /// Whether it is this host itself.
    pub fn is_host(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Whether a path that [`Root::place`] may have given is below the root, and no link leads out of it.
    pub(super) fn holds(&self, place: &Path) -> bool {
        let plain = place.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        let below = place.strip_prefix(&self.0).is_ok_and(|target| self.place(target).is_ok());
        plain && place.is_absolute() && below
    }

    /// Where an absolute place lies.
    ///
    /// # Errors
    /// A directory above it is a link that leads out of the root, or cannot be looked at.
    pub fn place(&self, target: &Path) -> Result<PathBuf, ShelfError> {
        let mut place = self.0.clone();
        let names = target.components().filter_map(|c| match c {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        place.extend(names);
        self.check(&place)?;
        Ok(place)
    }

    /// Sees that a place lies below the root, wherever links lead.
    ///
    /// # Errors
    /// A directory above it is a link that leads out of the root, or cannot be looked at.
    pub(super) fn check(&self, place: &Path) -> Result<(), ShelfError> {
        if self.is_host() {
            return Ok(());
        }
        // The first directory above it that is there says where all below it would be made.
        let above = place.ancestors().skip(1).find(|a| a.symlink_metadata().is_ok()).unwrap_or(&self.0);
        let real = fs::canonicalize(above).map_err(ShelfError::file("look at", above))?;
        if real.starts_with(&self.0) {
            return Ok(());
        }
        Err(ShelfError::Escapes { path: place.to_owned(), root: self.0.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn places_stay_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path()).unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        assert_eq!(root.place(Path::new("/usr/share/x")).unwrap(), real.join("usr/share/x"));
        fs::create_dir(dir.path().join("var")).unwrap();
        symlink("var", dir.path().join("inside")).unwrap();
        root.place(Path::new("/inside/x")).unwrap();
        symlink("/etc", dir.path().join("usr")).unwrap();
        let said = root.place(Path::new("/usr/share/x")).unwrap_err().to_string();
        assert!(said.contains("leads out of"), "{said}");
        assert!(Root::at(Path::new("/no/such")).unwrap_err().to_string().starts_with("--root /no/such: "));
    }
}
