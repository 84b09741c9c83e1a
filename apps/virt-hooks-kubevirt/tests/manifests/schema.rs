// SPDX-License-Identifier: Apache-2.0
//! What an API server would check: `schema.json` has the fields of Kubernetes 1.36 and of KubeVirt 1.9's `Plugin` that are
//! used here, and no others are allowed; the rules beyond fields are below.

use serde_json::Value;

/// Checks each object by its kind.
#[track_caller]
pub(crate) fn check(objects: &[Value]) {
    let schemas: Value = serde_json::from_str(include_str!("schema.json")).unwrap();
    for object in objects {
        let kind = object["kind"].as_str().unwrap();
        fits(&schemas, &schemas[kind], object, kind);
        match kind {
            "ConfigMap" => config_map(object),
            "DaemonSet" => daemon_set(object),
            "MutatingAdmissionPolicy" => policy(object),
            "Plugin" => plugin(object),
            _ => {}
        }
    }
}

#[track_caller]
fn fits(schemas: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["ref"].as_str() {
        return fits(schemas, &schemas[name], value, at);
    }
    match schema["type"].as_str().unwrap_or_else(|| panic!("{at}: not in the schema")) {
        "object" => {
            let fields = value.as_object().unwrap_or_else(|| panic!("{at}: no object"));
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(required.as_str().unwrap()), "{at}: {required} is missing");
            }
            for (name, value) in fields {
                fits(schemas, &schema["properties"][name], value, &format!("{at}.{name}"));
            }
        }
        "map" => {
            for (name, value) in value.as_object().unwrap_or_else(|| panic!("{at}: no map")) {
                fits(schemas, &schema["values"], value, &format!("{at}.{name}"));
            }
        }
        "array" => {
            let items = value.as_array().unwrap_or_else(|| panic!("{at}: no array"));
            assert!(!items.is_empty(), "{at}: empty");
            for (n, item) in items.iter().enumerate() {
                fits(schemas, &schema["items"], item, &format!("{at}[{n}]"));
            }
        }
        "string" => {
            let text = value.as_str().unwrap_or_else(|| panic!("{at}: no string"));
            let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
            assert!(text.chars().count() as u64 <= most, "{at}: {text} is too long");
            let allowed = schema["enum"].as_array();
            assert!(allowed.is_none_or(|all| all.contains(value)), "{at}: {text}");
        }
        "integer" => assert!(value.is_u64(), "{at}: {value}"),
        "boolean" => assert!(value.is_boolean(), "{at}: {value}"),
        other => panic!("{at}: the schema has type {other}"),
    }
}

fn config_map(object: &Value) {
    let entries = |field: &str| object[field].as_object().into_iter().flatten();
    let texts = entries("data").map(|(key, value)| (key, value.as_str().unwrap().len()));
    let bytes = entries("binaryData").map(|(key, value)| (key, value.as_str().unwrap().len() / 4 * 3));
    let mut size = 0;
    for (key, length) in texts.chain(bytes) {
        size += key.len() + length;
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        assert!(key.len() <= 253 && key.bytes().all(good), "{key}");
    }
    assert!(size <= 1 << 20, "{size}");
}

fn daemon_set(object: &Value) {
    let template = &object["spec"]["template"];
    for (name, value) in object["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&template["metadata"]["labels"][name], value, "the selector does not choose its own pods");
    }
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    for container in template["spec"]["containers"].as_array().unwrap() {
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.iter().any(|v| v["name"] == mount["name"]), "no volume {}", mount["name"]);
        }
    }
}

/// What Kubernetes checks beyond the types, as far as it can be seen without CEL.
fn policy(object: &Value) {
    let spec = &object["spec"];
    assert!(["Never", "IfNeeded"].contains(&spec["reinvocationPolicy"].as_str().unwrap()));
    for mutation in spec["mutations"].as_array().unwrap() {
        assert_eq!(mutation["patchType"], "JSONPatch");
        balanced(mutation["jsonPatch"]["expression"].as_str().unwrap());
    }
    let conditions = spec["matchConditions"].as_array().unwrap();
    assert!(conditions.len() <= 64);
    conditions.iter().for_each(|c| balanced(c["expression"].as_str().unwrap()));
}

/// Brackets match outside of strings, and strings end.
#[track_caller]
fn balanced(cel: &str) {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for c in cel.chars() {
        if in_string {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => assert!(!c.is_control(), "{cel}"),
            }
            continue;
        }
        match c {
            '"' => in_string = true,
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' => assert_eq!(open.pop(), Some(c), "{cel}"),
            _ => {}
        }
    }
    assert!(open.is_empty() && !in_string, "{cel}");
}

/// The rules of KubeVirt's admission.
fn plugin(object: &Value) {
    let spec = &object["spec"];
    let list = |field: &str| spec[field].as_array().into_iter().flatten();
    assert!(list("domainHooks").chain(list("nodeHooks")).count() > 0);
    let below = format!("/var/run/kubevirt-plugin/{}/", object["metadata"]["name"].as_str().unwrap());
    for hook in list("domainHooks") {
        let path = hook["sidecar"]["socketPath"].as_str().unwrap();
        assert!(path.starts_with(&below) && path.ends_with(".sock") && !path.contains(".."), "{path}");
        timeout(hook["timeout"].as_str());
    }
    list("nodeHooks").for_each(|hook| timeout(hook["timeout"].as_str()));
}

/// A duration of Go, in whole seconds.
fn timeout(text: Option<&str>) {
    let seconds = text.and_then(|t| t.strip_suffix('s')).and_then(|s| s.parse::<u32>().ok());
    assert!(seconds.is_some_and(|s| s > 0), "{text:?}");
}
