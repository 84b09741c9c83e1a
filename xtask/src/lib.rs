// SPDX-License-Identifier: Apache-2.0
//! Everything that is derived, from two sources: the table of hook points and the grammar of the command.
//! Man pages, completions, the reference page, the report's schema, and the tree that is installed.
#![forbid(unsafe_code)]

pub mod book;
pub mod completions;
mod differs;
mod error;
pub mod generated;
pub mod image;
pub mod install;
pub mod licences;
pub mod man;
pub mod packages;
mod roff;
pub mod schema;
mod tree;

pub use error::Error;
pub use tree::Target;

use std::path::{Path, PathBuf};

/// The root of the sources.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
