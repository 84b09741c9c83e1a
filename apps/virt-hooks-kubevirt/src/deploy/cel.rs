// SPDX-License-Identifier: Apache-2.0
//! Values as CEL writes them in a `MutatingAdmissionPolicy`: objects with the type of their place.

use serde_json::Value;

/// Fields whose value is a map, not an object with known fields.
const MAPS: [&str; 5] = ["limits", "requests", "labels", "annotations", "nodeSelector"];

/// A value at a place of the object, such as `Object.spec.containers`.
pub(super) fn typed(value: &Value, place: &str) -> String {
    match value {
        Value::Object(fields) => {
            let is_map = place.rsplit('.').next().is_some_and(|last| MAPS.contains(&last));
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|field| field.0);
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(name, value)| {
                    let below = typed(value, &format!("{place}.{name}"));
                    if is_map { format!("{}: {below}", string(name)) } else { format!("{name}: {below}") }
                })
                .collect();
            format!("{}{{{}}}", if is_map { "" } else { place }, fields.join(", "))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| typed(value, place)).collect();
            format!("[{}]", values.join(", "))
        }
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// A string. CEL knows the escapes of JSON but that of `/`, which is not used.
pub(super) fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// Adds a value at a place of the object.
pub(super) fn add(path: &str, value: &str) -> String {
    format!("JSONPatch{{op: \"add\", path: {}, value: {value}}}", string(path))
}
