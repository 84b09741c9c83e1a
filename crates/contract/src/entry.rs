// SPDX-License-Identifier: Apache-2.0
//! The written form of a hook point: one `[[point]]` table.
//!
//! The build script reads `points.toml` with these types and so does a host that reads
//! `/etc/virt-hooks/points.d/*.toml`: one format, one parser.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A file of hook points.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) point: Vec<Entry>,
}

/// One `[[point]]` table. Only `name` and `summary` must be written; the rest follows the name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) when: String,
    #[serde(default)]
    pub(crate) subject: Subject,
    #[serde(default)]
    pub(crate) payload: Payload,
    #[serde(default)]
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) empty: bool,
    #[serde(default)]
    pub(crate) default: String,
    #[serde(default)]
    pub(crate) same_uuid: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) output: Option<Output>,
    #[serde(default)]
    pub(crate) user: User,
    pub(crate) properties: Option<Properties>,
    #[serde(default = "two_minutes", with = "deadline")]
    pub(crate) deadline: std::time::Duration,
    #[serde(default)]
    pub(crate) since: String,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// What follows from the name where it is not written. A host adds a point because its own program fires it: at
/// a `before_` point that program has the hooks' result, and obeys their veto.
impl Entry {
    pub(crate) fn failure(&self) -> Failure {
        self.failure.unwrap_or(if self.is_before() { Failure::Veto } else { Failure::Advisory })
    }

    pub(crate) fn output(&self) -> Output {
        self.output.unwrap_or(if self.is_before() { Output::Used } else { Output::Ignored })
    }

    pub(crate) fn properties(&self) -> Properties {
        self.properties.unwrap_or(match self.subject {
            Subject::Vm => Properties::Vm,
            Subject::Device => Properties::Device,
            Subject::Host => Properties::None,
        })
    }

    fn is_before(&self) -> bool {
        self.name.starts_with("before_")
    }
}

fn two_minutes() -> std::time::Duration {
    std::time::Duration::from_secs(120)
}

mod deadline {
    use serde::{Deserialize, Deserializer, de::Error};
    use std::time::Duration;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d)?;
        match humantime::parse_duration(&text) {
            Ok(d) if d.is_zero() => Err(D::Error::custom(format_args!("\"{text}\" is no time at all"))),
            Ok(d) => Ok(d),
            Err(e) => Err(D::Error::custom(format_args!("\"{text}\" is not a duration like \"30s\": {e}"))),
        }
    }
}

macro_rules! words {
    ($name:ident: $($variant:ident),+) => {
        #[derive(Deserialize, Clone, Copy, Debug, Default)]
        #[serde(rename_all = "lowercase")]
        pub(crate) enum $name { #[default] $($variant),+ }
    };
}

words!(Subject: Vm, Device, Host);
words!(Payload: Xml, Json, None);
words!(Failure: Veto, Advisory);
words!(Output: Used, Ignored);
words!(User: Agent, Root);
words!(Properties: None, Vm, Device);
