// SPDX-License-Identifier: Apache-2.0
//! A new hook point of a host.

use super::template::Values;
use super::{NewError, make_dir, write};
use crate::samples::Sample;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Catalogue, PayloadKind, is_point_name};

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPoint {
    /// Its entry in the directory of this host's points.
    pub entry: PathBuf,
    /// A payload to fire it with, where it has one.
    pub sample: Option<PathBuf>,
}

/// Makes the entry of the hook point `name` in `dir`, a directory of hook points, and a sample payload beside it.
///
/// # Errors
/// A name that cannot be one or is taken, a file that is there, or one that cannot be written.
pub fn point(
    name: &str,
    payload: PayloadKind,
    dir: &Path,
    catalogue: &Catalogue,
) -> Result<NewPoint, NewError> {
    if !is_point_name(name) {
        return Err(NewError::Name(format!(
            "\"{}\" cannot name a hook point: use lower-case letters, digits and \"_\", 64 at most, a letter first",
            name.escape_debug()
        )));
    }
    let before = name.starts_with("before_");
    let operation = name.split_once('_').map_or(name, |(_, operation)| operation).replace('_', " ");
    let mut values = Values::default();
    values.text("name", name);
    values.text("summary", format!("Act {} {operation}", if before { "before" } else { "after" }));
    values.text("when", if before { "Before anything is done" } else { "After all is done" });
    values.text("payload", payload.word());
    values.text("failure", if before { "veto" } else { "advisory" });
    values.text("output", if before && payload != PayloadKind::None { "used" } else { "ignored" });
    values.text("content", if payload == PayloadKind::Xml { "domain XML" } else { "object" });
    values.flag("content", payload != PayloadKind::None);
    let text = values.fill(include_str!("../../templates/point.toml.in"));

    let file = dir.join(format!("{name}.toml"));
    let mut with = catalogue.clone();
    with.add(&file.to_string_lossy(), &text).map_err(|e| NewError::Name(e.message))?;
    let sample = with
        .get(name)
        .and_then(Sample::for_point)
        .map(|sample| (dir.join(format!("{name}.sample.{}", sample.kind.word())), sample.text));
    let files = [Some(&file), sample.as_ref().map(|(path, _)| path)];
    if let Some(there) = files.into_iter().flatten().find(|f| f.symlink_metadata().is_ok()) {
        return Err(NewError::Exists(there.clone()));
    }
    make_dir(dir)?;
    if let Some((path, text)) = &sample {
        write(path, text)?;
    }
    // Last: every command of the host reads it from now on.
    write(&file, &text)?;
    Ok(NewPoint { entry: file, sample: sample.map(|(path, _)| path) })
}
