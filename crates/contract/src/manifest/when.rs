// SPDX-License-Identifier: Apache-2.0
//! Which events a hook runs for.

use regex_lite::Regex;
use serde::Deserialize;

/// Which events a hook runs for. All that is said must hold; of a list, one is enough.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Custom properties of which one must be set, on the VM or on the device.
    #[serde(default)]
    pub property: Vec<String>,
    /// A regular expression that the whole name of the VM matches.
    pub name: Option<String>,
    /// Elements of the domain's metadata of which one must be there. An event whose payload is not the domain's XML
    /// cannot be judged by it: there the hook runs.
    #[serde(default)]
    pub metadata: Vec<MetadataMatch>,
}

/// An element of the domain's metadata.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MetadataMatch {
    /// Its namespace.
    pub namespace: String,
    /// Its local name.
    pub element: String,
    /// Its text, where that matters; white space around it does not.
    pub text: Option<String>,
}

/// A [`When`] that is ready to judge.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What it was made of.
    pub when: When,
    name: Option<Regex>,
}

impl When {
    /// Makes it ready to judge.
    ///
    /// # Errors
    /// `name` is not a regular expression.
    pub fn compile(&self) -> Result<Condition, String> {
        let name = self.name.as_ref().map(|name| {
            Regex::new(&format!("\\A(?:{name})\\z")).map_err(|e| {
                format!("name is not a regular expression: {}", e.to_string().replace('\n', " "))
            })
        });
        Ok(Condition { when: self.clone(), name: name.transpose()? })
    }
}

impl Condition {
    /// Whether a VM of this name is meant.
    pub fn allows_name(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|pattern| pattern.is_match(name))
    }
}
