// SPDX-License-Identifier: Apache-2.0
//! What was installed, as it was installed.

use super::error::ShelfError;
use crate::build::{Item, ItemKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use virt_hooks_contract::hexadecimal;

/// The file beside a package's manifest that holds its record.
pub const RECORD: &str = "files.json";
const FORMAT: u32 = 1;

/// The files and links of a package. Directories and the record itself are not among them.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Record {
    format: u32,
    /// What is at each absolute place.
    pub files: BTreeMap<PathBuf, Kept>,
}

/// What is at a place.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Kept {
    /// A regular file.
    File {
        /// SHA-256 of its content, in hexadecimal.
        sha256: String,
        /// Its permissions, in octal.
        mode: String,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        link: PathBuf,
    },
}

impl Record {
    /// The record of these items.
    pub fn of(items: &[Item]) -> Self {
        let files = items.iter().filter_map(|item| {
            let kept = match &item.kind {
                ItemKind::Directory => return None,
                ItemKind::Link(to) => Kept::Link { link: to.clone() },
                ItemKind::File { content, mode } => Kept::file(content, *mode),
            };
            Some((item.target.clone(), kept))
        });
        Self { format: FORMAT, files: files.collect() }
    }

    /// Reads a record; `path` only names it in errors.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, ShelfError> {
        let wrong = |what: String| ShelfError::Record { path: path.to_owned(), what };
        let record: Self = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        if record.format == FORMAT {
            Ok(record)
        } else {
            Err(wrong(format!("format {} is not known", record.format)))
        }
    }

    /// As it is written, ended by a line feed.
    pub fn text(&self) -> Vec<u8> {
        // Names and digits: nothing that JSON could not hold.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

impl Kept {
    pub(super) fn file(content: &[u8], mode: u32) -> Self {
        Self::File { sha256: hexadecimal(&Sha256::digest(content)), mode: format!("{mode:04o}") }
    }
}
