// SPDX-License-Identifier: Apache-2.0
//! Cases as authors write them: `tests/<case>/` with `case.toml`, `payload.xml`, `expected.xml`, `bin/`, `calls.txt`.

use super::case::{Case, Expected, Loaded, Own};
use super::error::{CasesError, bad};
use super::{CASE, DEADLINE};
use crate::author::PackageDir;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Catalogue, PayloadKind, Point, TomlError, env, parse_duration};

/// `case.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseFile {
    /// The hook point.
    point: String,
    /// The hook's file name, where the package has several at the point.
    hook: Option<String>,
    /// What the case is about; for readers.
    #[serde(default)]
    #[expect(dead_code, reason = "for readers")]
    about: String,
    /// The expected exit code.
    #[serde(default)]
    exit: i32,
    /// Whether the hook is run at all: `when` or the check of properties may keep it from running.
    #[serde(default = "yes")]
    runs: bool,
    /// A regular expression that is found in its standard error.
    stderr: Option<String>,
    /// How long it may take.
    timeout: Option<String>,
    /// Whether a second run on its own output must change nothing more; left out, what the manifest says.
    idempotent: Option<bool>,
    #[serde(default)]
    properties: BTreeMap<String, Scalar>,
    #[serde(default)]
    device_properties: BTreeMap<String, Scalar>,
    #[serde(default)]
    env: BTreeMap<String, Scalar>,
}

fn yes() -> bool {
    true
}

/// A value as TOML has it; hooks get text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Boolean(bool),
    Whole(i64),
    Number(f64),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Boolean(it) => it.to_string(),
            Self::Whole(n) => n.to_string(),
            Self::Number(n) => n.to_string(),
        }
    }
}

/// The cases below `tests/`, by name.
pub(super) fn load(package: &PackageDir, catalogue: &Catalogue) -> Result<Vec<Loaded>, CasesError> {
    let root = package.dir.join("tests");
    let mut cases = Vec::new();
    for dir in directories(&root)? {
        // Other tests of the author may lie beside.
        if dir.join(CASE).symlink_metadata().is_ok() {
            cases.push(Loaded::Case(Box::new(load_one(package, catalogue, dir)?)));
        }
    }
    Ok(cases)
}

/// The directories in `dir`, by name; none where there is no such directory.
pub(super) fn directories(dir: &Path) -> Result<Vec<PathBuf>, CasesError> {
    let read = |source| CasesError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(read(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(read)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn load_one(package: &PackageDir, catalogue: &Catalogue, dir: PathBuf) -> Result<Case, CasesError> {
    let file = dir.join(CASE);
    let text = read_text(&file)?;
    let said: CaseFile = toml::from_str(&text).map_err(|e| {
        let placed = TomlError::new(CASE, &text, &e);
        bad(&dir, placed.to_string())
    })?;
    let manifest = &package.manifest;
    let mut hooks = manifest
        .point
        .iter()
        .filter(|p| p.name == said.point && said.hook.as_ref().is_none_or(|file| *file == p.file));
    let Some(hook) = hooks.next() else {
        let what = said.hook.as_ref().map(|h| format!(" called {h}")).unwrap_or_default();
        let points: Vec<&str> = manifest.point.iter().map(|p| p.name.as_str()).collect();
        return Err(bad(
            &file,
            format!(
                "{} has no hook{what} at \"{}\": it has some at {}",
                manifest.name,
                said.point.escape_debug(),
                points.join(", ")
            ),
        ));
    };
    if hooks.next().is_some() {
        return Err(bad(
            &file,
            format!("{} has several hooks at {}: say which with hook = \"FILE\"", manifest.name, said.point),
        ));
    }
    let point = catalogue.get(&said.point).cloned().unwrap_or_else(|| Point::unknown(&said.point));
    let stderr = said.stderr.map(|pattern| regex_lite::Regex::new(&pattern)).transpose().map_err(|e| {
        bad(&file, format!("stderr is not a regular expression: {}", one_line(&e.to_string())))
    })?;
    let timeout = match &said.timeout {
        Some(text) => parse_duration(text).map_err(|e| bad(&file, format!("timeout: {e}")))?,
        None => hook.timeout.unwrap_or(point.deadline).min(DEADLINE),
    };
    let names = said.properties.keys().chain(said.device_properties.keys());
    if let Some(name) = names.into_iter().find(|name| !env::is_property_name(name)) {
        return Err(bad(&file, format!("property \"{}\": not a name for a property", name.escape_debug())));
    }
    let payload = read_payload(&dir, &point)?;
    let expected = read_optional(&dir.join(format!("expected.{}", extension(&point))))?;
    let (vm_id, vm_name) = identity(&payload);
    let commands = Some(dir.join("bin")).filter(|bin| bin.is_dir());
    Ok(Case {
        package: manifest.name.clone(),
        name: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        file: hook.file.clone(),
        payload,
        properties: texts(said.properties),
        device_properties: texts(said.device_properties),
        environment: texts(said.env),
        vm_id,
        vm_name,
        timeout,
        commands,
        alone: false,
        twice: said.idempotent.unwrap_or(manifest.idempotent),
        expected: Expected::Own(Own {
            exit: said.runs.then_some(said.exit),
            stderr,
            payload: expected,
            calls: read_optional(&dir.join(super::CALLS))?
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        }),
        point,
        dir,
    })
}

fn texts(map: BTreeMap<String, Scalar>) -> BTreeMap<String, String> {
    map.into_iter().map(|(name, value)| (name, value.text())).collect()
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How files with a payload of a point are called.
pub(super) fn extension(point: &Point) -> &'static str {
    if point.payload == PayloadKind::Json { "json" } else { "xml" }
}

fn read_payload(dir: &Path, point: &Point) -> Result<Vec<u8>, CasesError> {
    let name = format!("payload.{}", extension(point));
    if let Some(bytes) = read_optional(&dir.join(&name))? {
        return Ok(bytes);
    }
    if point.payload == PayloadKind::None || point.may_be_empty || !point.default_payload.is_empty() {
        return Ok(point.default_payload.as_bytes().to_vec());
    }
    Err(bad(dir, format!("{name} is missing: the hook at {} needs a payload", point.name)))
}

fn read_text(path: &Path) -> Result<String, CasesError> {
    fs::read_to_string(path).map_err(|source| CasesError::Read { path: path.to_owned(), source })
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, CasesError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CasesError::Read { path: path.to_owned(), source }),
    }
}

/// UUID and name of a domain.
fn identity(payload: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(document) = virt_hooks_domxml::Document::parse(payload) else { return (None, None) };
    let root = document.root();
    if document.name(root) != "domain" {
        return (None, None);
    }
    let text = |name| Some(document.text(document.child(root, name)?).trim().to_owned());
    (text("uuid"), text("name"))
}
