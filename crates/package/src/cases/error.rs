// SPDX-License-Identifier: Apache-2.0
//! Why cases cannot be run.

use crate::author::PackageError;
use crate::stage::StageError;
use std::io;
use std::path::PathBuf;

/// Why the cases of a package cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// The package cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Its hooks cannot be set up to run.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A file of a case cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of a case has a mistake in it.
    #[error("{}: {message}", path.display())]
    Bad {
        /// The file, or the directory of the case.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// An expectation cannot be written.
    #[error("write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A package without any case.
    #[error("{} has no cases: make {}/tests/<case>/case.toml, or see \"virt-hooks new hook\"", .0.display(), .0.display())]
    None(PathBuf),
}

pub(super) fn bad(path: impl Into<PathBuf>, message: impl Into<String>) -> CasesError {
    CasesError::Bad { path: path.into(), message: message.into() }
}
