// SPDX-License-Identifier: Apache-2.0
//! `install`, `remove`, `verify`: packages come, go and are held against what was installed.

use crate::cli::{Format, Install, Locations, Remove, Verify};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::pretty;
use crate::render::{Style, count, paint, printable};
use crate::streams::Streams;
use serde::Serialize;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Manifest, exit};
use virt_hooks_package::build::{Item, Parcel, layout, layout::RustHooks};
use virt_hooks_package::shelf::transaction::{Change, JOURNAL, Transaction, interrupted};
use virt_hooks_package::shelf::{
    Difference, Plan, Root, SetUp, ShelfError, Task, plan_install, plan_remove, unpack, verify as held,
};

impl From<ShelfError> for Failure {
    fn from(e: ShelfError) -> Self {
        match e {
            ShelfError::Unknown { .. } | ShelfError::Root { .. } => Self::usage(e.to_string()),
            _ => Self::unusable(e.to_string()),
        }
    }
}

impl Locations {
    /// The root that packages are installed below.
    pub(crate) fn package_root(&self) -> Result<Root, Failure> {
        Ok(self.root.as_deref().map_or_else(|| Ok(Root::host()), Root::at)?)
    }
}

/// Where the packages of a root are.
fn packages(root: &Root) -> Result<PathBuf, Failure> {
    Ok(root.place(Path::new(layout::PACKAGES))?)
}

/// What is said where an install or remove was interrupted; `None`: none was.
fn cut_off(packages: Option<&Path>) -> Option<String> {
    let packages = packages?;
    // Who may not look is told so by what needs it.
    interrupted(packages).unwrap_or(false).then(|| {
        format!(
            "an install or remove was interrupted ({} is left): what is there may be half of a package; \"virt-hooks verify --recover\" as root undoes it",
            packages.join(JOURNAL).display()
        )
    })
}

/// For verbs that only read: says that an install or remove was interrupted.
pub(crate) fn tell_interrupted(packages: Option<&Path>, streams: &mut Streams<'_>) {
    if let Some(line) = cut_off(packages) {
        streams.warn(&line);
    }
}

/// Keeps other changes of packages out, and undoes first what an interrupted one left; `None` where there are no
/// packages.
pub(crate) fn alone(root: &Root, streams: &mut Streams<'_>) -> Result<Option<Transaction>, Failure> {
    if !packages(root)?.is_dir() {
        return Ok(None);
    }
    begin(root, streams).map(Some)
}

/// Begins a change of packages, and says so where it undid one that was interrupted.
fn begin(root: &Root, streams: &mut Streams<'_>) -> Result<Transaction, Failure> {
    let transaction = Transaction::begin(root)?;
    if transaction.recovered() {
        streams.warn("an install or remove was interrupted before: what it left half done is undone now");
    }
    Ok(transaction)
}

pub(crate) fn install(
    install: &Install,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let root = locations.package_root()?;
    let (manifest, items) = read(install)?;
    let catalogue = locations.host(environ)?.catalogue;
    for wrong in manifest.against(&catalogue) {
        streams.warn(&format!("{}: {wrong}", manifest.name));
    }
    if install.dry_run {
        tell_interrupted(Some(&packages(&root)?), streams);
        let plan = plan_install(&root, &manifest, items)?;
        return show(&plan, "install", streams);
    }
    let transaction = begin(&root, streams)?;
    let plan = plan_install(&root, &manifest, items)?;
    let notes = SetUp::of(&root).carry_out(&transaction, &plan, Task::Install)?;
    for note in plan.notes.iter().chain(&notes) {
        streams.warn(note);
    }
    let said = match &plan.former {
        _ if plan.changes.is_empty() => format!("{} {} is installed as it is", plan.package, plan.version),
        Some(former) if *former != plan.version => {
            format!("{}: {former} became {}", plan.package, plan.version)
        }
        Some(_) => format!("{} {} was put right", plan.package, plan.version),
        None => format!("{} {}: {}", plan.package, plan.version, count(manifest.point.len(), "hook")),
    };
    streams.say(&format!("{}: {said}\n", paint("installed", Style::Good, streams.errors_look)));
    Ok(exit::command::PROCEED)
}

fn read(install: &Install) -> Result<(Manifest, Vec<Item>), Failure> {
    if !install.source.is_dir() {
        return Ok(unpack(&install.source)?);
    }
    let rust = if install.bundled { RustHooks::Bundled } else { RustHooks::Refused };
    let package = layout::Package::open(&install.source)?;
    let mut items = Parcel::of(&package, rust, 0)?.items;
    // The record is made of what is put on this host.
    items.retain(|item| !item.target.ends_with(virt_hooks_package::shelf::RECORD));
    Ok((package.manifest, items))
}

pub(crate) fn remove(
    remove: &Remove,
    locations: &Locations,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let root = locations.package_root()?;
    if remove.dry_run {
        tell_interrupted(Some(&packages(&root)?), streams);
        return show(&plan_remove(&root, &remove.package)?, "remove", streams);
    }
    if interrupted(&packages(&root)?)? {
        begin(&root, streams)?;
    }
    // Asked for before the lock is made: where there is nothing nothing is made.
    plan_remove(&root, &remove.package)?;
    let transaction = Transaction::begin(&root)?;
    let plan = plan_remove(&root, &remove.package)?;
    let notes = SetUp::of(&root).carry_out(&transaction, &plan, Task::Remove)?;
    for note in plan.notes.iter().chain(&notes) {
        streams.warn(note);
    }
    let word = paint("removed", Style::Good, streams.errors_look);
    streams.say(&format!("{word}: {} {}\n", plan.package, plan.version));
    Ok(exit::command::PROCEED)
}

/// What a dry run says: a line for each place.
fn show(plan: &Plan, verb: &str, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let mut out = String::new();
    for change in &plan.changes {
        let word = match change {
            Change::Put { .. } => "put",
            Change::Remove { .. } => "remove",
        };
        out.push_str(&format!("{word} {}\n", printable(&change.target().to_string_lossy())));
    }
    streams.print(out.as_bytes())?;
    for note in &plan.notes {
        streams.warn(note);
    }
    streams.say(&format!(
        "would {verb} {} {}: {}\n",
        plan.package,
        plan.version,
        count(plan.changes.len(), "change")
    ));
    Ok(exit::command::PROCEED)
}

/// A difference, as programs read it.
#[derive(Serialize)]
struct DifferenceRecord<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
}

impl<'a> From<&'a Difference> for DifferenceRecord<'a> {
    fn from(difference: &'a Difference) -> Self {
        let (kind, package, path, what) = match difference {
            Difference::Missing { package, path } => ("missing", Some(package), Some(path), None),
            Difference::Changed { package, path, what } => ("changed", Some(package), Some(path), Some(what)),
            Difference::Foreign { path } => ("foreign", None, Some(path), None),
            Difference::Spoilt { what } => ("spoilt", None, None, Some(what)),
            Difference::Unrecorded { package } => ("unrecorded", Some(package), None, None),
        };
        let path = path.map(|p| p.to_string_lossy().into_owned());
        Self { kind, package: package.map(String::as_str), path, what: what.map(String::as_str) }
    }
}

pub(crate) fn verify(
    verify: &Verify,
    locations: &Locations,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let root = locations.package_root()?;
    if verify.recover {
        begin(&root, streams)?;
    }
    let cut_off = cut_off(Some(&packages(&root)?));
    let differences = held(&root, &verify.packages)?;
    let out = match verify.format {
        Format::Json => pretty(&differences.iter().map(DifferenceRecord::from).collect::<Vec<_>>())?,
        Format::Text => differences.iter().map(|d| format!("{}\n", printable(&d.to_string()))).collect(),
    };
    streams.print(out.as_bytes())?;
    if let Some(line) = cut_off {
        streams.warn(&line);
        return Ok(exit::command::VETO);
    }
    if differences.is_empty() {
        streams.say("everything is as it was installed\n");
        return Ok(exit::command::PROCEED);
    }
    Ok(exit::command::VETO)
}
