// SPDX-License-Identifier: Apache-2.0
//! Where a payload is, and how a file is replaced without ever being half written.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A payload file, or the bytes that stand for it in a test.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    File(PathBuf),
    Memory(Rc<RefCell<Vec<u8>>>),
}

impl Store {
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(path) => fs::read(path),
            Self::Memory(bytes) => Ok(bytes.borrow().clone()),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(path) => replace_file(path, bytes, 0o600),
            Self::Memory(kept) => {
                *kept.borrow_mut() = bytes.to_vec();
                Ok(())
            }
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory(_) => "payload of the test".to_owned(),
        }
    }
}

/// Gives the file new content by renaming a complete new file over it, so that whoever reads it
/// sees the old or the new content. Mode and owner of the old file are kept, `mode` is for a file
/// that is new. Where no file can be made beside it (a directory that is not writable, an owner
/// that cannot be given), the content is written in place.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let old = fs::metadata(path).ok();
    match write_beside(path, bytes, mode, old.as_ref()) {
        Ok(beside) => fs::rename(&beside, path).inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        }),
        // Written short is no reason to spoil the old content too.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
        Err(_) => write_in_place(path, bytes),
    }
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32, old: Option<&fs::Metadata>) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside_name = std::ffi::OsString::from(".");
    beside_name.push(name);
    beside_name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(beside_name);
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let file = match create() {
        // Only a process with our id that died half way can have left it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&beside)?;
            create()?
        }
        other => other?,
    };
    fill(file, &beside, bytes, mode, old).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    Ok(beside)
}

fn fill(mut file: File, path: &Path, bytes: &[u8], mode: u32, old: Option<&fs::Metadata>) -> io::Result<()> {
    file.write_all(bytes)?;
    let new = file.metadata()?;
    if let Some(old) = old.filter(|old| (old.uid(), old.gid()) != (new.uid(), new.gid())) {
        chown(path, Some(old.uid()), Some(old.gid()))?;
    }
    let mode = old.map_or(mode, |old| old.mode() & 0o777);
    if mode != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Not truncated first: the content is never empty, whatever happens.
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_keeps_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("payload");
        replace_file(&path, b"one", 0o640).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        let first = fs::metadata(&path).unwrap().ino();
        replace_file(&path, b"three", 0o600).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o777, fs::read(&path).unwrap()), (0o640, b"three".to_vec()));
        assert_ne!(metadata.ino(), first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn in_place_shortens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("payload");
        fs::write(&path, "longer than before").unwrap();
        write_in_place(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(replace_file(&dir.path().join("no/payload"), b"x", 0o600).is_err());
    }
}
