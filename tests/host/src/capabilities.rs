// SPDX-License-Identifier: Apache-2.0
//! What libvirt found out about the QEMU binaries, carried from one host to the next.
//!
//! libvirt writes one XML file per binary and checks it against the binary, itself, the kernel and the
//! processor before use, so a file that no longer fits costs a new probe and nothing else.

use std::fs;
use std::io;
use std::path::Path;

/// Copies the XML files of `from` to `to`, where they are missing or differ. A missing `from` is
/// like an empty one.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let path = entry?.path();
        let (Some(name), Some("xml")) = (path.file_name(), path.extension().and_then(|end| end.to_str()))
        else {
            continue;
        };
        let new = fs::read(&path)?;
        let target = to.join(name);
        if fs::read(&target).is_ok_and(|old| old == new) {
            continue;
        }
        // Another test process may be reading or writing the same file.
        let file = tempfile::NamedTempFile::new_in(to)?;
        fs::write(file.path(), new)?;
        file.persist(&target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_files_are_copied_and_replaced_and_others_left() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        copy(&from, &to).unwrap();
        assert!(!to.exists());
        fs::create_dir(&from).unwrap();
        fs::write(from.join("a.xml"), "1").unwrap();
        fs::write(from.join("a.lock"), "").unwrap();
        copy(&from, &to).unwrap();
        fs::write(from.join("a.xml"), "2").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("a.xml")).unwrap(), b"2");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    }
}
