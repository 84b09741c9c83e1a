// SPDX-License-Identifier: Apache-2.0
//! Makes new hook packages and hook points: files that work as they are, to be changed into what is wanted.

mod hook;
mod point;
mod template;

pub use hook::{Language, hook};
pub use point::{NewPoint, point};

use std::io;
use std::path::{Path, PathBuf};

/// Why nothing new was made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name cannot be one.
    #[error("{0}")]
    Name(String),
    /// A point that does not exist.
    #[error("no hook point \"{name}\"{meant}: \"virt-hooks points\" lists all")]
    UnknownPoint {
        /// The name given.
        name: String,
        /// The one probably meant.
        meant: String,
    },
    /// Something is there already.
    #[error("{} is there already: choose another name, or another place with --dir", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("write {}: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What was made of the name cannot be read back.
    #[error("{0}: choose another name")]
    Unusable(String),
}

fn write(path: &Path, text: &str) -> Result<(), NewError> {
    std::fs::write(path, text).map_err(|source| NewError::Write { path: path.to_owned(), source })
}

fn make_dir(path: &Path) -> Result<(), NewError> {
    std::fs::create_dir_all(path).map_err(|source| NewError::Write { path: path.to_owned(), source })
}
