// SPDX-License-Identifier: Apache-2.0
//! Files of a package's directory: nothing outside of it gets into a package, by `..` or by a link.

use super::error::BuildError;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// The largest tree of cases: what is larger was put there by mistake.
const MOST_FILES: usize = 10_000;

/// A package's directory without links in its path.
pub(super) struct SourceDir(PathBuf);

/// A file below a directory of cases.
pub(super) struct Found {
    /// The path below the package's directory.
    pub relative: PathBuf,
    /// The file.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Whether its owner may execute it.
    pub executable: bool,
}

impl SourceDir {
    pub(super) fn open(dir: &Path) -> Result<Self, BuildError> {
        fs::canonicalize(dir).map(Self).map_err(BuildError::file("look at", dir))
    }

    /// The regular file that the manifest calls `name`.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, BuildError> {
        let wrong = |what: &str| BuildError::Source { file: PathBuf::from(name), what: what.to_owned() };
        let path = Path::new(name);
        if name.is_empty() || !path.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(wrong("a source is a path below the package's directory, without \"..\""));
        }
        let whole = self.0.join(path);
        let real = fs::canonicalize(&whole).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => wrong(&format!("is not in {}", self.0.display())),
            _ => BuildError::file("look at", &whole)(e),
        })?;
        if !real.starts_with(&self.0) {
            return Err(wrong(&format!(
                "leads out of the package, to {}: put the file itself there",
                real.display()
            )));
        }
        if !real.is_file() {
            return Err(wrong("is not a regular file"));
        }
        Ok(real)
    }

    /// Whether there is such an entry, whatever it is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.join(name).symlink_metadata().is_ok()
    }

    /// Everything below the directory `name`, directories before what is in them, sorted; links are refused.
    pub(super) fn tree(&self, name: &str) -> Result<Vec<Found>, BuildError> {
        let mut found = Vec::new();
        self.walk(Path::new(name), &mut found)?;
        Ok(found)
    }

    fn walk(&self, relative: &Path, found: &mut Vec<Found>) -> Result<(), BuildError> {
        let path = self.0.join(relative);
        let wrong = |what: &str| BuildError::Source { file: relative.to_owned(), what: what.to_owned() };
        let metadata = fs::symlink_metadata(&path).map_err(BuildError::file("look at", &path))?;
        if relative.to_str().is_none_or(|p| p.contains(char::is_control)) {
            return Err(wrong("a file name is UTF-8 without control characters"));
        }
        if found.len() >= MOST_FILES {
            return Err(wrong(&format!("there are more than {MOST_FILES} files: move what is no case away")));
        }
        if !metadata.is_dir() && !metadata.is_file() {
            return Err(wrong("is neither a file nor a directory: put the file itself there"));
        }
        found.push(Found {
            relative: relative.to_owned(),
            path: path.clone(),
            is_dir: metadata.is_dir(),
            executable: metadata.permissions().mode() & 0o100 != 0,
        });
        if metadata.is_dir() {
            for entry in list(&path)? {
                let name = entry.file_name().unwrap_or_default();
                // Left by a Python that ran here.
                if name != "__pycache__" {
                    self.walk(&relative.join(name), found)?;
                }
            }
        }
        Ok(())
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut entries = fs::read_dir(dir)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(BuildError::file("list", dir))?;
    entries.sort();
    Ok(entries)
}
