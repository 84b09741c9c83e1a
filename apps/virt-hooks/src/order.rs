// SPDX-License-Identifier: Apache-2.0
//! `order`: the chain of a point as it would run, and why it is so.

use crate::cli::{Format, Locations, Order, custom_properties};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::{directories, pretty};
use crate::points;
use crate::render::{Style, Table, paint, printable};
use crate::shelf::tell_interrupted;
use crate::streams::{Look, Streams};
use serde::Serialize;
use std::fmt::Write;
use virt_hooks_contract::{Point, When, exit};
use virt_hooks_engine::{Chain, Engine, Event, Hook, Vm};

/// A hook of a chain, as programs read it.
#[derive(Serialize)]
struct Record {
    path: String,
    runs: bool,
    package: Option<String>,
    version: Option<String>,
    why: Vec<String>,
}

pub(crate) fn run(
    order: &Order,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    host.check_layers()?;
    tell_interrupted(host.settings.packages_dir.as_deref(), streams);
    let unknown;
    let point = match host.catalogue.get(&order.point) {
        Some(point) => point,
        None if directories(&host.settings.layers)?.contains(&order.point) => {
            unknown = Point::unknown(&order.point);
            &unknown
        }
        None => return Err(points::unknown(&order.point, &host.catalogue)),
    };
    let layers = host.settings.layers.len();
    let engine = Engine::new(host.settings.clone());
    // Without a VM no condition is judged: all hooks are shown.
    let judged = order.vm_name.is_some() || !order.property.is_empty();
    let vm =
        Vm { name: order.vm_name.clone(), properties: custom_properties(&order.property), ..Vm::default() };
    let chain = if judged {
        engine.chain_of(&Event { vm: Some(&vm), ..Event::new(point, "") })?
    } else {
        engine.chain(point)?
    };
    let records = records(&chain, layers);
    let out = match order.format {
        Format::Json => pretty(&records)?,
        Format::Text => text(&order.point, &records, streams.output_look),
    };
    streams.print(out.as_bytes())?;
    for problem in &chain.problems {
        streams.warn(problem);
    }
    Ok(exit::command::PROCEED)
}

fn records(chain: &Chain, layers: usize) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (at, hook) in chain.hooks.iter().enumerate() {
        let manifest = hook.package.as_ref().map(|d| &d.package.manifest);
        records.push(Record {
            path: hook.path.to_string_lossy().into_owned(),
            runs: true,
            package: manifest.map(|m| m.name.clone()),
            version: manifest.map(|m| m.version.clone()),
            why: why(hook, &chain.hooks, at, layers),
        });
    }
    records.extend(chain.skipped.iter().map(|s| Record {
        path: s.path.to_string_lossy().into_owned(),
        runs: false,
        package: None,
        version: None,
        why: vec![s.reason.to_string()],
    }));
    records
}

fn why(hook: &Hook, chain: &[Hook], at: usize, layers: usize) -> Vec<String> {
    let name = |h: &Hook| h.name().to_string_lossy().into_owned();
    let mut why = Vec::new();
    if let Some(described) = &hook.package {
        let m = &described.package.manifest;
        let after: Vec<String> = chain[..at].iter().filter(|o| o.is_one_of(&m.after)).map(name).collect();
        let before: Vec<String> =
            chain[at + 1..].iter().filter(|o| o.is_one_of(&m.before)).map(name).collect();
        if !after.is_empty() {
            why.push(format!("its package wants it after {}", after.join(", ")));
        }
        if !before.is_empty() {
            why.push(format!("its package wants it before {}", before.join(", ")));
        }
        if let Some(when) = &m.when {
            why.push(condition(when));
        }
    }
    let by_name = at == 0 || chain[at - 1].name() <= hook.name();
    if by_name && why.is_empty() {
        why.push("by its name".to_owned());
    } else if !by_name && !why.iter().any(|w| w.starts_with("its package wants it after")) {
        why.push(format!("held back or passed by what wants another order than {}", name(&chain[at - 1])));
    }
    if layers > 1 && hook.layer + 1 == layers {
        why.push("from the administrator's layer".to_owned());
    }
    why
}

/// A condition in words.
pub(crate) fn condition(when: &When) -> String {
    let mut parts = Vec::new();
    if !when.property.is_empty() {
        parts.push(format!("property {} is set", when.property.join(" or ")));
    }
    if let Some(name) = &when.name {
        parts.push(format!("the VM is called {name}"));
    }
    if !when.metadata.is_empty() {
        let elements: Vec<&str> = when.metadata.iter().map(|m| m.element.as_str()).collect();
        parts.push(format!("metadata {} is there", elements.join(" or ")));
    }
    format!("only when {}", parts.join(" and "))
}

fn text(point: &str, records: &[Record], look: Look) -> String {
    let runs = records.iter().filter(|r| r.runs).count();
    let title = format!("{}: {}", printable(point), crate::render::count(runs, "hook"));
    let mut out = format!("{}\n", paint(&title, Style::Heading, look));
    let mut table = Table::default();
    for (n, r) in records.iter().enumerate() {
        let path = std::path::Path::new(&r.path);
        let file = printable(&path.file_name().unwrap_or_default().to_string_lossy()).into_owned();
        let package = match (&r.package, &r.version) {
            (Some(p), Some(v)) => format!("{p} {v}"),
            _ => String::new(),
        };
        let (number, style) =
            if r.runs { ((n + 1).to_string(), None) } else { ("-".to_owned(), Some(Style::Aside)) };
        table.row([number, file, package, printable(&r.why.join("; ")).into_owned()], style);
    }
    let _ = write!(out, "{}", table.render(2, look));
    out
}
