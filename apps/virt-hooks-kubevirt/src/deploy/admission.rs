// SPDX-License-Identifier: Apache-2.0
//! `MutatingAdmissionPolicy` and its binding: Kubernetes 1.36 (`v1`), 1.34 (`v1beta1`).

use super::Request;
use super::error::DeployError;
use super::objects::{
    BindingSpec, JsonPatch, LabelRequirement, LabelSelector, MatchCondition, MatchResources, Metadata,
    Mutation, Object, PolicySpec, ResourceRule,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a policy changes.
pub(super) struct What {
    pub(super) api_group: &'static str,
    pub(super) resource: &'static str,
    pub(super) object_selector: Option<LabelSelector>,
    pub(super) conditions: Vec<MatchCondition>,
    /// A list of `JSONPatch`, in CEL.
    pub(super) patch: String,
}

/// A policy with the request's name.
pub(super) fn policy(request: &Request, what: What) -> Result<Value, DeployError> {
    let namespaces = &request.vm_namespaces;
    let namespace_selector = (!namespaces.is_empty()).then(|| LabelSelector {
        match_expressions: vec![LabelRequirement {
            key: "kubernetes.io/metadata.name",
            operator: "In",
            values: namespaces.clone(),
        }],
        ..LabelSelector::default()
    });
    let object = Object {
        api_version: api_version(request),
        kind: "MutatingAdmissionPolicy",
        metadata: metadata(request, &request.name, None),
        spec: PolicySpec {
            // A VM that starts without its hooks is what the strategy is about.
            failure_policy: request.failure,
            match_conditions: what.conditions,
            match_constraints: MatchResources {
                namespace_selector,
                object_selector: what.object_selector,
                resource_rules: vec![ResourceRule {
                    api_groups: vec![what.api_group],
                    api_versions: vec!["v1"],
                    operations: vec!["CREATE"],
                    resources: vec![what.resource],
                }],
            },
            mutations: vec![Mutation {
                patch_type: "JSONPatch",
                json_patch: JsonPatch { expression: what.patch },
            }],
            reinvocation_policy: "IfNeeded",
        },
    };
    Ok(serde_json::to_value(object)?)
}

/// What puts the policy to work.
pub(super) fn binding(request: &Request) -> Result<Value, DeployError> {
    let object = Object {
        api_version: api_version(request),
        kind: "MutatingAdmissionPolicyBinding",
        metadata: metadata(request, &request.name, None),
        spec: BindingSpec { policy_name: request.name.clone() },
    };
    Ok(serde_json::to_value(object)?)
}

fn api_version(request: &Request) -> String {
    format!("admissionregistration.k8s.io/{}", request.admission)
}

/// Name and labels of an object.
pub(super) fn metadata(request: &Request, name: &str, namespace: Option<&str>) -> Metadata {
    Metadata { name: name.to_owned(), namespace: namespace.map(str::to_owned), labels: labels(request) }
}

/// What all objects of a request have in common.
pub(super) fn labels(request: &Request) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("app.kubernetes.io/instance", request.name.clone()),
        ("app.kubernetes.io/name", "virt-hooks-kubevirt".to_owned()),
    ])
}
