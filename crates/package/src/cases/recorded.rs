// SPDX-License-Identifier: Apache-2.0
//! Recorded cases: `cases/<point>/<case>/` with what the hook of another system did with a payload.
//!
//! `case.json` has the environment and the scripted world around the hook, `in.xml` or `in.json` the payload,
//! `expect.json` and `out.xml` or `out.json` what came of it. What needs more of that world than the environment is
//! skipped: `tests/golden/run.sh` runs it in namespaces of its own.

use super::DEADLINE;
use super::case::{Case, Expected, Loaded, Recorded};
use super::compare::Loose;
use super::error::{CasesError, bad};
use super::own::{directories, one_line};
use crate::author::PackageDir;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use virt_hooks_contract::{Catalogue, PayloadKind, Point, env};

#[derive(Debug, Deserialize)]
struct CaseFile {
    #[serde(default)]
    env: BTreeMap<String, Value>,
    #[serde(default)]
    compare: Loose,
    timeout: Option<u64>,
    #[serde(flatten)]
    world: Map<String, Value>,
}

/// Parts of the world around a hook that are not made here.
const WORLD: &[&str] =
    &["files", "commands", "absent", "rpc", "libvirt", "netdevs", "needs", "guestfs", "netinfo", "args"];

#[derive(Debug, Deserialize)]
struct ExpectFile {
    rc: i32,
    #[serde(default)]
    crash: bool,
    #[serde(default)]
    unparsable_out: bool,
    #[serde(default)]
    stdout: String,
    alternatives: Option<usize>,
    fixed: Option<Box<ExpectFile>>,
    #[serde(flatten)]
    effects: Map<String, Value>,
}

/// Effects that are not seen here.
const EFFECTS: &[&str] = &["commands", "files", "rpc", "libvirt", "libvirt_ops", "guestfs"];

pub(super) fn load(package: &PackageDir, catalogue: &Catalogue) -> Result<Vec<Loaded>, CasesError> {
    let root = package.dir.join("cases");
    let differs = differs(&root.join("differs.txt"));
    let mut cases = Vec::new();
    for directory in directories(&root)? {
        for dir in directories(&directory)? {
            if dir.join("case.json").is_file() {
                cases.push(load_one(package, catalogue, &dir, &differs)?);
            }
        }
    }
    Ok(cases)
}

/// Cases where the hook does on purpose what was not recorded, and why.
fn differs(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|l| {
            let (case, reason) = l.split_once("  ").unwrap_or((l, ""));
            (case.to_owned(), reason.trim().to_owned())
        })
        .collect()
}

fn load_one(
    package: &PackageDir,
    catalogue: &Catalogue,
    dir: &Path,
    differs: &BTreeMap<String, String>,
) -> Result<Loaded, CasesError> {
    let last = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let point_name = dir.parent().map(last).unwrap_or_default();
    let name = format!("{point_name}/{}", last(dir));
    let case: CaseFile = read_json(&dir.join("case.json"))?;
    let expect: ExpectFile = read_json(&dir.join("expect.json"))?;
    let manifest = &package.manifest;
    let skipped =
        |reason: String| Ok(Loaded::Skipped { package: manifest.name.clone(), name: name.clone(), reason });
    let Some(hook) = manifest.point.iter().find(|p| p.name == point_name) else {
        return skipped(format!("the package has no hook at {point_name}"));
    };
    let held = |map: &Map<String, Value>, names: &[&str]| -> Vec<String> {
        names.iter().filter(|n| map.get(**n).is_some_and(|v| !v.is_null())).map(|n| (*n).to_owned()).collect()
    };
    let repaired = expect.fixed.as_ref().map(|f| held(&f.effects, EFFECTS)).unwrap_or_default();
    let mut needs = held(&case.world, WORLD);
    needs.extend(held(&expect.effects, EFFECTS));
    needs.extend(repaired);
    needs.sort();
    needs.dedup();
    if !needs.is_empty() {
        return skipped(format!("needs a world of its own: {}", needs.join(", ")));
    }
    if !manifest.sudo.is_empty() || manifest.commands.iter().any(|c| c.contains('/')) {
        return skipped("the package runs commands as root, which are not replaced here".to_owned());
    }
    let point = catalogue.get(&point_name).cloned().unwrap_or_else(|| Point::unknown(&point_name));
    let (payload, extension) = match ["xml", "json"].map(|e| (dir.join(format!("in.{e}")), e)) {
        [(path, e), _] | [_, (path, e)] if path.is_file() => (read(&path)?, Some(e)),
        _ => (Vec::new(), None),
    };
    if point.payload != PayloadKind::None && extension.is_some_and(|e| e != super::own::extension(&point)) {
        return skipped(format!("its payload is not of the kind that {point_name} has"));
    }
    let mut properties: BTreeMap<String, String> = case.env.into_iter().map(|(n, v)| (n, text(v))).collect();
    let vm_id = properties.remove(env::VM_ID);
    let differs = differs.get(&name).cloned();
    let recorded = recorded(dir, expect, extension, "out", &case.compare)?;
    Ok(Loaded::Case(Box::new(Case {
        package: manifest.name.clone(),
        name,
        dir: dir.to_owned(),
        file: hook.file.clone(),
        payload,
        // As recorded: in the environment, whatever they are properties of.
        environment: properties,
        properties: BTreeMap::new(),
        device_properties: BTreeMap::new(),
        vm_id,
        vm_name: None,
        timeout: case.timeout.map_or(DEADLINE, Duration::from_secs),
        commands: None,
        alone: true,
        twice: manifest.idempotent && differs.is_none(),
        expected: Expected::Recorded(Recorded { differs, ..recorded }),
        point,
    })))
}

fn recorded(
    dir: &Path,
    expect: ExpectFile,
    extension: Option<&str>,
    prefix: &str,
    loose: &Loose,
) -> Result<Recorded, CasesError> {
    let mut payloads = Vec::new();
    if let Some(extension) = extension {
        payloads.push(read(&dir.join(format!("{prefix}.{extension}")))?);
        for n in 2..=expect.alternatives.unwrap_or(1) {
            payloads.push(read(&dir.join(format!("{prefix}.alt{n}.{extension}")))?);
        }
    }
    let repaired = match expect.fixed {
        Some(fixed) => Some(Box::new(recorded(dir, *fixed, extension, "out.fixed", loose)?)),
        None => None,
    };
    Ok(Recorded {
        exit: expect.rc,
        crash: expect.crash,
        unreadable: expect.unparsable_out,
        payloads,
        stdout: expect.stdout,
        loose: loose.clone(),
        repaired,
        differs: None,
    })
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CasesError> {
    fs::read(path).map_err(|source| CasesError::Read { path: path.to_owned(), source })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CasesError> {
    serde_json::from_slice(&read(path)?).map_err(|e| bad(path, one_line(&e.to_string())))
}
