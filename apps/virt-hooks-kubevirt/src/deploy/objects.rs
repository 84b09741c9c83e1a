// SPDX-License-Identifier: Apache-2.0
//! Objects of Kubernetes and KubeVirt, as far as they are made here. Tests hold them against the real schemas.

use super::FailureStrategy;
use serde::Serialize;
use std::collections::BTreeMap;

/// An object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object<S> {
    pub(super) api_version: String,
    pub(super) kind: &'static str,
    pub(super) metadata: Metadata,
    pub(super) spec: S,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    pub(super) labels: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigMap {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) metadata: Metadata,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) data: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) binary_data: BTreeMap<String, String>,
}

/// `plugin.kubevirt.io/v1alpha1`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PluginSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) condition: Option<String>,
    pub(super) failure_strategy: FailureStrategy,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) domain_hooks: Vec<DomainHook>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) node_hooks: Vec<NodeHook>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) mutating_admission_policies: Vec<Reference>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DomainHook {
    pub(super) sidecar: SidecarSocket,
    pub(super) failure_strategy: FailureStrategy,
    pub(super) timeout: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SidecarSocket {
    pub(super) socket_path: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeHook {
    pub(super) socket: String,
    pub(super) permitted_hooks: Vec<&'static str>,
    /// That of the plugin is not read for these.
    pub(super) failure_strategy: FailureStrategy,
    pub(super) timeout: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Reference {
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_pull_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restart_policy: Option<&'static str>,
    pub(super) args: Vec<String>,
    pub(super) resources: Resources,
    pub(super) security_context: SecurityContext,
    pub(super) volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Serialize)]
pub(super) struct Resources {
    pub(super) limits: BTreeMap<&'static str, String>,
    pub(super) requests: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecurityContext {
    pub(super) allow_privilege_escalation: bool,
    pub(super) capabilities: Capabilities,
    pub(super) read_only_root_filesystem: bool,
    pub(super) run_as_group: u32,
    pub(super) run_as_non_root: bool,
    pub(super) run_as_user: u32,
    pub(super) seccomp_profile: SeccompProfile,
}

#[derive(Debug, Serialize)]
pub(super) struct Capabilities {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) add: Vec<String>,
    pub(super) drop: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct SeccompProfile {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub(super) name: String,
    pub(super) mount_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sub_path: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) read_only: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host_path: Option<HostPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) projected: Option<Projected>,
}

#[derive(Debug, Serialize)]
pub(super) struct HostPath {
    pub(super) path: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Projected {
    pub(super) sources: Vec<ProjectedSource>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProjectedSource {
    pub(super) config_map: ProjectedConfigMap,
}

#[derive(Debug, Serialize)]
pub(super) struct ProjectedConfigMap {
    pub(super) name: String,
    pub(super) items: Vec<KeyToPath>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct KeyToPath {
    pub(super) key: String,
    pub(super) path: String,
    pub(super) mode: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct DaemonSetSpec {
    pub(super) selector: LabelSelector,
    pub(super) template: PodTemplate,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LabelSelector {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) match_labels: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) match_expressions: Vec<LabelRequirement>,
}

#[derive(Debug, Serialize)]
pub(super) struct LabelRequirement {
    pub(super) key: &'static str,
    pub(super) operator: &'static str,
    pub(super) values: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct PodTemplate {
    pub(super) metadata: TemplateMetadata,
    pub(super) spec: PodSpec,
}

#[derive(Debug, Serialize)]
pub(super) struct TemplateMetadata {
    pub(super) labels: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) automount_service_account_token: bool,
    pub(super) containers: Vec<Container>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) host_network: bool,
    pub(super) node_selector: BTreeMap<&'static str, String>,
    pub(super) tolerations: Vec<Toleration>,
    pub(super) volumes: Vec<Volume>,
}

#[derive(Debug, Serialize)]
pub(super) struct Toleration {
    pub(super) operator: &'static str,
}

/// `admissionregistration.k8s.io`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicySpec {
    pub(super) failure_policy: FailureStrategy,
    pub(super) match_conditions: Vec<MatchCondition>,
    pub(super) match_constraints: MatchResources,
    pub(super) mutations: Vec<Mutation>,
    pub(super) reinvocation_policy: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct MatchCondition {
    pub(super) name: &'static str,
    pub(super) expression: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MatchResources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace_selector: Option<LabelSelector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object_selector: Option<LabelSelector>,
    pub(super) resource_rules: Vec<ResourceRule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceRule {
    pub(super) api_groups: Vec<&'static str>,
    pub(super) api_versions: Vec<&'static str>,
    pub(super) operations: Vec<&'static str>,
    pub(super) resources: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mutation {
    pub(super) patch_type: &'static str,
    pub(super) json_patch: JsonPatch,
}

#[derive(Debug, Serialize)]
pub(super) struct JsonPatch {
    pub(super) expression: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BindingSpec {
    pub(super) policy_name: String,
}

/// An entry of the annotation `hooks.kubevirt.io/hookSidecars`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookSidecar {
    pub(super) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_pull_policy: Option<String>,
    pub(super) args: Vec<String>,
}
