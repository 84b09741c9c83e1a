// SPDX-License-Identifier: Apache-2.0
//! Facts about the host, below one directory that a test can replace.

use std::io;
use std::path::{Path, PathBuf};

/// The host's files: `/` for a hook, any directory for a test.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a file of the host is: `path` below the root.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Where a file of sysfs is: `path` below `/sys`.
    pub fn sysfs(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.path("sys").join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Text of a file of the host, without the white space around it; none if there is no such file.
    ///
    /// # Errors
    /// Any other reason why it cannot be read, with the path in its text.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Option<String>> {
        let path = self.path(path);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io::Error::new(error.kind(), format!("read {}: {error}", path.display()))),
        }
    }
}
