// SPDX-License-Identifier: Apache-2.0
//! Why a package could not be made.

use std::io;
use std::path::{Path, PathBuf};
use virt_hooks_contract::TomlError;

/// Why a package could not be laid out or written. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file or directory could not be looked at, read, made or written.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// Which of these.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A directory without a manifest.
    #[error("{} is not a hook package: it has no hook.toml; \"virt-hooks new hook\" makes one", .0.display())]
    NoManifest(PathBuf),
    /// The manifest has a mistake in it.
    #[error(transparent)]
    Manifest(#[from] TomlError),
    /// A file that the manifest names cannot be taken.
    #[error("{}: {what}", file.display())]
    Source {
        /// The file, as the manifest has it.
        file: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A place that a package must not put a file at.
    #[error("target {target}: {what}")]
    Target {
        /// The place.
        target: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Two files for one place.
    #[error("{} is there twice: from {first} and from {second}", target.display())]
    Twice {
        /// The place.
        target: PathBuf,
        /// Where the one comes from.
        first: String,
        /// Where the other comes from.
        second: String,
    },
    /// Something about the package as a whole does not fit the format.
    #[error("{package}: {what}")]
    Unfit {
        /// The package's name.
        package: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH is \"{0}\": it is seconds since 1970, from 0 to 4294967295")]
    Epoch(String),
    /// The package could not be signed.
    #[error("sign with the key {key}: {what}")]
    Sign {
        /// The key, as it was given.
        key: String,
        /// What gpg said, or why it could not be run.
        what: String,
    },
}

impl BuildError {
    /// For `map_err`: which file, and what was to be done with it.
    pub(crate) fn file<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }
}
