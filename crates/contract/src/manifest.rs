// SPDX-License-Identifier: Apache-2.0
//! `hook.toml`: what a hook package says of itself.

use crate::toml_error::TomlError;
use crate::units::deserialize_duration;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A hook package's description of itself, format 1.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format: 1.
    pub manifest: u32,
    /// The package, and its directory: lower-case letters, digits, `_`.
    pub name: String,
    /// One line: what it does.
    pub summary: String,
    /// What it does, in some sentences.
    pub description: String,
    /// An SPDX expression.
    pub licence: String,
    /// Whether the main package pulls it in.
    #[serde(default)]
    pub required: bool,
    /// Whether running it on its own output changes nothing more.
    #[serde(default = "yes")]
    pub idempotent: bool,
    /// The hook points it is installed at.
    pub point: Vec<ManifestPoint>,
    /// The custom properties it reads.
    #[serde(default)]
    pub property: Vec<ManifestProperty>,
    /// Commands it runs.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Commands it runs through `sudo`.
    #[serde(default)]
    pub sudo: Vec<String>,
    /// Files beside the hooks.
    #[serde(default)]
    pub file: Vec<ManifestFile>,
}

fn yes() -> bool {
    true
}

/// One hook of a package.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ManifestPoint {
    /// The hook point; the hook's source is `<point>.rs`.
    pub name: String,
    /// The file name it is installed under, such as `50_smbios`: VDSM's, so that either overrides the other.
    pub file: String,
    /// Its deadline, where not the point's.
    #[serde(default, deserialize_with = "deserialize_duration")]
    pub timeout: Option<Duration>,
}

/// What a custom property belongs to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The VM: oVirt's `UserDefinedVMProperties`.
    Vm,
    /// A device: oVirt's `CustomDeviceProperties`.
    Device,
    /// A network of the host: oVirt's `UserDefinedNetworkCustomProperties`.
    Network,
}

/// A custom property.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ManifestProperty {
    /// Its name.
    pub name: String,
    /// What it belongs to.
    pub scope: Scope,
    /// A regular expression that its values match.
    pub pattern: String,
    /// A value that does.
    pub example: String,
    /// What it says, in one line.
    pub description: String,
    /// Whether its value is a secret.
    #[serde(default)]
    pub secret: bool,
}

/// A file beside the hooks.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
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

impl Manifest {
    /// Reads a manifest; `file` only names it in errors.
    ///
    /// # Errors
    /// Not TOML, an unknown key, a value of the wrong type, or a format newer than 1.
    pub fn parse(file: &str, text: &str) -> Result<Self, TomlError> {
        let manifest: Self = toml::from_str(text).map_err(|e| TomlError::new(file, text, &e))?;
        if manifest.manifest != 1 {
            let message =
                format!("manifest format {} is newer than this program knows: 1", manifest.manifest);
            return Err(TomlError::of_key(file, text, ("manifest", ""), &message));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "manifest = 1\nname = \"smbios\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"Apache-2.0\"\n\
        [[point]]\nname = \"before_vm_start\"\nfile = \"50_smbios\"\n";

    #[test]
    fn a_small_one_is_enough() {
        let m = Manifest::parse("hook.toml", GOOD).unwrap();
        assert!(m.idempotent && !m.required && m.property.is_empty());
    }

    #[test]
    fn mistakes_are_placed() {
        let error = |text: &str| Manifest::parse("hook.toml", text).unwrap_err().to_string();
        assert!(
            error(&GOOD.replace("summary", "sumary")).starts_with("hook.toml:3:1: unknown key \"sumary\"")
        );
        assert!(error(&GOOD.replace("manifest = 1", "manifest = 2")).contains("newer than this program"));
    }
}
