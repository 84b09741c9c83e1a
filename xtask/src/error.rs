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
    /// An executable has not been built.
    #[error("no executable {name} in {}: build it first, or use \"make install\"", dir.display())]
    NotBuilt {
        /// Its name.
        name: &'static str,
        /// Where it was looked for first.
        dir: PathBuf,
    },
    /// Generated files do not fit their sources.
    #[error("generated files are out of date, run \"cargo xtask generated --write\" and commit:\n{0}")]
    OutOfDate(String),
    /// A line in a package's list of the cases in which it means to differ.
    #[error("{}:{line}: {what}", list.display())]
    Differs {
        /// The list.
        list: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A hook package could not be laid out or written.
    #[error(transparent)]
    Package(#[from] virt_hooks_package::build::BuildError),
    /// There are no notices of third parties.
    #[error(transparent)]
    Notices(#[from] crate::notices::NoticesError),
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
