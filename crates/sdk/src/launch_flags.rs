// SPDX-License-Identifier: Apache-2.0
//! The flags with which libvirt will start the domain (VDSM contract, launch flags file).

use crate::store::replace_file;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with the launch flags.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchFlagsError {
    /// The file is there and cannot be read.
    #[error("read launch flags {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("write launch flags {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first line is not a number that libvirt could take.
    #[error("launch flags {}: {line:?} is not a decimal number of 32 bits", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// The first line.
        line: String,
    },
    /// Neither the file nor the VM is known.
    #[error(transparent)]
    Property(#[from] crate::PropertyError),
}

pub(crate) fn read(path: &Path) -> Result<u32, LaunchFlagsError> {
    let text = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(LaunchFlagsError::Read { path: path.to_owned(), source }),
    };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or("");
    number(line).ok_or_else(|| LaunchFlagsError::Number { path: path.to_owned(), line: line.to_owned() })
}

/// A number as the reader of the file takes it: blanks around, a sign, grouped digits.
fn number(line: &str) -> Option<u32> {
    let digits = line.trim();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if digits.split('_').any(|group| group.is_empty() || !group.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    digits.replace('_', "").parse().ok()
}

pub(crate) fn write(path: &Path, flags: u32) -> Result<(), LaunchFlagsError> {
    replace_file(path, flags.to_string().as_bytes(), 0o644)
        .map_err(|source| LaunchFlagsError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (line, value) in [("0", 0), (" 5 ", 5), ("+1", 1), ("1_000", 1000), ("4294967295", u32::MAX)] {
            assert_eq!(number(line), Some(value), "{line}");
        }
        for line in ["", "-1", "0x1", "one", "4294967296", "1__0", "+ 1", "++1"] {
            assert_eq!(number(line), None, "{line}");
        }
    }

    #[test]
    fn file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("launchflags");
        assert_eq!(read(&path).unwrap(), 0);
        write(&path, 3).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"3");
        std::fs::write(&path, "4\nrest\n").unwrap();
        assert_eq!(read(&path).unwrap(), 4);
        std::fs::write(&path, "").unwrap();
        assert!(matches!(read(&path), Err(LaunchFlagsError::Number { .. })));
    }
}
