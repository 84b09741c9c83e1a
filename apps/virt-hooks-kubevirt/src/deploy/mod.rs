// SPDX-License-Identifier: Apache-2.0
//! What a cluster is given, so that this driver runs there: objects of Kubernetes and KubeVirt, checked before
//! they are printed.
//!
//! Three styles. *Plugin* (KubeVirt 1.9, VEP-190): a `Plugin` with the hooks that the chosen packages have, a
//! `MutatingAdmissionPolicy` that puts the server into the pods of VMs, a `DaemonSet` where there are hooks of the
//! node. *Sidecar*: a `MutatingAdmissionPolicy` that annotates VMs with the older hook sidecar. *Annotation*: that
//! annotation, for a VM's template. Packages that are not in the image travel as `ConfigMap`s.

mod admission;
mod carried;
mod cel;
mod choice;
mod container;
mod error;
mod legacy;
mod names;
mod objects;
mod plugin;

pub use choice::Choice;
pub use error::DeployError;
pub use legacy::annotation;
pub use names::{Quantity, check_domain_socket, check_label, check_node_socket};

use crate::core::NodePoint;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// How KubeVirt is to run the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As a plugin.
    Plugin,
    /// As a hook sidecar that a policy puts at VMs.
    Sidecar,
    /// As a hook sidecar: the annotation alone.
    Annotation,
}

/// What KubeVirt does when a hook fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum FailureStrategy {
    /// The VM does not start.
    #[default]
    Fail,
    /// It starts without what the hook would have done.
    Ignore,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Request {
    /// How KubeVirt is to run it.
    pub style: Style,
    /// The plugin's name, and that of its objects.
    pub name: String,
    /// Where the DaemonSet is.
    pub namespace: String,
    /// Where the VMs are; empty: everywhere.
    pub vm_namespaces: Vec<String>,
    /// The image with this driver.
    pub image: String,
    /// When it is pulled: `Always`, `IfNotPresent`, `Never`.
    pub pull_policy: Option<String>,
    /// The packages.
    pub choice: Choice,
    /// The socket in the pod; `None`: the usual place.
    pub domain_socket: Option<PathBuf>,
    /// The socket on the node; `None`: the usual place.
    pub node_socket: Option<PathBuf>,
    /// The points of the node that KubeVirt may call, where not all that the packages have hooks for.
    pub permitted: Vec<NodePoint>,
    /// What happens when a hook fails.
    pub failure: FailureStrategy,
    /// What KubeVirt gives a call of a plugin.
    pub timeout: Duration,
    /// Which VMs the plugin is for, in CEL.
    pub condition: Option<String>,
    /// Sidecar style: only VMs with one of our annotations.
    pub only_annotated: bool,
    /// The version of admission policies: `v1`, `v1beta1`.
    pub admission: String,
    /// The most processor time of a container.
    pub cpu: Quantity,
    /// The most memory of a container.
    pub memory: Quantity,
}

/// The objects, in the order they are to be made; and what to know, in a line each.
///
/// # Errors
/// What is wanted does not fit together, or a cluster would not take it.
pub fn objects(request: &Request) -> Result<(Vec<Value>, Vec<String>), DeployError> {
    check_label("name", &request.name)?;
    check_label("namespace", &request.namespace)?;
    for namespace in &request.vm_namespaces {
        check_label("VM namespace", namespace)?;
    }
    names::check_image(&request.image)?;
    if request.choice.is_empty() {
        return Err(DeployError::Nothing);
    }
    let mut warnings = request.choice.warnings();
    let objects = match request.style {
        Style::Plugin => plugin::objects(request, &mut warnings)?,
        Style::Sidecar => vec![legacy::policy(request)?, admission::binding(request)?],
        Style::Annotation => {
            return Err(DeployError::Contradiction("the annotation is no object of its own"));
        }
    };
    Ok((objects, warnings))
}
