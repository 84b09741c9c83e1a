// SPDX-License-Identifier: Apache-2.0
//! `hook.toml`: what a hook package says of itself.

mod property;
mod when;

pub use property::{ManifestProperty, PropertyType, Scope, ValueCheck};
pub use when::{Condition, MetadataMatch, When};

use crate::point::Failure;
use crate::toml_error::TomlError;
use crate::units::deserialize_duration;
use crate::{Catalogue, env};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// The format this program reads.
const FORMAT: u32 = 1;
/// The longest name of a package: with a prefix and a version it is still a file name everywhere.
const LONGEST_NAME: usize = 64;

/// A hook package's description of itself, format 1.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format: 1.
    pub manifest: u32,
    /// The package, and its directory: lower-case letters, digits, `_`, `-`.
    pub name: String,
    /// Its version, such as `1.2.0`.
    pub version: String,
    /// One line: what it does.
    pub summary: String,
    /// What it does, in some sentences.
    pub description: String,
    /// An SPDX expression.
    pub licence: String,
    /// Who looks after it: `Name <address>`.
    pub maintainer: Option<String>,
    /// Where it comes from.
    pub url: Option<String>,
    /// The oldest virt-hooks it works with, such as `0.1`.
    pub engine: Option<String>,
    /// Whether the main package pulls it in.
    #[serde(default)]
    pub required: bool,
    /// Whether running it on its own output changes nothing more.
    #[serde(default = "yes")]
    pub idempotent: bool,
    /// What it changes in the payload, in words or as a piece of XML.
    pub change: Option<String>,
    /// The hook points it is installed at.
    pub point: Vec<ManifestPoint>,
    /// Packages or hooks (`smbios`, `50_smbios`) that run before it, where they are installed.
    #[serde(default)]
    pub after: Vec<String>,
    /// Packages or hooks that run after it, where they are installed.
    #[serde(default)]
    pub before: Vec<String>,
    /// Packages that must not be installed beside it.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// Which events it runs for; all, where nothing is said.
    pub when: Option<When>,
    /// The custom properties it reads.
    #[serde(default)]
    pub property: Vec<ManifestProperty>,
    /// Commands it runs.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Commands it runs through `sudo`.
    #[serde(default)]
    pub sudo: Vec<String>,
    /// Packages of a distribution that it needs.
    #[serde(default)]
    pub packages: DistributionPackages,
    /// What it must be allowed to do.
    #[serde(default)]
    pub privileges: Privileges,
    /// Where it can be used.
    #[serde(default)]
    pub portability: Portability,
    /// Files beside the hooks.
    #[serde(default)]
    pub file: Vec<ManifestFile>,
}

fn yes() -> bool {
    true
}

/// One hook of a package.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ManifestPoint {
    /// The hook point.
    pub name: String,
    /// The file name it is installed under, such as `50_smbios`. Left out, it is made of `order` and the package's
    /// name.
    #[serde(default)]
    pub file: String,
    /// Its place in the chain, 0 to 99, where `file` does not say it.
    pub order: Option<u8>,
    /// The file of the package that is installed; left out, the one named after the point, with any extension.
    pub source: Option<String>,
    /// Its deadline, where not the point's.
    #[serde(default, deserialize_with = "deserialize_duration")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub timeout: Option<Duration>,
    /// `veto`: its failure stops the operation although the point as such only advises.
    pub failure: Option<Failure>,
}

/// Packages of distributions, by the tool that installs them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DistributionPackages {
    /// On Fedora, CentOS, RHEL.
    #[serde(default)]
    pub rpm: Vec<String>,
    /// On Debian, Ubuntu.
    #[serde(default)]
    pub deb: Vec<String>,
}

/// What a hook must be allowed to do.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Privileges {
    /// Whom it must run as; left out, whoever its points run hooks as.
    pub run_as: Option<RunAs>,
    /// Capabilities of the kernel it needs, such as `CAP_NET_ADMIN`.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// Whom a hook must run as.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RunAs {
    /// The agent's user is enough.
    Agent,
    /// Nothing less than root will do.
    Root,
}

/// Where a hook can be used.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Portability {
    /// On plain libvirt.
    pub libvirt: Option<Support>,
    /// In a KubeVirt cluster.
    pub kubevirt: Option<Support>,
    /// Under VDSM.
    pub vdsm: Option<Support>,
    /// What to take care of, or why not.
    pub note: Option<String>,
}

/// Whether a hook can be used somewhere.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Support {
    /// As it is.
    Yes,
    /// With care: `note` says which.
    Care,
    /// Not at all.
    No,
}

/// A file beside the hooks.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// The file in the package's directory.
    pub source: String,
    /// Where it goes, as an absolute path.
    pub target: String,
    /// Its mode, in octal.
    #[serde(default = "plain_file")]
    pub mode: String,
}

fn plain_file() -> String {
    "0644".to_owned()
}

/// The format alone: a newer one may have anything else.
#[derive(Deserialize)]
struct FormatOnly {
    manifest: Option<u32>,
}

impl Manifest {
    /// Reads a manifest; `file` only names it in errors.
    ///
    /// # Errors
    /// Not TOML, an unknown key, a value of the wrong type or without sense, or a format newer than 1.
    pub fn parse(file: &str, text: &str) -> Result<Self, TomlError> {
        if let Ok(FormatOnly { manifest: Some(newer) }) = toml::from_str(text)
            && newer != FORMAT
        {
            let message = format!(
                "manifest format {newer} is newer than this program knows ({FORMAT}): update virt-hooks"
            );
            return Err(TomlError::of_key(file, text, ("manifest", ""), &message));
        }
        let mut manifest: Self = toml::from_str(text).map_err(|e| TomlError::new(file, text, &e))?;
        let wrong = |(key, value): (&str, &str), message: String| {
            Err(TomlError::of_key(file, text, (key, value), &message))
        };
        if let Err(message) = check_name(&manifest.name) {
            return wrong(("name", &manifest.name), message);
        }
        if !is_version(&manifest.version) {
            return wrong(
                ("version", &manifest.version),
                format!(
                    "version \"{}\": a version is digits, letters, \".\", \"+\" and \"~\", such as \"1.2.0\"",
                    manifest.version
                ),
            );
        }
        if let Some(engine) = &manifest.engine
            && is_newer(engine, env!("CARGO_PKG_VERSION"))
        {
            let message = format!(
                "this package needs virt-hooks {engine} or later, and this is {}: update virt-hooks",
                env!("CARGO_PKG_VERSION")
            );
            return wrong(("engine", engine), message);
        }
        if manifest.point.is_empty() {
            return wrong(("point", ""), "a package needs at least one [[point]]".to_owned());
        }
        for point in &mut manifest.point {
            // It becomes part of paths, on hosts and in places to try things in.
            if !crate::is_point_name(&point.name) {
                return wrong(
                    ("name", &point.name),
                    format!(
                        "\"{}\" cannot name a hook point; \"virt-hooks points\" lists those there are",
                        point.name.escape_debug()
                    ),
                );
            }
            if point.file.is_empty() {
                let Some(order) = point.order.filter(|o| *o <= 99) else {
                    return wrong(
                        ("name", &point.name),
                        format!(
                            "point {}: give it an order from 0 to 99, or a file such as \"50_{}\"",
                            point.name, manifest.name
                        ),
                    );
                };
                point.file = format!("{order:02}_{}", manifest.name);
            }
            if !is_file_name(&point.file) {
                return wrong(
                    ("file", &point.file),
                    format!(
                        "file \"{}\" is not the name of a file that runs: no \"/\", no dot in front, no control characters",
                        point.file.escape_debug()
                    ),
                );
            }
        }
        let mut seen = BTreeSet::new();
        for point in &manifest.point {
            if !seen.insert((&point.name, &point.file)) {
                return wrong(
                    ("name", &point.name),
                    format!("point {} is there twice with file {}", point.name, point.file),
                );
            }
        }
        let mut names = BTreeSet::new();
        for property in &manifest.property {
            let key = ("name", property.name.as_str());
            if !env::is_property_name(&property.name) {
                return wrong(
                    key,
                    format!(
                        "property \"{}\": a name is letters, digits, \"_\", \"-\" and \".\"",
                        property.name.escape_debug()
                    ),
                );
            }
            if env::is_protected(property.name.as_bytes()) {
                return wrong(
                    key,
                    format!("property {} would set a protected variable: choose another name", property.name),
                );
            }
            if !names.insert((&property.name, property.scope)) {
                return wrong(key, format!("property {} is there twice", property.name));
            }
            if let Err(message) = property.check_itself() {
                return wrong(key, format!("property {}: {message}", property.name));
            }
        }
        if let Some(when) = &manifest.when
            && let Err(message) = when.compile()
        {
            return wrong(("name", when.name.as_deref().unwrap_or_default()), format!("when: {message}"));
        }
        Ok(manifest)
    }

    /// What in it does not go with the hook points of a host, in a line each: unknown points, and failures that
    /// would be laxer than the point or could come too late.
    pub fn against(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut wrong = Vec::new();
        for point in &self.point {
            let Some(known) = catalogue.get(&point.name) else {
                let meant = catalogue
                    .nearest(&point.name)
                    .map(|m| format!(": did you mean \"{m}\"?"))
                    .unwrap_or_default();
                wrong.push(format!("no hook point \"{}\"{meant}", point.name.escape_debug()));
                continue;
            };
            match point.failure {
                Some(Failure::Advisory) if known.failure == Failure::Veto => wrong.push(format!(
                    "point {}: failure = \"advisory\" is laxer than the point, whose hooks veto: leave it out",
                    point.name
                )),
                Some(Failure::Veto) if known.failure == Failure::Advisory && !point.name.starts_with("before_") => {
                    wrong.push(format!("point {}: failure = \"veto\" comes too late here: leave it out", point.name));
                }
                _ => {}
            }
        }
        wrong
    }

    /// The declared property of this name.
    pub fn property(&self, name: &str) -> Option<&ManifestProperty> {
        self.property.iter().find(|p| p.name == name)
    }

    /// The hook installed at `point` as `file`.
    pub fn hook(&self, point: &str, file: &str) -> Option<&ManifestPoint> {
        self.point.iter().find(|p| p.name == point && p.file == file)
    }
}

/// Whether this can name a package.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let shown = name.escape_debug();
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "the name \"{:.20}...\" is too long: at most {LONGEST_NAME} characters",
            shown.to_string()
        ));
    }
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    if name.is_empty() || !name.bytes().all(good) || !name.as_bytes()[0].is_ascii_alphanumeric() {
        let lower = name.to_ascii_lowercase().replace([' ', '.', '/'], "_");
        let good = lower != name && check_name(&lower).is_ok();
        let meant = if good { format!(": did you mean \"{lower}\"?") } else { String::new() };
        return Err(format!(
            "\"{shown}\" cannot name a package: lower-case letters, digits, \"_\" and \"-\", a letter or digit first{meant}"
        ));
    }
    Ok(())
}

/// Whether this can be the name of a hook's file: one that discovery finds.
fn is_file_name(name: &str) -> bool {
    !name.starts_with('.')
        && !name.contains(['/', '\0'])
        && !name.contains(char::is_control)
        && name.len() <= 255
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'~'))
        && text.len() <= LONGEST_NAME
}

/// Whether version `a` is newer than `b`; their numbers count, one after the other.
fn is_newer(a: &str, b: &str) -> bool {
    let numbers = |v: &str| -> Vec<u64> { v.split('.').map(|n| n.parse().unwrap_or(0)).collect() };
    let (a, b) = (numbers(a), numbers(b));
    let longest = a.len().max(b.len());
    let padded = |v: &[u64]| -> Vec<u64> { (0..longest).map(|i| v.get(i).copied().unwrap_or(0)).collect() };
    padded(&a) > padded(&b)
}

#[cfg(test)]
mod tests;
