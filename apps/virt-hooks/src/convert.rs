// SPDX-License-Identifier: Apache-2.0
//! `convert`: from a VM of oVirt to annotations of a KubeVirt VM.

use crate::cli::{Convert, ConvertCommand, ConvertFormat, ConvertOvirt, Locations, Place};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::pretty;
use crate::render::{Style, Table, paint, printable, wrapped, yaml};
use crate::streams::{Look, Streams};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use virt_hooks_contract::exit;
use virt_hooks_engine::{Package, Packages};
use virt_hooks_package::convert::{Conversion, LARGEST_INPUT, Options, Verdict, convert, read};

pub(crate) fn run(
    verb: &Convert,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let ConvertCommand::Ovirt(ovirt) = &verb.command;
    let host = locations.host_with_warnings(environ, streams)?;
    let (packages, looked_in) = packages(ovirt, host.settings.packages_dir, streams)?;
    let (name, bytes) = input(&ovirt.input, streams)?;
    let machine = read(&name, &bytes).map_err(|e| Failure::unusable(e.to_string()))?;
    let options = Options {
        rename: ovirt.rename.iter().cloned().collect(),
        secrets: host.settings.secret_properties.to_vec(),
    };
    let mut conversion = convert(&machine, &packages, &options);
    if packages.is_empty() {
        let dirs: Vec<String> = looked_in.iter().map(|d| d.display().to_string()).collect();
        conversion.warnings.insert(
            0,
            format!(
                "no hook package in {}: which hooks read the properties is not known; give their directory with --packages",
                dirs.join(", ")
            ),
        );
    }
    let out = match ovirt.format {
        ConvertFormat::Json => pretty(&conversion)?,
        ConvertFormat::Yaml => {
            for warning in &conversion.warnings {
                let word = paint("warning", Style::Odd, streams.errors_look);
                let line = format!("{word}: {}\n", printable(&warning.replace('\n', " ")));
                streams.say(&line);
            }
            patch(&conversion)
        }
        ConvertFormat::Text => report(&conversion, streams.output_look),
    };
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

/// Manifests of the hook packages that are asked, and where they were looked for.
fn packages(
    ovirt: &ConvertOvirt,
    installed: Option<PathBuf>,
    streams: &mut Streams<'_>,
) -> Result<(Vec<Arc<Package>>, Vec<PathBuf>), Failure> {
    if let Some(missing) = ovirt.packages.iter().find(|d| !d.is_dir()) {
        return Err(Failure::usage(format!("packages directory {} does not exist", missing.display())));
    }
    let dirs: Vec<PathBuf> =
        if ovirt.packages.is_empty() { installed.into_iter().collect() } else { ovirt.packages.clone() };
    let mut all: Vec<Arc<Package>> = Vec::new();
    for dir in &dirs {
        let (packages, problems) = Packages::new(Some(dir.clone())).all();
        for problem in problems {
            let word = paint("warning", Style::Odd, streams.errors_look);
            let line = format!("{word}: not asked: {}\n", printable(&problem.replace('\n', " ")));
            streams.say(&line);
        }
        // The first one of a name counts.
        let known: BTreeSet<String> = all.iter().map(|p| p.name().to_owned()).collect();
        all.extend(packages.into_iter().filter(|p| !known.contains(p.name())));
    }
    if let Some(unknown) = ovirt.hooks.iter().find(|name| !all.iter().any(|p| p.name() == *name)) {
        let dirs: Vec<String> = dirs.iter().map(|d| d.display().to_string()).collect();
        return Err(Failure::usage(format!("no hook package \"{unknown}\" in {}", dirs.join(", "))));
    }
    if !ovirt.hooks.is_empty() {
        all.retain(|p| ovirt.hooks.iter().any(|name| name == p.name()));
    }
    Ok((all, dirs))
}

fn input(place: &Place, streams: &mut Streams<'_>) -> Result<(String, Vec<u8>), Failure> {
    // One byte more than is allowed tells that there is more.
    let limit = LARGEST_INPUT as u64 + 1;
    let mut bytes = Vec::new();
    let (name, done) = match place {
        Place::Standard => {
            ("standard input".to_owned(), streams.input.by_ref().take(limit).read_to_end(&mut bytes))
        }
        Place::File(path) => (
            path.display().to_string(),
            File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
        ),
    };
    done.map_err(|e| Failure::unusable(format!("read {name}: {e}")))?;
    Ok((name, bytes))
}

/// A strategic or merge patch of a VM: either adds annotations to those that are there.
fn patch(conversion: &Conversion) -> String {
    yaml(&json!({"spec": {"template": {"metadata": {"annotations": conversion.annotations}}}}))
}

fn report(conversion: &Conversion, look: Look) -> String {
    let mut out = String::new();
    let vm = conversion.vm.as_deref().unwrap_or("without a name");
    heading(&mut out, &format!("VM {} ({})", printable(vm), conversion.source.words()), look);
    if conversion.properties.is_empty() {
        out.push_str("  no custom property: nothing to convert\n");
    }
    let mut table = Table::default();
    for property in &conversion.properties {
        let shown: String = property.value.chars().take(60).collect();
        let dots = if shown.len() < property.value.len() { "..." } else { "" };
        let read_by = if property.packages.is_empty() {
            "read by no package here".to_owned()
        } else {
            format!("read by {}", property.packages.join(", "))
        };
        let value = format!("{}{dots}", shown.escape_debug());
        let style = property.annotation.is_none().then_some(Style::Bad);
        table.row([printable(&property.label()).into_owned(), value, read_by], style);
    }
    out.push_str(&table.render(2, look));
    if !conversion.hooks.is_empty() {
        heading(&mut out, "\nHooks", look);
        for hook in &conversion.hooks {
            let style = match hook.verdict {
                Verdict::Portable => Style::Good,
                Verdict::PortableWithCare | Verdict::Unknown => Style::Odd,
                Verdict::NoCounterpart => Style::Bad,
            };
            let _ = writeln!(out, "  {}: {}", hook.package, paint(hook.verdict.words(), style, look));
            for line in wrapped(&hook.why, look.columns.unwrap_or(100).saturating_sub(4).max(40)) {
                let _ = writeln!(out, "    {}", printable(&line));
            }
        }
    }
    if !conversion.install.is_empty() {
        heading(&mut out, "\nTo have in the cluster", look);
        let hooks: Vec<String> = conversion.install.iter().map(|name| format!("--hook {name}")).collect();
        let _ = writeln!(
            out,
            "  virt-hooks-kubevirt manifests --image IMAGE {} | kubectl apply -f -",
            hooks.join(" ")
        );
    }
    if !conversion.annotations.is_empty() {
        heading(&mut out, "\nAnnotations of the VM", look);
        for line in patch(conversion).lines() {
            let _ = writeln!(out, "  {}", printable(line));
        }
    }
    if !conversion.warnings.is_empty() {
        heading(&mut out, "\nTo look at", look);
        for warning in &conversion.warnings {
            let _ = writeln!(out, "  {}", printable(&warning.replace('\n', " ")));
        }
    }
    out
}

fn heading(out: &mut String, text: &str, look: Look) {
    let text = match text.strip_prefix('\n') {
        Some(text) => {
            out.push('\n');
            text
        }
        None => text,
    };
    let _ = writeln!(out, "{}", paint(text, Style::Heading, look));
}
