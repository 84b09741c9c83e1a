// SPDX-License-Identifier: Apache-2.0
//! What an API server would check.

use k8s_openapi::api::admissionregistration::{v1, v1beta1};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Volume};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Checks each object by its kind.
#[track_caller]
pub(crate) fn check(objects: &[Value]) {
    for object in objects {
        match (object["kind"].as_str().unwrap(), object["apiVersion"].as_str().unwrap()) {
            ("ConfigMap", "v1") => config_map(object),
            ("DaemonSet", "apps/v1") => daemon_set(object),
            ("MutatingAdmissionPolicy", "admissionregistration.k8s.io/v1") => {
                strict::<v1::MutatingAdmissionPolicy>(object);
                policy(object);
            }
            ("MutatingAdmissionPolicy", "admissionregistration.k8s.io/v1beta1") => {
                strict::<v1beta1::MutatingAdmissionPolicy>(object);
                policy(object);
            }
            ("MutatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1") => {
                strict::<v1::MutatingAdmissionPolicyBinding>(object);
            }
            ("MutatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1beta1") => {
                strict::<v1beta1::MutatingAdmissionPolicyBinding>(object);
            }
            ("Plugin", "plugin.kubevirt.io/v1alpha1") => plugin(object),
            other => panic!("no schema for {other:?}"),
        }
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(!name.is_empty() && name.len() <= 63 && !name.contains('_'), "{name}");
    }
}

/// Reads an object as its type and writes it again: a field that the type does not have would be gone.
#[track_caller]
fn strict<T: DeserializeOwned + Serialize>(object: &Value) -> T {
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|e| panic!("{e}\n{object:#}"));
    assert_eq!(&serde_json::to_value(&typed).unwrap(), object, "fields that the type does not have");
    typed
}

fn config_map(object: &Value) {
    let map: ConfigMap = strict(object);
    let texts = map.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.len()));
    let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0.len()));
    let mut size = 0;
    for (key, length) in texts.chain(bytes) {
        size += key.len() + length;
        assert!(
            key.len() <= 253 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
            "{key}"
        );
    }
    assert!(size <= 1 << 20, "{size}");
}

fn daemon_set(object: &Value) {
    let set: DaemonSet = strict(object);
    let spec = set.spec.unwrap();
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    for (name, value) in spec.selector.match_labels.unwrap() {
        assert_eq!(labels.get(&name), Some(&value), "the selector does not choose its own pods");
    }
    let pod = spec.template.spec.unwrap();
    for container in &pod.containers {
        mounts(container, pod.volumes.as_deref().unwrap());
    }
}

fn mounts(container: &Container, volumes: &[Volume]) {
    for mount in container.volume_mounts.iter().flatten() {
        assert!(volumes.iter().any(|v| v.name == mount.name), "no volume {}", mount.name);
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

/// `Plugin` of KubeVirt 1.9, written down from its API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plugin {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: PluginSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    #[serde(rename = "labels")]
    _labels: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PluginSpec {
    #[serde(rename = "condition")]
    _condition: Option<String>,
    #[serde(rename = "failureStrategy")]
    _failure_strategy: Option<Strategy>,
    #[serde(default)]
    domain_hooks: Vec<DomainHook>,
    #[serde(default)]
    node_hooks: Vec<NodeHook>,
    #[serde(default)]
    mutating_admission_policies: Vec<Reference>,
}

#[derive(Deserialize)]
enum Strategy {
    Fail,
    Ignore,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DomainHook {
    cel: Option<Value>,
    sidecar: Option<Sidecar>,
    #[serde(rename = "condition")]
    _condition: Option<String>,
    #[serde(rename = "failureStrategy")]
    _failure_strategy: Option<Strategy>,
    timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sidecar {
    socket_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeHook {
    socket: String,
    permitted_hooks: Vec<Point>,
    #[serde(rename = "condition")]
    _condition: Option<String>,
    failure_strategy: Option<Strategy>,
    timeout: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[expect(clippy::enum_variant_names, reason = "KubeVirt's names")]
enum Point {
    PreVMStart,
    PostVMStart,
    PreVMStop,
    PostVMStop,
    PreMigrationSource,
    PostMigrationSource,
    PreMigrationTarget,
    PostMigrationTarget,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    name: String,
}

fn plugin(object: &Value) {
    let plugin: Plugin = serde_json::from_value(object.clone()).unwrap();
    let spec = plugin.spec;
    assert!(!spec.domain_hooks.is_empty() || !spec.node_hooks.is_empty());
    for hook in &spec.domain_hooks {
        assert!(hook.cel.is_some() != hook.sidecar.is_some(), "one of cel and sidecar");
        timeout(hook.timeout.as_deref());
        if let Some(Sidecar { socket_path }) = &hook.sidecar {
            let below = format!("/var/run/kubevirt-plugin/{}/", plugin.metadata.name);
            assert!(socket_path.starts_with(&below) && socket_path.ends_with(".sock"), "{socket_path}");
            assert!(socket_path.chars().count() <= 108 && !socket_path.contains(".."), "{socket_path}");
        }
    }
    for hook in &spec.node_hooks {
        assert!(!hook.permitted_hooks.is_empty() && !hook.socket.is_empty());
        assert!(hook.failure_strategy.is_some(), "that of the plugin is not read for hooks of the node");
        timeout(hook.timeout.as_deref());
    }
    assert!(spec.mutating_admission_policies.iter().all(|r| !r.name.is_empty()));
}

/// A duration of Go, in whole seconds.
fn timeout(text: Option<&str>) {
    let seconds = text.and_then(|t| t.strip_suffix('s')).and_then(|s| s.parse::<u32>().ok());
    assert!(seconds.is_some_and(|s| s > 0), "{text:?}");
}
