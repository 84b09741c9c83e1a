// SPDX-License-Identifier: Apache-2.0
//! A socket that is seen only once it is served.
//!
//! virt-launcher lists a directory three times a second, dials whatever it finds and gives up for good on one
//! that does not answer in a second. So a socket is made in a sub-directory, which is not listed, and renamed
//! into its place when somebody accepts.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// How long the path of a socket may be, without the NUL at its end (`sun_path`).
const LONGEST: usize = 107;
/// The sub-directory for sockets that are not served yet, and for what must outlive a container.
pub(crate) const HIDDEN: &str = ".virt-hooks";
const NAME: &str = "virt-hooks-";
const SUFFIX: &str = ".sock";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something could not be done with a file or directory.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The path does not fit into a socket's address.
    #[error("socket path {} has {} bytes, {LONGEST} at most: give a shorter one", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// KubeVirt takes no other names.
    #[error("socket path {} does not end in .sock: KubeVirt takes no other", .0.display())]
    Suffix(PathBuf),
    /// A server answers there.
    #[error("{} is in use: another server answers there", .0.display())]
    InUse(PathBuf),
    /// What is there is no socket.
    #[error("{} exists and is no socket: remove it, or give another path", .0.display())]
    NotASocket(PathBuf),
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    move |source| SocketError::File { doing, path: path.to_owned(), source }
}

/// Where a socket is to be.
#[derive(Debug)]
pub struct Staged {
    place: PathBuf,
    staging: PathBuf,
}

/// A socket that is served, under its own name. Removed when this is let go of.
#[derive(Debug)]
pub struct Published {
    place: PathBuf,
    inode: (u64, u64),
}

/// A socket that is listened on, under a name nobody looks for.
#[derive(Debug)]
pub(super) struct Unpublished {
    place: PathBuf,
    staging: PathBuf,
}

impl Staged {
    /// In a directory where each server has a name of its own: virt-launcher tells sidecars apart by the last part
    /// of the path only. What servers before left there is removed.
    ///
    /// # Errors
    /// The directory is missing or not writable, or its path too long.
    pub fn in_directory(dir: &Path) -> Result<Self, SocketError> {
        let random = random().map_err(failed("make a name for a socket in", dir))?;
        let staged = Self::of(dir, &format!("{NAME}{random}{SUFFIX}"))?;
        remove_stale(dir, NAME)?;
        remove_stale(&dir.join(HIDDEN), "")?;
        Ok(staged)
    }

    /// At a place of its own.
    ///
    /// # Errors
    /// The directory is missing or not writable, the path too long or not KubeVirt's form, or something else is
    /// there.
    pub fn at(place: &Path) -> Result<Self, SocketError> {
        let name = place.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.ends_with(SUFFIX) || name.len() == SUFFIX.len() {
            return Err(SocketError::Suffix(place.to_owned()));
        }
        let dir = place.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let staged = Self::of(dir, &name)?;
        remove_stale(&dir.join(HIDDEN), "")?;
        match fs::symlink_metadata(&staged.place) {
            Ok(m) if !m.file_type().is_socket() => Err(SocketError::NotASocket(staged.place)),
            Ok(_) if !is_refused(&staged.place) => Err(SocketError::InUse(staged.place)),
            Ok(_) => Ok(staged),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(staged),
            Err(e) => Err(failed("look at", &staged.place)(e)),
        }
    }

    fn of(dir: &Path, name: &str) -> Result<Self, SocketError> {
        let hidden = dir.join(HIDDEN);
        let random = random().map_err(failed("make a name for a socket in", dir))?;
        // Not longer than a name of ours at its place.
        let staged = Self { place: dir.join(name), staging: hidden.join(format!("{random}{SUFFIX}")) };
        for path in [&staged.place, &staged.staging] {
            if path.as_os_str().len() > LONGEST {
                return Err(SocketError::TooLong(path.clone()));
            }
        }
        match DirBuilder::new().mode(0o700).create(&hidden) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed("make", &hidden))?,
        }
        Ok(staged)
    }

    pub(super) fn listen(self) -> Result<(UnixListener, Unpublished), SocketError> {
        let listener =
            UnixListener::bind(&self.staging).map_err(failed("make a socket at", &self.staging))?;
        Ok((listener, Unpublished { place: self.place, staging: self.staging }))
    }
}

impl Unpublished {
    pub(super) fn publish(self) -> Result<Published, SocketError> {
        let meta = fs::symlink_metadata(&self.staging).map_err(failed("look at", &self.staging))?;
        fs::rename(&self.staging, &self.place).map_err(failed("publish", &self.place))?;
        Ok(Published { place: self.place, inode: (meta.dev(), meta.ino()) })
    }
}

impl Published {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.place
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // Another server may have taken the name over.
        if fs::symlink_metadata(&self.place).is_ok_and(|m| (m.dev(), m.ino()) == self.inode) {
            let _ = fs::remove_file(&self.place);
        }
    }
}

/// Removes sockets of ours that nobody answers at.
fn remove_stale(dir: &Path, prefix: &str) -> Result<(), SocketError> {
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        let entry = entry.map_err(failed("list", dir))?;
        let name = entry.file_name();
        let middle = name.as_bytes().strip_prefix(prefix.as_bytes());
        let Some(middle) = middle.and_then(|n| n.strip_suffix(SUFFIX.as_bytes())) else { continue };
        let ours = middle.len() == 16 && middle.iter().all(u8::is_ascii_hexdigit);
        if ours && entry.file_type().is_ok_and(|t| t.is_socket()) && is_refused(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn is_refused(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

/// 64 random bits in hexadecimal.
fn random() -> io::Result<String> {
    let mut bytes = [0u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
