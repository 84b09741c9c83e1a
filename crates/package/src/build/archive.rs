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
        self.builder.append_data(&mut header, path, content)
    }

    /// Adds the directory "./", which a builder would leave out of a path.
    fn directory(&mut self, path: &str) -> io::Result<()> {
        let mut header = self.header(EntryType::Directory, 0o755);
        if path == "./" {
            header.as_old_mut().name[..2].copy_from_slice(b"./");
            header.set_cksum();
            return self.builder.append(&header, io::empty());
        }
        self.builder.append_data(&mut header, path, io::empty())
    }

    fn link(&mut self, path: &str, to: &Path) -> io::Result<()> {
        let mut header = self.header(EntryType::Symlink, 0o777);
        self.builder.append_link(&mut header, path, to)
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
