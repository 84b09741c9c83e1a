// SPDX-License-Identifier: Apache-2.0
//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read, made or written.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// Which of these.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A directory below the destination is a link that leads out of it.
    #[error("{} is a link that leads out of {}: nothing is installed through it", link.display(), destdir.display())]
    LeadsOut {
        /// The link.
        link: PathBuf,
        /// The destination.
        destdir: PathBuf,
    },
    /// The prefix is not an absolute path.
    #[error("the prefix {} is not an absolute path without \"..\"", .0.display())]
    Prefix(PathBuf),
    /// The command has not been built.
    #[error("no executable virt-hooks in {}: build it first, or use \"make install\"", .0.display())]
    NotBuilt(PathBuf),
    /// Generated files do not fit their sources.
    #[error("generated files are out of date, run \"cargo xtask generated --write\" and commit:\n{0}")]
    OutOfDate(String),
    /// A hook's description of itself has a mistake in it.
    #[error(transparent)]
    Manifest(#[from] virt_hooks_contract::TomlError),
    /// The mode of a file is not an octal number.
    #[error("the mode \"{0}\" is not an octal number")]
    Mode(String),
    /// A schema could not be written as JSON.
    #[error("write a schema: {0}")]
    Schema(#[from] serde_json::Error),
}

impl Error {
    /// For `map_err`: which file, and what was to be done with it.
    pub(crate) fn file<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }
}
