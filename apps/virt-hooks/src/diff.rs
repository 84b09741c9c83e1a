// SPDX-License-Identifier: Apache-2.0
//! `diff`: the hooks of two hosts, by what `list --format json` says of each.

use crate::cli::{Diff, Format, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::pretty;
use crate::render::{Style, paint, printable};
use crate::streams::Streams;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use virt_hooks_contract::exit;
use virt_hooks_engine::Engine;

/// VDSM's shape: point, file, checksum.
type Hooks = BTreeMap<String, BTreeMap<String, Checksum>>;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Checksum {
    checksum: String,
}

/// A difference, as programs read it.
#[derive(Serialize)]
struct Record {
    hook: String,
    /// `this`: only on this host, `other`: only on the other, `both`: two files that differ.
    on: &'static str,
}

pub(crate) fn run(
    diff: &Diff,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let other = read(&diff.other)?;
    let this: Hooks = match &diff.this {
        Some(file) => read(file)?,
        None => {
            let host = locations.host(environ)?;
            host.check_layers()?;
            let all = Engine::new(host.settings).installed()?;
            let sums = |hooks: BTreeMap<String, String>| {
                hooks.into_iter().map(|(file, checksum)| (file, Checksum { checksum })).collect()
            };
            all.into_iter().map(|(point, hooks)| (point, sums(hooks))).collect()
        }
    };
    let records = compare(&this, &other);
    let out = match diff.format {
        Format::Json => pretty(&records)?,
        Format::Text => {
            let mut out = String::new();
            for r in &records {
                let (word, style) = match r.on {
                    "this" => ("only here", Style::Good),
                    "other" => ("only there", Style::Bad),
                    _ => ("differs", Style::Odd),
                };
                out.push_str(&format!(
                    "{}: {}\n",
                    paint(word, style, streams.output_look),
                    printable(&r.hook)
                ));
            }
            out
        }
    };
    streams.print(out.as_bytes())?;
    if records.is_empty() {
        streams.say("both have the same hooks\n");
        return Ok(exit::command::PROCEED);
    }
    Ok(exit::command::VETO)
}

fn read(file: &Path) -> Result<Hooks, Failure> {
    let text = std::fs::read(file).map_err(|e| Failure::unusable(format!("read {}: {e}", file.display())))?;
    serde_json::from_slice(&text).map_err(|e| {
        Failure::unusable(format!(
            "{}: {e}: give what \"virt-hooks list --format json\" said on the other host",
            file.display()
        ))
    })
}

fn compare(this: &Hooks, other: &Hooks) -> Vec<Record> {
    let names = |hooks: &Hooks| -> BTreeSet<(String, String)> {
        hooks.iter().flat_map(|(p, files)| files.keys().map(|f| (p.clone(), f.clone()))).collect()
    };
    let sum =
        |hooks: &Hooks, (point, file): &(String, String)| hooks.get(point).and_then(|f| f.get(file)).cloned();
    let all: BTreeSet<_> = names(this).into_iter().chain(names(other)).collect();
    all.iter()
        .filter_map(|name| {
            let on = match (sum(this, name), sum(other, name)) {
                (Some(_), None) => "this",
                (None, Some(_)) => "other",
                (a, b) if a != b => "both",
                _ => return None,
            };
            Some(Record { hook: format!("{}/{}", name.0, name.1), on })
        })
        .collect()
}
