// SPDX-License-Identifier: Apache-2.0
//! What the driver reads of a VirtualMachineInstance (KubeVirt 1.9).

use super::refusal::Refusal;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A VirtualMachineInstance.
#[derive(Clone, Debug)]
pub struct Vmi {
    fields: Fields,
    json: Vec<u8>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    uid: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    domain: Option<Domain>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Domain {
    firmware: Option<Firmware>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Firmware {
    uuid: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    node_name: Option<String>,
    migration_state: Option<Migration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Migration {
    migration_uid: Option<String>,
    start_timestamp: Option<String>,
}

impl Vmi {
    /// Reads one.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: not the JSON of such an object, or without a UID.
    pub fn parse(json: Vec<u8>) -> Result<Self, Refusal> {
        let malformed = |why: String| Refusal::Malformed(format!("VMI: {why}"));
        if json.is_empty() {
            return Err(malformed("empty: JSON is expected".to_owned()));
        }
        let fields: Fields =
            serde_json::from_slice(&json).map_err(|e| malformed(format!("not the JSON of a VMI: {e}")))?;
        let vmi = Self { fields, json };
        if vmi.uid().is_empty() {
            return Err(malformed("it has no metadata.uid".to_owned()));
        }
        // Who owns a VM sets it, and hooks of a node, which may be root's, make paths of vmId.
        let plain = |u: &str| u.len() <= 64 && u.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if vmi.firmware_uuid().is_some_and(|u| !plain(u)) {
            return Err(malformed("spec.domain.firmware.uuid is not a UUID".to_owned()));
        }
        Ok(vmi)
    }

    fn metadata(&self, of: impl Fn(&Metadata) -> Option<&String>) -> &str {
        self.fields.metadata.as_ref().and_then(of).map_or("", String::as_str)
    }

    /// Its UID: another for each start.
    pub fn uid(&self) -> &str {
        self.metadata(|m| m.uid.as_ref())
    }

    /// `namespace/name`, for people.
    pub fn label(&self) -> String {
        format!("{}/{}", self.metadata(|m| m.namespace.as_ref()), self.metadata(|m| m.name.as_ref()))
    }

    /// The name of its domain, as KubeVirt makes it.
    pub fn domain_name(&self) -> String {
        format!("{}_{}", self.metadata(|m| m.namespace.as_ref()), self.metadata(|m| m.name.as_ref()))
    }

    /// Its annotations.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        let annotations = self.fields.metadata.as_ref().and_then(|m| m.annotations.as_ref());
        annotations.into_iter().flatten().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The UUID its domain is to have, where it says so.
    pub fn firmware_uuid(&self) -> Option<&str> {
        let firmware = self.fields.spec.as_ref()?.domain.as_ref()?.firmware.as_ref()?;
        firmware.uuid.as_deref().filter(|u| !u.is_empty())
    }

    /// The node it is on.
    pub fn node(&self) -> Option<&str> {
        self.fields.status.as_ref()?.node_name.as_deref()
    }

    /// What tells the migration under way from earlier ones.
    pub fn migration(&self) -> Option<&str> {
        let state = self.fields.status.as_ref()?.migration_state.as_ref()?;
        let marks = [state.migration_uid.as_deref(), state.start_timestamp.as_deref()];
        marks.into_iter().flatten().find(|m| !m.is_empty())
    }

    /// The JSON as it came.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_read() {
        let vmi = Vmi::parse(
            br#"{"metadata":{"uid":"u","name":"n","namespace":"s","annotations":{"a":"b"},"managedFields":[{}]},
            "spec":{"domain":{"firmware":{"uuid":"f"},"devices":{}}},
            "status":{"nodeName":"k","migrationState":{"startTimestamp":"t"}}}"#
                .to_vec(),
        )
        .unwrap();
        assert_eq!((vmi.uid(), vmi.domain_name().as_str(), vmi.label().as_str()), ("u", "s_n", "s/n"));
        assert_eq!((vmi.firmware_uuid(), vmi.node(), vmi.migration()), (Some("f"), Some("k"), Some("t")));
        assert_eq!(vmi.annotations().collect::<Vec<_>>(), [("a", "b")]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for (json, said) in [
            ("", "empty"),
            ("{", "not the JSON"),
            ("[1]", "not the JSON"),
            ("{}", "no metadata.uid"),
            (r#"{"metadata":null}"#, "no metadata.uid"),
            (r#"{"metadata":{"uid":"u","annotations":{"a":7}}}"#, "not the JSON"),
            (
                r#"{"metadata":{"uid":"u"},"spec":{"domain":{"firmware":{"uuid":"../../etc/x"}}}}"#,
                "not a UUID",
            ),
        ] {
            let error = Vmi::parse(json.as_bytes().to_vec()).unwrap_err().to_string();
            assert!(error.starts_with("VMI: ") && error.contains(said), "{json}: {error}");
        }
    }
}
