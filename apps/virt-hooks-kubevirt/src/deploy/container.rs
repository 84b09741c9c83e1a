// SPDX-License-Identifier: Apache-2.0
//! The container with the driver, in a pod of a VM and on a node.

use super::carried::{self, Carried};
use super::choice::Chosen;
use super::objects::{Capabilities, Container, Resources, SeccompProfile, SecurityContext, VolumeMount};
use super::{Request, names::derived};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the image has its hooks: a directory of layers, one for each package.
pub(super) const IMAGE_HOOKS: &str = "/hooks";
/// Where the image has their manifests.
pub(super) const IMAGE_PACKAGES: &str = "/packages";
/// Where packages that travel are.
const TREE: &str = "/virt-hooks";
/// KubeVirt's user in the pod of a VM.
const QEMU: u32 = 107;
/// What a call has less than KubeVirt gives it: a hook that is ended takes some time.
pub(super) const RESERVE: Duration = Duration::from_secs(5);

/// Options that choose the hooks of some packages and no other.
pub(super) fn hook_arguments(chosen: &[&Chosen], has_tree: bool) -> Vec<String> {
    let mut arguments = Vec::new();
    for one in chosen.iter().filter(|c| c.in_image) {
        arguments.push(format!("--hooks-dir={IMAGE_HOOKS}/{}", one.name()));
    }
    if chosen.iter().any(|c| !c.in_image) {
        arguments.push(format!("--hooks-dir={TREE}/{}", carried::HOOKS));
    }
    let packages = if has_tree { format!("{TREE}/{}", carried::PACKAGES) } else { IMAGE_PACKAGES.to_owned() };
    arguments.push(format!("--packages-dir={packages}"));
    arguments
}

/// `25s` for what KubeVirt gives 30 seconds.
pub(super) fn budget(timeout: Duration) -> String {
    format!("--budget={}s", timeout.saturating_sub(RESERVE).as_secs())
}

/// The container that serves domain hooks, in the pod of a VM: as unprivileged as it can be, and one that ends with
/// the VM's own, which no call would tell it to.
pub(super) fn in_the_pod(
    request: &Request,
    arguments: Vec<String>,
    sockets: VolumeMount,
    carried: &[Carried],
) -> Container {
    let mut container = container(request, "sidecar", arguments, sockets, carried);
    container.restart_policy = Some("Always");
    container
}

/// The container that serves hooks of the node: root, with the capabilities that the packages ask for.
pub(super) fn on_the_node(
    request: &Request,
    arguments: Vec<String>,
    sockets: VolumeMount,
    carried: &[Carried],
    capabilities: Vec<String>,
) -> Container {
    let mut container = container(request, "node", arguments, sockets, carried);
    let context = &mut container.security_context;
    (context.run_as_user, context.run_as_group, context.run_as_non_root) = (0, 0, false);
    context.capabilities.add = capabilities;
    container
}

fn container(
    request: &Request,
    role: &str,
    arguments: Vec<String>,
    sockets: VolumeMount,
    carried: &[Carried],
) -> Container {
    let mut volume_mounts = vec![sockets];
    if !carried.is_empty() {
        volume_mounts.push(VolumeMount {
            name: carried::VOLUME.to_owned(),
            mount_path: TREE.to_owned(),
            sub_path: None,
            read_only: true,
        });
    }
    let most = || {
        BTreeMap::from([
            ("cpu", request.cpu.as_str().to_owned()),
            ("memory", request.memory.as_str().to_owned()),
        ])
    };
    Container {
        name: derived(&request.name, role),
        image: request.image.clone(),
        image_pull_policy: request.pull_policy.clone(),
        restart_policy: None,
        args: arguments,
        // The same, so that a VM with dedicated processors stays one.
        resources: Resources { limits: most(), requests: most() },
        security_context: SecurityContext {
            allow_privilege_escalation: false,
            capabilities: Capabilities { add: Vec::new(), drop: vec!["ALL"] },
            read_only_root_filesystem: true,
            run_as_group: QEMU,
            run_as_non_root: true,
            run_as_user: QEMU,
            seccomp_profile: SeccompProfile { kind: "RuntimeDefault" },
        },
        volume_mounts,
    }
}
