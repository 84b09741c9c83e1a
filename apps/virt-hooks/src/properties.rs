// SPDX-License-Identifier: Apache-2.0
//! `properties`: what installed packages let people set.

use crate::cli::{Format, Locations, Properties};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::pretty;
use crate::render::{Style, Table, printable};
use crate::shelf::tell_interrupted;
use crate::streams::Streams;
use serde::Serialize;
use std::sync::Arc;
use virt_hooks_contract::{Manifest, ManifestProperty, Scope, exit};
use virt_hooks_engine::{Engine, Package};
use virt_hooks_package::shelf::{EngineConfig, EngineKey};

/// A property, as programs read it.
#[derive(Serialize)]
pub(crate) struct PropertyRecord {
    name: String,
    scope: Scope,
    package: String,
    pattern: String,
    choices: Vec<String>,
    default: Option<String>,
    example: String,
    secret: bool,
    description: String,
}

impl PropertyRecord {
    pub(crate) fn of(p: &ManifestProperty, package: &Manifest) -> Self {
        Self {
            name: p.name.clone(),
            scope: p.scope,
            package: package.name.clone(),
            pattern: p.value_pattern(),
            choices: p.choices.clone(),
            default: p.default.clone(),
            example: p.example.clone(),
            secret: p.secret,
            description: p.description.clone(),
        }
    }
}

pub(crate) fn run(
    properties: &Properties,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let engine = Engine::new(locations.host(environ)?.settings);
    tell_interrupted(engine.settings().packages_dir.as_deref(), streams);
    let (packages, problems) = engine.packages().all();
    for problem in &problems {
        streams.warn(problem);
    }
    let out = if properties.engine_config {
        engine_config(properties, &packages, streams)?
    } else {
        let mut all: Vec<PropertyRecord> = packages
            .iter()
            .flat_map(|p| p.manifest.property.iter().map(|m| PropertyRecord::of(m, &p.manifest)))
            .collect();
        all.sort_by(|a, b| (a.scope, &a.name).cmp(&(b.scope, &b.name)));
        match properties.format {
            Format::Json => pretty(&all)?,
            Format::Text => {
                let mut table = Table::default();
                if !all.is_empty() {
                    table.row(
                        ["name", "of", "package", "values", "meaning"].map(String::from),
                        Some(Style::Heading),
                    );
                }
                for p in &all {
                    let scope = match p.scope {
                        Scope::Vm => "VM",
                        Scope::Device => "device",
                        Scope::Network => "network",
                    };
                    let values = if p.choices.is_empty() { p.pattern.clone() } else { p.choices.join(", ") };
                    let row =
                        [p.name.clone(), scope.to_owned(), p.package.clone(), values, p.description.clone()];
                    table.row(row.map(|cell| printable(&cell).into_owned()), None);
                }
                table.render(0, streams.output_look)
            }
        }
    };
    if out.is_empty() {
        streams.say("no installed package declares a custom property\n");
    }
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

fn engine_config(
    properties: &Properties,
    packages: &[Arc<Package>],
    streams: &mut Streams<'_>,
) -> Result<String, Failure> {
    let mut current = Vec::new();
    for text in &properties.current {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        // What the tool prints: the key, a colon, the value, and for which version.
        let Some(key) = EngineKey::ALL.into_iter().find(|k| k.name() == key.trim()) else {
            let known: Vec<&str> = EngineKey::ALL.iter().map(|k| k.name()).collect();
            return Err(Failure::usage(format!(
                "--current: \"{}\" is not a key; these are: {}",
                key.escape_debug(),
                known.join(", ")
            )));
        };
        let value = EngineConfig::parse(key, value)
            .map_err(|e| Failure::usage(format!("--current {}: {e}", key.name())))?;
        current.push((key, value));
    }
    let mut out = String::new();
    for key in EngineKey::ALL {
        let mut value = current.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone()).unwrap_or_default();
        for said in value.add(key, packages.iter().map(|p| &p.manifest)) {
            streams.warn(&said);
        }
        if value.is_empty() {
            continue;
        }
        let text = value.to_string().replace('\'', "'\\''");
        let version = properties.cver.as_ref().map(|v| format!(" --cver={v}")).unwrap_or_default();
        out.push_str(&format!("engine-config -s {}='{text}'{version}\n", key.name()));
    }
    Ok(out)
}
