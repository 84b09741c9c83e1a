// SPDX-License-Identifier: Apache-2.0
//! The custom properties a hook package declares, and which values they may have.

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// How large a compiled pattern may be, in bytes: patterns come from authors of hooks, values from owners of VMs.
const PATTERN_SIZE: usize = 1 << 20;
/// How much of a value is shown.
const SHOWN: usize = 80;

/// What a custom property belongs to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The VM: oVirt's `UserDefinedVMProperties`.
    Vm,
    /// A device: oVirt's `CustomDeviceProperties`.
    Device,
    /// A network of the host: oVirt's `UserDefinedNetworkCustomProperties`.
    Network,
}

/// A custom property. One of `pattern`, `type` and `choices` says which values it may have.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ManifestProperty {
    /// Its name.
    pub name: String,
    /// What it belongs to.
    pub scope: Scope,
    /// A regular expression that a whole value matches.
    pub pattern: Option<String>,
    /// What kind of value it has.
    #[serde(rename = "type")]
    pub value_type: Option<PropertyType>,
    /// All the values it may have.
    #[serde(default)]
    pub choices: Vec<String>,
    /// What hooks find where it is not set.
    pub default: Option<String>,
    /// A value that is allowed.
    pub example: String,
    /// What it says, in one line.
    pub description: String,
    /// Whether its value is a secret.
    #[serde(default)]
    pub secret: bool,
}

/// A kind of value.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PropertyType {
    /// Any text.
    Text,
    /// What VDSM takes for a truth value: true, false, yes, no, 1, 0 in any letter case.
    Boolean,
    /// A whole number, with a sign or without.
    Integer,
    /// A whole number that is not negative.
    Natural,
    /// A UUID.
    Uuid,
    /// A MAC address, pairs of digits with colons.
    Mac,
}

impl PropertyType {
    /// The pattern of all its values, which oVirt's engine understands too.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Text => "(?s:.*)",
            Self::Boolean => "(?i:true|false|yes|no|y|n|1|0)",
            Self::Integer => "[+-]?[0-9]+",
            Self::Natural => "[0-9]+",
            Self::Uuid => "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
            Self::Mac => "[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}",
        }
    }
}

/// Checks values of one property.
#[derive(Clone, Debug)]
pub struct ValueCheck(Regex);

impl ValueCheck {
    /// Whether a value is allowed. A value that is not UTF-8 never is.
    pub fn allows(&self, value: &[u8]) -> bool {
        std::str::from_utf8(value).is_ok_and(|v| self.0.is_match(v))
    }
}

impl ManifestProperty {
    /// The pattern of its values: its own, or that of its type or its choices. What oVirt's `engine-config` takes.
    pub fn value_pattern(&self) -> String {
        match (&self.pattern, self.value_type) {
            (Some(pattern), _) => pattern.clone(),
            (None, Some(value_type)) => value_type.pattern().to_owned(),
            (None, None) if self.choices.is_empty() => PropertyType::Text.pattern().to_owned(),
            (None, None) => {
                let choices: Vec<String> = self.choices.iter().map(|c| regex_lite::escape(c)).collect();
                format!("({})", choices.join("|"))
            }
        }
    }

    /// What its values are checked with.
    ///
    /// # Errors
    /// The pattern is not a regular expression, or a huge one.
    pub fn check(&self) -> Result<ValueCheck, String> {
        let pattern = self.value_pattern();
        RegexBuilder::new(&format!("\\A(?:{pattern})\\z"))
            .size_limit(PATTERN_SIZE)
            .build()
            .map(ValueCheck)
            .map_err(|e| {
                format!("the pattern is not a regular expression: {}", e.to_string().replace('\n', " "))
            })
    }

    /// What is wrong with a value, in one line; `None` where it is allowed. The value of a secret is not shown.
    ///
    /// # Errors
    /// As [`ManifestProperty::check`].
    pub fn objection(&self, check: &ValueCheck, value: &[u8]) -> Option<String> {
        if check.allows(value) {
            return None;
        }
        let shown = if self.secret {
            "its value".to_owned()
        } else {
            let text = String::from_utf8_lossy(value);
            let cut = text.floor_char_boundary(SHOWN.min(text.len()));
            let dots = if cut < text.len() { "..." } else { "" };
            format!("\"{}{dots}\"", text[..cut].escape_debug())
        };
        let expected = if self.choices.is_empty() {
            match (&self.pattern, self.value_type) {
                (None, Some(t)) => format!("is not of type {t:?}").to_lowercase(),
                _ => format!("does not match {}", self.value_pattern()),
            }
        } else {
            format!("is none of {}", self.choices.join(", "))
        };
        Some(format!("property {}: {shown} {expected}; an example is \"{}\"", self.name, self.example))
    }

    /// Whether what it says of itself holds together.
    pub(super) fn check_itself(&self) -> Result<(), String> {
        let ways = usize::from(self.pattern.is_some())
            + usize::from(self.value_type.is_some())
            + usize::from(!self.choices.is_empty());
        if ways > 1 {
            return Err("give one of pattern, type and choices".to_owned());
        }
        let check = self.check()?;
        if !check.allows(self.example.as_bytes()) {
            return Err(format!(
                "its example \"{}\" is not a value it may have",
                self.example.escape_debug()
            ));
        }
        match &self.default {
            Some(default) if !check.allows(default.as_bytes()) => {
                Err(format!("its default \"{}\" is not a value it may have", default.escape_debug()))
            }
            _ => Ok(()),
        }
    }
}
