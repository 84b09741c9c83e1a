// SPDX-License-Identifier: Apache-2.0
//! `info`: what a package says of itself, and what of it is on this host.

use crate::cli::{Format, Info, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::pretty;
use crate::render::{Style, Table, duration, paint, printable};
use crate::shelf::tell_interrupted;
use crate::streams::{Look, Streams};
use serde::Serialize;
use std::fmt::Write;
use virt_hooks_contract::{Manifest, Point, Scope, Support, exit};
use virt_hooks_engine::{Engine, Package, SkipReason};
use virt_hooks_package::shelf::verify;

/// A package, as programs read it.
#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    version: &'a str,
    summary: &'a str,
    description: &'a str,
    licence: &'a str,
    maintainer: Option<&'a str>,
    directory: String,
    hooks: Vec<HookRecord>,
    properties: Vec<crate::properties::PropertyRecord>,
    /// What is not as it was installed, in a line each.
    differences: Vec<String>,
}

#[derive(Serialize)]
struct HookRecord {
    point: String,
    file: String,
    state: String,
}

pub(crate) fn run(
    info: &Info,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    tell_interrupted(host.settings.packages_dir.as_deref(), streams);
    let engine = Engine::new(host.settings);
    let (packages, problems) = engine.packages().all();
    let Some(package) = packages.iter().find(|p| p.name() == info.package) else {
        // A broken manifest is why it is not found.
        let its = format!("/{}/hook.toml", info.package);
        return Err(match problems.into_iter().find(|p| p.contains(&its)) {
            Some(problem) => Failure::unusable(problem),
            None => Failure::usage(format!(
                "no package \"{}\" is installed; \"virt-hooks list\" shows what is",
                info.package.escape_debug()
            )),
        });
    };
    let hooks = hooks(&engine, package)?;
    let differences = verify(&locations.package_root()?, std::slice::from_ref(&info.package))
        .map(|all| all.iter().map(ToString::to_string).collect())
        // A directory of packages of its own has no root to be held against.
        .unwrap_or_default();
    let m = &package.manifest;
    let out = match info.format {
        Format::Json => pretty(&Record {
            name: &m.name,
            version: &m.version,
            summary: &m.summary,
            description: &m.description,
            licence: &m.licence,
            maintainer: m.maintainer.as_deref(),
            directory: package.dir.to_string_lossy().into_owned(),
            hooks,
            properties: m.property.iter().map(|p| crate::properties::PropertyRecord::of(p, m)).collect(),
            differences,
        })?,
        Format::Text => text(package, &hooks, &differences, streams.output_look),
    };
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

fn hooks(engine: &Engine, package: &Package) -> Result<Vec<HookRecord>, Failure> {
    let mut all = Vec::new();
    for p in &package.manifest.point {
        let chain = engine.chain(&Point::unknown(&p.name))?;
        let is_it = |path: &std::path::Path| path.file_name().is_some_and(|n| n == p.file.as_str());
        let state = match (
            chain.hooks.iter().find(|h| is_it(&h.path)),
            chain.skipped.iter().find(|s| is_it(&s.path)),
        ) {
            (Some(hook), Some(s)) if matches!(s.reason, SkipReason::Overridden(_)) => {
                format!("overridden by {}", hook.path.display())
            }
            (Some(_), _) => "runs".to_owned(),
            (None, Some(s)) if matches!(s.reason, SkipReason::Masked(_)) => "disabled".to_owned(),
            (None, Some(s)) => format!("not run: {}", s.reason),
            (None, None) => "not there".to_owned(),
        };
        all.push(HookRecord { point: p.name.clone(), file: p.file.clone(), state });
    }
    Ok(all)
}

fn text(package: &Package, hooks: &[HookRecord], differences: &[String], look: Look) -> String {
    let m = &package.manifest;
    let heading = |text: &str| format!("{}\n", paint(text, Style::Heading, look));
    let mut out = heading(&printable(&format!("{} {}: {}", m.name, m.version, m.summary)));
    for line in m.description.trim().lines() {
        let _ = writeln!(out, "  {}", printable(line));
    }
    let mut table = Table::default();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([name.to_owned(), printable(&value).into_owned()], None);
        }
    };
    row("licence", m.licence.clone());
    row("maintainer", m.maintainer.clone().unwrap_or_default());
    row("web", m.url.clone().unwrap_or_default());
    row("directory", package.dir.display().to_string());
    row("commands", m.commands.join(", "));
    row("through sudo", m.sudo.join(", "));
    row("runs after", m.after.join(", "));
    row("runs before", m.before.join(", "));
    row("excludes", m.conflicts.join(", "));
    row("works on", portability(m));
    row("changes", m.change.clone().unwrap_or_default().trim().replace('\n', " "));
    out.push_str(&table.render(2, look));
    out.push_str(&heading("Hooks"));
    let mut table = Table::default();
    for (hook, point) in hooks.iter().zip(&m.point) {
        let limit = point.timeout.map(|t| format!("at most {}", duration(t))).unwrap_or_default();
        let style = (hook.state != "runs").then_some(Style::Odd);
        table.row([hook.point.clone(), hook.file.clone(), printable(&hook.state).into_owned(), limit], style);
    }
    out.push_str(&table.render(2, look));
    if !m.property.is_empty() {
        out.push_str(&heading("Custom properties"));
        let mut table = Table::default();
        for p in &m.property {
            let scope = match p.scope {
                Scope::Vm => "of the VM",
                Scope::Device => "of a device",
                Scope::Network => "of a network",
            };
            table.row(
                [p.name.clone(), scope.to_owned(), format!("such as {}", p.example), p.description.clone()],
                None,
            );
        }
        out.push_str(&table.render(2, look));
    }
    if !differences.is_empty() {
        out.push_str(&heading("Not as it was installed"));
        for difference in differences {
            let _ = writeln!(out, "  {}", printable(difference));
        }
    }
    out
}

fn portability(m: &Manifest) -> String {
    let p = &m.portability;
    let word = |name: &str, support: Option<Support>| match support {
        Some(Support::Yes) => Some(name.to_owned()),
        Some(Support::Care) => Some(format!("{name} (with care)")),
        Some(Support::No) => Some(format!("not {name}")),
        None => None,
    };
    let all = [word("libvirt", p.libvirt), word("KubeVirt", p.kubevirt), word("VDSM", p.vdsm)];
    let mut text = all.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if let Some(note) = &p.note {
        text.push_str(&format!(": {}", note.trim()));
    }
    text
}
