// SPDX-License-Identifier: Apache-2.0
//! Everything that is derived: from the table of hook points, the grammar of the commands, the types of what people write,
//! and the bundled hooks. Man pages, completions, chapters of the book, schemas, and the tree that is installed.
#![forbid(unsafe_code)]

pub mod book;
mod bundled;
pub mod completions;
mod contract;
mod differs;
mod error;
pub mod generated;
pub mod image;
pub mod install;
pub mod licences;
pub mod man;
pub mod notices;
pub mod packages;
mod reference;
mod roff;
pub mod schema;
mod sheet;
mod tree;

pub use error::Error;
pub use tree::Target;

use std::path::{Path, PathBuf};

/// The root of the sources.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
