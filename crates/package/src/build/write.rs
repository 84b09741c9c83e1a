// SPDX-License-Identifier: Apache-2.0
//! Writing a package: whole, or not at all.

use super::archive::tar_gz;
use super::error::BuildError;
use super::parcel::Parcel;
use super::sign::Key;
use super::{deb, rpm};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The format of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Fedora, CentOS, RHEL, openSUSE.
    Rpm,
    /// Debian, Ubuntu.
    Deb,
    /// A compressed tree, to be unpacked at a root.
    Tar,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The package.
    pub package: PathBuf,
    /// Its signature, where that lies beside it.
    pub signature: Option<PathBuf>,
}

/// Writes `parcel` into the directory `out`, which is made, under the name that the format wants; with `key`, a name
/// of a key in gpg's key ring, signed: an rpm inside, the others with a file `.asc` beside them. What was there under
/// that name is replaced when all is done.
///
/// # Errors
/// It does not fit the format, cannot be signed, or cannot be written; then `out` is as it was.
pub fn write(parcel: &Parcel, format: Format, out: &Path, key: Option<&str>) -> Result<Written, BuildError> {
    parcel.check()?;
    let key = key.map(Key::new).transpose()?;
    let (name, content) = match format {
        Format::Rpm => rpm::build(parcel, key.as_ref())?,
        Format::Deb => deb::build(parcel)?,
        Format::Tar => (format!("{}-{}.tar.gz", parcel.name, parcel.version), tar_gz(parcel)?),
    };
    let beside = match (&key, format) {
        (None, _) | (_, Format::Rpm) => None,
        (Some(key), Format::Deb | Format::Tar) => Some(key.sign_beside(&content)?),
    };
    fs::create_dir_all(out).map_err(BuildError::file("make", out))?;
    let package = out.join(&name);
    let signature = out.join(format!("{name}.asc"));
    let mut ready = vec![Pending::new(out, &package, &content)?];
    if let Some(text) = &beside {
        ready.push(Pending::new(out, &signature, text)?);
    }
    for file in ready {
        file.publish()?;
    }
    // A signature of a package that was here before would not fit this one.
    if beside.is_none() && signature.is_file() {
        fs::remove_file(&signature).map_err(BuildError::file("remove", &signature))?;
    }
    Ok(Written { package, signature: beside.map(|_| signature) })
}

/// A file that is written whole, and has not its name yet. It goes when it does not get one.
struct Pending<'a> {
    file: tempfile::NamedTempFile,
    place: &'a Path,
}

impl<'a> Pending<'a> {
    fn new(dir: &Path, place: &'a Path, content: &[u8]) -> Result<Self, BuildError> {
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".virt-hooks-package.").tempfile_in(dir)?;
            file.write_all(content)?;
            file.as_file().set_permissions(Permissions::from_mode(0o644))?;
            // A full disk may show here at the latest.
            File::sync_all(file.as_file())?;
            Ok(file)
        };
        Ok(Self { file: write().map_err(BuildError::file("write", place))?, place })
    }

    fn publish(self) -> Result<(), BuildError> {
        self.file.persist(self.place).map(drop).map_err(|e| BuildError::file("write", self.place)(e.error))
    }
}
