// SPDX-License-Identifier: Apache-2.0
//! Keeps the last run of each VM, in memory and in a file each.

use super::Last;
use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How many bytes are kept in memory.
const MEMORY: usize = 8 << 20;
/// How many files are kept.
const FILES: usize = 64;

/// The last run of each VM.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Option<PathBuf>,
    /// The latest at the end.
    memory: Mutex<VecDeque<(String, Last)>>,
}

impl Store {
    /// A store with files in `dir`, or in memory only.
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, memory: Mutex::default() }
    }

    /// The last run of a VM.
    ///
    /// # Errors
    /// There is a file, which cannot be read: whether hooks ran before is not known.
    pub(crate) fn get(&self, uid: &str) -> io::Result<Option<Last>> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, last)) = memory.iter().find(|(u, _)| u == uid) {
            return Ok(Some(last.clone()));
        }
        drop(memory);
        let Some(path) = self.file(uid) else { return Ok(None) };
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| named(e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(named(e)),
        }
    }

    /// Keeps the last run of a VM.
    ///
    /// # Errors
    /// The file cannot be written; it is in memory all the same.
    pub(crate) fn put(&self, uid: &str, last: Last) -> io::Result<()> {
        let written = match self.file(uid) {
            Some(path) => self.write(&path, &last),
            None => Ok(()),
        };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.retain(|(u, _)| u != uid);
        memory.push_back((uid.to_owned(), last));
        let size =
            |m: &VecDeque<(String, Last)>| m.iter().map(|(_, l)| l.given.len() + l.left.len()).sum::<usize>();
        while memory.len() > 1 && size(&memory) > MEMORY {
            memory.pop_front();
        }
        written
    }

    /// Nothing was done to a VM.
    pub(crate) fn forget(&self, uid: &str) -> io::Result<()> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).retain(|(u, _)| u != uid);
        match self.file(uid).map(fs::remove_file) {
            Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn file(&self, uid: &str) -> Option<PathBuf> {
        let plain =
            !uid.is_empty() && uid.len() <= 64 && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        self.dir.as_ref().filter(|_| plain).map(|dir| dir.join(format!("{uid}.json")))
    }

    fn write(&self, path: &Path, last: &Last) -> io::Result<()> {
        let Some(dir) = path.parent() else { return Ok(()) };
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        write_whole(path, &serde_json::to_vec(last)?)?;
        remove_oldest(dir)
    }
}

/// Writes a file so that a crash leaves the old one or the new one. It is its owner's only: it may hold secrets.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    fs::rename(new, path)
}

/// A pod has one VM; a directory that outlives pods must not grow without end.
fn remove_oldest(dir: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Another call may have removed it by now.
        if let Ok(time) = entry.metadata().and_then(|m| m.modified()) {
            files.push((time, entry.path()));
        }
    }
    files.sort_unstable();
    for (_, path) in files.iter().take(files.len().saturating_sub(FILES)) {
        let _ = fs::remove_file(path);
    }
    Ok(())
}
