// SPDX-License-Identifier: Apache-2.0
//! Hook sidecars: KubeVirt up to 1.9, deprecated there.

use super::admission::{self, What};
use super::cel;
use super::container::hook_arguments;
use super::error::DeployError;
use super::objects::{HookSidecar, MatchCondition};
use super::{Request, Style};
use crate::core::{DEVICE_PREFIX, VM_PREFIX};
use serde_json::Value;

/// KubeVirt's annotation.
const ANNOTATION: &str = "hooks.kubevirt.io/hookSidecars";
/// The same as a part of a JSON pointer.
const POINTER: &str = "/metadata/annotations/hooks.kubevirt.io~1hookSidecars";

/// The value of `hooks.kubevirt.io/hookSidecars`, for `spec.template.metadata.annotations` of a VM.
///
/// # Errors
/// What is wanted cannot be had by a hook sidecar.
pub fn annotation(request: &Request) -> Result<String, DeployError> {
    super::names::check_image(&request.image)?;
    if request.choice.is_empty() {
        return Err(DeployError::Nothing);
    }
    if let Some(travelling) = request.choice.iter().find(|c| !c.in_image) {
        let why = "a hook sidecar takes one file of a ConfigMap, and no manifest: make an image with the package, and \
                   name it with --hook"
            .to_owned();
        return Err(DeployError::Misfit { name: travelling.name().to_owned(), why });
    }
    if request.domain_socket.is_some() || request.node_socket.is_some() || !request.permitted.is_empty() {
        return Err(DeployError::Contradiction("sockets and points of the node are those of --style plugin"));
    }
    if request.condition.is_some() {
        return Err(DeployError::Contradiction("a condition is that of --style plugin"));
    }
    let chosen = request.choice.in_the_pod();
    if chosen.is_empty() {
        return Err(DeployError::Contradiction(
            "none of these hooks runs in a hook sidecar: hooks of the node need --style plugin",
        ));
    }
    let mut args = vec!["sidecar".to_owned()];
    args.extend(hook_arguments(&chosen, false));
    if request.choice.has_cloud_init_hooks() {
        args.push("--cloud-init".to_owned());
    }
    let sidecar =
        HookSidecar { image: request.image.clone(), image_pull_policy: request.pull_policy.clone(), args };
    Ok(serde_json::to_string(&[sidecar])?)
}

/// The policy that annotates VMs as they start.
pub(super) fn policy(request: &Request) -> Result<Value, DeployError> {
    if request.style != Style::Sidecar {
        return Err(DeployError::Contradiction("this policy is that of --style sidecar"));
    }
    let value = cel::string(&annotation(request)?);
    let mut conditions = vec![MatchCondition {
        name: "has-no-sidecar",
        expression: format!(
            "!has(object.metadata.annotations) || !({} in object.metadata.annotations)",
            cel::string(ANNOTATION)
        ),
    }];
    if request.only_annotated {
        conditions.push(MatchCondition {
            name: "has-properties",
            expression: format!(
                "has(object.metadata.annotations) && object.metadata.annotations.exists(a, \
                 a.startsWith({}) || a.startsWith({}))",
                cel::string(VM_PREFIX),
                cel::string(DEVICE_PREFIX)
            ),
        });
    }
    let patch = format!(
        "has(object.metadata.annotations) ? [{}] : [{}]",
        cel::add(POINTER, &value),
        cel::add("/metadata/annotations", &format!("{{{}: {value}}}", cel::string(ANNOTATION))),
    );
    let what = What {
        api_group: "kubevirt.io",
        resource: "virtualmachineinstances",
        object_selector: None,
        conditions,
        patch,
    };
    admission::policy(request, what)
}
