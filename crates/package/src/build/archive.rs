// SPDX-License-Identifier: Apache-2.0
//! Tar archives and gzip, the same bytes for the same content.

use super::error::BuildError;
use super::parcel::{Item, ItemKind, Parcel};
use flate2::{Compression, GzBuilder};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// Compresses, with neither a name nor a time in it: the same bytes for the same content.
///
/// # Errors
/// None that is known: it writes to memory.
pub fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    // The byte that names the system is fixed too.
    let mut gzip = GzBuilder::new().mtime(0).operating_system(3).write(Vec::new(), Compression::best());
    gzip.write_all(content)?;
    gzip.finish()
}

/// A tar archive that is being written.
pub(super) struct Tar {
    builder: Builder<Vec<u8>>,
    time: u32,
}

impl Tar {
    pub(super) fn new(time: u32) -> Self {
        Self { builder: Builder::new(Vec::new()), time }
    }

    /// Adds a file with a path as it stands in the archive.
    pub(super) fn file(&mut self, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.append(header, path, content)
    }

    fn directory(&mut self, path: &str) -> io::Result<()> {
        self.append(self.header(EntryType::Directory, 0o755), path, &[])
    }

    fn link(&mut self, path: &str, to: &Path) -> io::Result<()> {
        let mut header = self.header(EntryType::Symlink, 0o777);
        header.set_link_name(to)?;
        self.append(header, path, &[])
    }

    /// Not by the builder's own means: they take the "./" away that Debian's tools begin every name with.
    fn append(&mut self, mut header: Header, path: &str, content: &[u8]) -> io::Result<()> {
        let place = &mut header.as_old_mut().name;
        let length = path.len().min(place.len());
        place[..length].copy_from_slice(&path.as_bytes()[..length]);
        if length < path.len() {
            // GNU's way: the whole name is the content of an entry of its own in front.
            let mut long = self.header(EntryType::GNULongName, 0o644);
            let name = [path.as_bytes(), b"\0"].concat();
            long.set_size(name.len() as u64);
            self.append(long, "././@LongLink", &name)?;
        }
        header.set_cksum();
        self.builder.append(&header, content)
    }

    fn header(&self, kind: EntryType, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        // Names that fit are always written.
        let _ = header.set_username("root").and_then(|()| header.set_groupname("root"));
        header.set_mtime(self.time.into());
        header.set_size(0);
        header
    }

    /// The directories above all items, and the items, below `./`.
    pub(super) fn tree(&mut self, items: &[Item]) -> io::Result<()> {
        self.directory("./")?;
        let mut made = BTreeSet::new();
        for item in items {
            let mut above: Vec<&Path> =
                item.target.ancestors().skip(1).filter(|a| a.parent().is_some()).collect();
            above.reverse();
            if item.kind == ItemKind::Directory {
                above.push(&item.target);
            }
            for dir in above {
                if made.insert(dir.to_owned()) {
                    self.directory(&format!(".{}/", dir.display()))?;
                }
            }
            let path = format!(".{}", item.place());
            match &item.kind {
                ItemKind::Directory => {}
                ItemKind::Link(to) => self.link(&path, to)?,
                ItemKind::File { content, mode } => self.file(&path, content, *mode)?,
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        self.builder.into_inner()
    }
}

/// The tree as a compressed archive: to be unpacked at the root of a host.
pub(super) fn tar_gz(parcel: &Parcel) -> Result<Vec<u8>, BuildError> {
    let make = || {
        let mut tar = Tar::new(parcel.time);
        tar.tree(&parcel.items)?;
        gzip(&tar.finish()?)
    };
    make().map_err(BuildError::file("archive the files of", Path::new(&parcel.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn names_begin_with_a_dot_however_long_they_are() {
        let long = format!("/usr/share/{}/x", "directory/".repeat(20).trim_end_matches('/'));
        let item = |target: &str| Item {
            target: target.into(),
            kind: ItemKind::File { content: b"content".to_vec(), mode: 0o640 },
            role: crate::build::layout::Role::File,
        };
        let mut tar = Tar::new(7);
        tar.tree(&[item("/etc/x"), item(&long)]).unwrap();
        let bytes = tar.finish().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            if name.ends_with("/x") {
                let mut content = String::new();
                entry.read_to_string(&mut content).unwrap();
                let header = entry.header();
                assert_eq!(
                    (content.as_str(), header.mode().unwrap(), header.uid().unwrap()),
                    ("content", 0o640, 0)
                );
            }
            names.push(name);
        }
        assert_eq!(names[..4], ["./", "./etc/", "./etc/x", "./usr/"]);
        assert_eq!(names.last().unwrap(), &format!(".{long}"));
        assert_eq!(names.len(), 3 + 2 + 20 + 1);
    }
}
