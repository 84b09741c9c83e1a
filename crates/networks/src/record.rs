// SPDX-License-Identifier: Apache-2.0
//! The record of the networks that were set up, by which they can be taken apart again.

use crate::error::Error;
use crate::known::Known;
use crate::request::{Options, Request, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

const FILE: &str = "networks.json";

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// What is known; nothing where there is no record, or where it did not outlive the boot.
pub(crate) fn read(state_dir: &Path) -> Result<Known, Error> {
    let path = state_dir.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
        Err(source) => return Err(Error::File { doing: "read", path, source }),
    };
    let wrong = |problem: String| Error::Record { path: path.clone(), problem };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
    // Without it what was set up is there as long as the host has not booted.
    if value["boot_id"].as_str().is_some_and(|id| id != boot_id()) {
        return Ok(Known::default());
    }
    let mut problems = Vec::new();
    let request = Request::read(&value["request"], true, &mut problems);
    if !problems.is_empty() {
        return Err(wrong(problems.join("; ")));
    }
    Ok(Known { networks: set(request.networks), bondings: set(request.bondings) })
}

fn set<T>(things: BTreeMap<String, Wanted<T>>) -> BTreeMap<String, T> {
    things
        .into_iter()
        .filter_map(|(name, wanted)| match wanted {
            Wanted::Set(thing) => Some((name, thing)),
            Wanted::Remove(_) => None,
        })
        .collect()
}

/// The record as it was, to be put back.
#[derive(Deserialize, Serialize)]
pub(crate) struct Former(Option<String>);

impl Former {
    /// The record as it is now; there may be none.
    pub(crate) fn read(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self(Some(text))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self(None)),
            Err(source) => Err(Error::File { doing: "read", path, source }),
        }
    }

    pub(crate) fn put_back(&self, state_dir: &Path) -> Result<(), Error> {
        let path = state_dir.join(FILE);
        let back = match &self.0 {
            Some(text) => replace(state_dir, &path, text.as_bytes()),
            None => match fs::remove_file(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            },
        };
        back.map_err(|source| Error::File { doing: "write", path, source })
    }
}

/// Keeps what is known now.
pub(crate) fn write(state_dir: &Path, known: &Known, outlives_boot: bool) -> Result<(), Error> {
    let path = state_dir.join(FILE);
    let request = Request {
        networks: known.networks.iter().map(|(n, v)| (n.clone(), Wanted::Set(v.clone()))).collect(),
        bondings: known.bondings.iter().map(|(n, v)| (n.clone(), Wanted::Set(v.clone()))).collect(),
        options: Options::nothing(),
    };
    let mut value = json!({"request": request.to_value()});
    if !outlives_boot {
        value["boot_id"] = boot_id().into();
    }
    replace(state_dir, &path, format!("{value:#}\n").as_bytes()).map_err(|source| Error::File {
        doing: "write",
        path,
        source,
    })
}

/// Gives a file new content at once.
pub(crate) fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|e| e.error)
}
