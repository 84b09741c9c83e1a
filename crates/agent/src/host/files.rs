// SPDX-License-Identifier: Apache-2.0
//! The kernel's files about a host.

use std::fs;
use std::path::PathBuf;

/// The root of a host's file tree.
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    /// Those of this host.
    pub(crate) fn of_host() -> Self {
        Self::below("/")
    }

    /// Those below a directory: a recorded host.
    pub(crate) fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file as text without the white space around it; `None` where it cannot be read.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read(self.path(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A file with one whole number.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// The names in a directory, in order; none where it cannot be listed.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The last part of what a symbolic link leads to.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A value in KiB of a file like `/proc/meminfo`.
    pub(crate) fn kibibytes(&self, path: &str, key: &str) -> Option<u64> {
        let text = self.read(path)?;
        // In the files of a NUMA node the lines begin with its number.
        let line = text.lines().find_map(|l| l.split_once(key).map(|(_, rest)| rest))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    }
}
