// SPDX-License-Identifier: Apache-2.0
//! `list`: the hooks that are installed.

use crate::cli::{Format, List, Locations, Names};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::order;
use crate::points;
use crate::render::{Style, Table, paint, printable};
use crate::shelf::tell_interrupted;
use crate::streams::{Look, Streams};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use virt_hooks_contract::{Catalogue, Point, exit};
use virt_hooks_engine::{Engine, Hook, SkipReason, Trouble};

/// VDSM's record of an installed hook.
#[derive(Serialize)]
struct Installed {
    checksum: String,
}

pub(crate) fn run(
    list: &List,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    host.check_layers()?;
    tell_interrupted(host.settings.packages_dir.as_deref(), streams);
    let directories = directories(&host.settings.layers)?;
    let catalogue = host.catalogue;
    if let Some(name) = &list.point
        && catalogue.get(name).is_none()
        && !directories.contains(name)
    {
        return Err(points::unknown(name, &catalogue));
    }
    let engine = Engine::new(host.settings);
    if let Some(kind) = list.names {
        streams.print(names(kind, &engine, &directories)?.as_bytes())?;
        return Ok(exit::command::PROCEED);
    }
    let wanted = |name: &str| list.point.as_deref().is_none_or(|point| point == name);
    let out = match list.format {
        Format::Json => {
            let installed: BTreeMap<String, BTreeMap<String, Installed>> = engine
                .installed()?
                .into_iter()
                .filter(|(point, _)| wanted(point))
                .map(|(point, hooks)| {
                    let hooks = hooks.into_iter().map(|(name, checksum)| (name, Installed { checksum }));
                    (point, hooks.collect())
                })
                .collect();
            pretty(&installed)?
        }
        Format::Text => {
            let mut out = String::new();
            for name in directories.iter().filter(|name| wanted(name)) {
                out.push_str(&section(&engine, &catalogue, name, streams.output_look)?);
            }
            if out.is_empty() {
                let layers = &engine.settings().layers;
                let layers: Vec<_> = layers.iter().map(|l| l.to_string_lossy()).collect();
                let at = list.point.as_ref().map(|p| format!(" at {p}")).unwrap_or_default();
                streams.say(&format!("no hooks{at} in {}\n", printable(&layers.join(", "))));
            }
            out
        }
    };
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

/// The sub-directories of all layers: hook points, and whatever else there is.
pub(crate) fn directories(layers: &[std::path::PathBuf]) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for layer in layers {
        let entries = match std::fs::read_dir(layer) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Trouble::ListHooks { path: layer.clone(), source }.into()),
        };
        let found = entries.flatten().filter(|e| e.path().is_dir());
        names.extend(found.filter_map(|e| e.file_name().into_string().ok()));
    }
    Ok(names)
}

/// One directory: what runs and what does not, by name. Empty where there is nothing.
fn section(engine: &Engine, catalogue: &Catalogue, name: &str, look: Look) -> Result<String, Failure> {
    let known = catalogue.get(name);
    let chain = match known {
        Some(point) => engine.chain(point)?,
        None => engine.chain(&Point::unknown(name))?,
    };
    let mut rows: Vec<(&Path, String, String)> =
        chain.hooks.iter().map(|h| (&*h.path, package(h), when(h))).collect();
    let reason = |r: &SkipReason| format!("not run: {}", printable(&r.to_string()));
    rows.extend(chain.skipped.iter().map(|s| (&*s.path, String::new(), reason(&s.reason))));
    if rows.is_empty() {
        return Ok(String::new());
    }
    // In the order of the chain, and what does not run after what runs that its name comes after.
    let runs = chain.hooks.len();
    for skipped in runs..rows.len() {
        let name = rows[skipped].0.file_name();
        let at = rows[..skipped].iter().rposition(|row| row.0.file_name() <= name).map_or(0, |at| at + 1);
        rows[at..=skipped].rotate_right(1);
    }
    let mut table = Table::default();
    for (path, package, note) in rows {
        let file = printable(&path.file_name().unwrap_or_default().to_string_lossy()).into_owned();
        let directory = printable(&path.parent().unwrap_or(path).to_string_lossy()).into_owned();
        let style = note.starts_with("not run").then_some(Style::Aside);
        table.row([file, directory, package, note], style);
    }
    let mut out = String::new();
    let _ = write!(out, "{}", paint(&printable(name), Style::Heading, look));
    if known.is_none() {
        let meant = catalogue.nearest(name).map(|n| format!(": did you mean \"{n}\"?")).unwrap_or_default();
        let _ = write!(out, "  {}", paint(&format!("not a hook point{meant}"), Style::Odd, look));
    }
    out.push('\n');
    out.push_str(&table.render(2, look));
    Ok(out)
}

/// Names, one a line, each once.
fn names(kind: Names, engine: &Engine, directories: &BTreeSet<String>) -> Result<String, Failure> {
    let mut names: BTreeSet<String> = engine.packages().all().0.iter().map(|p| p.name().to_owned()).collect();
    match kind {
        Names::Packages => {}
        Names::Hooks => {
            for directory in directories {
                let chain = engine.chain(&Point::unknown(directory))?;
                let paths = chain.hooks.iter().map(|h| &h.path).chain(chain.skipped.iter().map(|s| &s.path));
                for file in paths.filter_map(|p| p.file_name()?.to_str()) {
                    names.insert(file.to_owned());
                    names.insert(format!("{directory}/{file}"));
                }
            }
        }
    }
    Ok(names.into_iter().map(|name| format!("{}\n", printable(&name))).collect())
}

/// The package of a hook, with its version.
fn package(hook: &Hook) -> String {
    let manifest = hook.package.as_ref().map(|d| &d.package.manifest);
    manifest.map(|m| printable(&format!("{} {}", m.name, m.version)).into_owned()).unwrap_or_default()
}

/// The condition its package has it run on.
fn when(hook: &Hook) -> String {
    let when = hook.package.as_ref().and_then(|d| d.package.manifest.when.as_ref());
    when.map(|w| printable(&order::condition(w)).into_owned()).unwrap_or_default()
}

/// JSON for programs, ended by a line feed.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let mut out = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::unusable(format!("write the answer: {e}")))?;
    out.push('\n');
    Ok(out)
}
