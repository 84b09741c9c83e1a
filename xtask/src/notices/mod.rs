// SPDX-License-Identifier: Apache-2.0
//! What licences ask to go with executables: whose code is in them, on which terms, and the texts of these terms.
//!
//! Made when executables are installed or packed, from the sources that cargo built them of: nothing is fetched.

mod linked;
mod page;

pub use linked::{Linked, Program, linked};
pub use page::{Crate, page};

use std::io;
use std::path::{Path, PathBuf};

/// The name of the file, beside `LICENSE`.
pub const FILE: &str = "THIRD-PARTY";

/// The file that goes with these executables.
///
/// # Errors
/// Cargo or a source is not here, or something cannot be passed on.
pub fn of(programs: &[&Path]) -> Result<String, NoticesError> {
    let programs = programs.iter().map(|p| Program::at(p)).collect::<Result<Vec<_>, _>>()?;
    page(&programs, &linked(&programs)?, &crate::licences::allowed()?)
}

/// Why there are no notices.
#[derive(Debug, thiserror::Error)]
pub enum NoticesError {
    /// A tool of Rust's could not be run.
    #[error("run {command}: {source}")]
    Run {
        /// Its command line.
        command: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A tool of Rust's failed.
    #[error("{command}: {said}; \"cargo fetch --locked\" gets sources that are missing")]
    Failed {
        /// Its command line.
        command: String,
        /// The end of what it said.
        said: String,
    },
    /// A tool of Rust's said something else than it does.
    #[error("{command} says something that cannot be read: {what}")]
    Unreadable {
        /// Its command line.
        command: String,
        /// What was not understood.
        what: String,
    },
    /// A crate is linked of which nothing is known.
    #[error("{0} is linked, but \"cargo metadata\" does not know it")]
    Unknown(String),
    /// A crate does not say under which licence it is, or under none that is allowed.
    #[error("{name} is under {licence:?}, which deny.toml does not allow: it cannot be passed on")]
    NotAllowed {
        /// Name and version of the crate.
        name: String,
        /// What it says.
        licence: String,
    },
    /// A crate has no licence file, and no other crate has its licence.
    #[error("{name} has no licence file, and no other crate is under {licence}: its text is missing")]
    NoText {
        /// Name and version of the crate.
        name: String,
        /// Its licence.
        licence: String,
    },
    /// The list of licences cannot be read.
    #[error("deny.toml has no list licenses.allow: {0}")]
    NoList(String),
    /// A licence file could not be read.
    #[error("read {}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}
