// SPDX-License-Identifier: Apache-2.0
//! A `Plugin` and what it needs: KubeVirt 1.9, `plugin.kubevirt.io/v1alpha1`.

use super::admission::{self, What, labels, metadata};
use super::carried::{self, Carried};
use super::choice::Chosen;
use super::container::{self, RESERVE, budget, hook_arguments};
use super::error::DeployError;
use super::names::{check_domain_socket, check_node_socket, derived};
use super::objects::{
    DaemonSetSpec, DomainHook, HostPath, LabelSelector, MatchCondition, NodeHook, Object, PluginSpec,
    PodSpec, PodTemplate, Reference, SidecarSocket, TemplateMetadata, Toleration, Volume, VolumeMount,
};
use super::{Request, cel};
use crate::core::NodePoint;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// The volume KubeVirt has in the pods of VMs for this.
const SOCKETS: &str = "kubevirt-plugin-sockets";
/// What KubeVirt does not call, but takes.
const NOT_CALLED: NodePoint = NodePoint::PostMigrationSource;

pub(super) fn objects(request: &Request, warnings: &mut Vec<String>) -> Result<Vec<Value>, DeployError> {
    if request.only_annotated {
        return Err(DeployError::Contradiction(
            "--only-annotated is for --style sidecar: here give a --condition on the VM",
        ));
    }
    if request.timeout < RESERVE + Duration::from_secs(5) || request.timeout > Duration::from_secs(3600) {
        return Err(DeployError::Contradiction("--timeout: give 10s to 1h"));
    }
    let permitted = permitted(request, warnings)?;
    let has_domain_hooks = request.choice.has_domain_hooks();
    if request.choice.has_cloud_init_hooks() {
        warnings.push("plugins have no PreCloudInitIso: those hooks need --style sidecar".to_owned());
    }
    if !has_domain_hooks && permitted.is_empty() {
        return Err(DeployError::Contradiction(
            "none of these hooks runs in a plugin: nothing fires their points",
        ));
    }
    let in_the_pod = request.choice.in_the_pod();
    let on_the_node = request.choice.on_the_node(&permitted);
    let in_the_pod = if has_domain_hooks { carry(request, in_the_pod)? } else { (Vec::new(), Vec::new()) };
    let on_the_node = carry(request, on_the_node)?;
    if !in_the_pod.1.is_empty() && request.vm_namespaces.is_empty() {
        return Err(DeployError::Contradiction(
            "a pod takes ConfigMaps of its own namespace only: say with --vm-namespace where the VMs are",
        ));
    }
    let mut objects = config_maps(request, &in_the_pod.1, &on_the_node.1)?;
    let timeout = format!("{}s", request.timeout.as_secs());
    let mut spec = PluginSpec {
        condition: request.condition.clone(),
        failure_strategy: request.failure,
        domain_hooks: Vec::new(),
        node_hooks: Vec::new(),
        mutating_admission_policies: Vec::new(),
    };
    if has_domain_hooks {
        let socket = check_domain_socket(&request.name, request.domain_socket.as_deref())?;
        objects.push(injection(request, &in_the_pod.0, &in_the_pod.1, &socket)?);
        objects.push(admission::binding(request)?);
        spec.domain_hooks.push(DomainHook {
            sidecar: SidecarSocket { socket_path: socket.display().to_string() },
            failure_strategy: request.failure,
            timeout: timeout.clone(),
        });
        spec.mutating_admission_policies.push(Reference { name: request.name.clone() });
    } else if request.domain_socket.is_some() {
        return Err(DeployError::Contradiction("--domain-socket: none of these hooks changes the domain"));
    }
    if !permitted.is_empty() {
        let socket = check_node_socket(&request.name, request.node_socket.as_deref())?;
        objects.push(daemon_set(request, &on_the_node.0, &on_the_node.1, &socket)?);
        spec.node_hooks.push(NodeHook {
            socket: socket.display().to_string(),
            permitted_hooks: permitted.iter().map(|p| p.name()).collect(),
            failure_strategy: request.failure,
            timeout,
        });
    } else if request.node_socket.is_some() {
        return Err(DeployError::Contradiction(
            "--node-socket: none of these hooks is at a point of the node",
        ));
    }
    // Last: from then on VMs need all the others.
    objects.push(serde_json::to_value(Object {
        api_version: "plugin.kubevirt.io/v1alpha1".to_owned(),
        kind: "Plugin",
        metadata: metadata(request, &request.name, None),
        spec,
    })?);
    Ok(objects)
}

/// The points of the node that KubeVirt may call: only such that there are hooks for.
fn permitted(request: &Request, warnings: &mut Vec<String>) -> Result<Vec<NodePoint>, DeployError> {
    let there = request.choice.node_points();
    if request.permitted.iter().any(|p| !there.contains(p)) {
        return Err(DeployError::Contradiction(
            "--permit: none of these packages has a hook at one of the points: leave it out",
        ));
    }
    let permitted: Vec<NodePoint> =
        there.into_iter().filter(|p| request.permitted.is_empty() || request.permitted.contains(p)).collect();
    if permitted.contains(&NOT_CALLED) {
        warnings.push(format!("KubeVirt 1.9 takes {} and never calls it", NOT_CALLED.name()));
    }
    Ok(permitted)
}

/// The packages of a place, and what of them travels: nothing, where all of them are in the image.
fn carry<'a>(
    request: &Request,
    chosen: Vec<&'a Chosen>,
) -> Result<(Vec<&'a Chosen>, Vec<Carried>), DeployError> {
    if chosen.iter().all(|c| c.in_image) {
        return Ok((chosen, Vec::new()));
    }
    let carried = chosen.iter().map(|c| Carried::read(request, c)).collect::<Result<_, _>>()?;
    Ok((chosen, carried))
}

fn config_maps(request: &Request, pods: &[Carried], node: &[Carried]) -> Result<Vec<Value>, DeployError> {
    let mut objects: Vec<Value> = Vec::new();
    let for_pods = pods.iter().flat_map(|c| request.vm_namespaces.iter().map(move |n| (c, n)));
    for (carried, namespace) in for_pods.chain(node.iter().map(|c| (c, &request.namespace))) {
        let object = carried.config_map(request, namespace)?;
        // VMs may be where the DaemonSet is.
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// The policy that puts the server into the pods of VMs.
fn injection(
    request: &Request,
    chosen: &[&Chosen],
    carried: &[Carried],
    socket: &Path,
) -> Result<Value, DeployError> {
    let mut arguments = vec!["plugin".to_owned(), format!("--domain-socket={}", socket.display())];
    arguments.extend(hook_arguments(chosen, !carried.is_empty()));
    arguments.push(budget(request.timeout));
    let sockets = VolumeMount {
        name: SOCKETS.to_owned(),
        mount_path: socket.parent().unwrap_or(socket).display().to_string(),
        // KubeVirt's own policy refuses the whole volume.
        sub_path: Some(request.name.clone()),
        read_only: false,
    };
    let container = container::in_the_pod(request, arguments, sockets, carried);
    let name = cel::string(&container.name);
    let container = cel::typed(&serde_json::to_value(container)?, "Object.spec.initContainers");
    let mut patches = Vec::new();
    if !carried.is_empty() {
        let volume = serde_json::to_value(carried::volume(carried))?;
        patches.push(cel::add("/spec/volumes/-", &cel::typed(&volume, "Object.spec.volumes")));
    }
    let with = |last: String| [patches.clone(), vec![last]].concat().join(", ");
    let patch = format!(
        "has(object.spec.initContainers) ? [{}] : [{}]",
        with(cel::add("/spec/initContainers/-", &container)),
        with(cel::add("/spec/initContainers", &format!("[{container}]"))),
    );
    let what = What {
        api_group: "",
        resource: "pods",
        object_selector: Some(LabelSelector {
            match_labels: BTreeMap::from([("kubevirt.io", "virt-launcher".to_owned())]),
            ..LabelSelector::default()
        }),
        conditions: vec![
            MatchCondition {
                name: "has-plugin-sockets",
                expression: format!(
                    "has(object.spec.volumes) && object.spec.volumes.exists(v, v.name == {})",
                    cel::string(SOCKETS)
                ),
            },
            MatchCondition {
                name: "is-not-there-yet",
                expression: format!(
                    "!has(object.spec.initContainers) || !object.spec.initContainers.exists(c, c.name == {name})"
                ),
            },
        ],
        patch,
    };
    admission::policy(request, what)
}

/// The server on each node that may run VMs.
fn daemon_set(
    request: &Request,
    chosen: &[&Chosen],
    carried: &[Carried],
    socket: &Path,
) -> Result<Value, DeployError> {
    let mut arguments = vec!["plugin".to_owned(), format!("--node-socket={}", socket.display())];
    arguments.extend(hook_arguments(chosen, !carried.is_empty()));
    arguments.push(budget(request.timeout));
    let dir = socket.parent().unwrap_or(socket).display().to_string();
    let sockets =
        VolumeMount { name: "sockets".to_owned(), mount_path: dir.clone(), sub_path: None, read_only: false };
    // Kubernetes names them without CAP_.
    let capabilities: BTreeSet<String> = chosen
        .iter()
        .flat_map(|c| &c.package.manifest.privileges.capabilities)
        .map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_owned())
        .collect();
    let host_network = capabilities.contains("NET_ADMIN");
    let capabilities = capabilities.into_iter().collect();
    let container = container::on_the_node(request, arguments, sockets, carried, capabilities);
    let host_path = HostPath { path: dir, kind: "DirectoryOrCreate" };
    let mut volumes =
        vec![Volume { name: "sockets".to_owned(), host_path: Some(host_path), projected: None }];
    if !carried.is_empty() {
        volumes.push(carried::volume(carried));
    }
    let name = derived(&request.name, "node");
    super::check_label("DaemonSet", &name)?;
    let mut labels = labels(request);
    labels.insert("app.kubernetes.io/component", "node".to_owned());
    Ok(serde_json::to_value(Object {
        api_version: "apps/v1".to_owned(),
        kind: "DaemonSet",
        metadata: metadata(request, &name, Some(&request.namespace)),
        spec: DaemonSetSpec {
            selector: LabelSelector { match_labels: labels.clone(), ..LabelSelector::default() },
            template: PodTemplate {
                metadata: TemplateMetadata { labels },
                spec: PodSpec {
                    automount_service_account_token: false,
                    containers: vec![container],
                    host_network,
                    node_selector: BTreeMap::from([("kubevirt.io/schedulable", "true".to_owned())]),
                    // Wherever VMs may be: without it their starts would be refused.
                    tolerations: vec![Toleration { operator: "Exists" }],
                    volumes,
                },
            },
        },
    })?)
}
