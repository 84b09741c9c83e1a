// SPDX-License-Identifier: Apache-2.0
//! Plugins: `kubevirt.hooks.plugins.v1alpha1` (VEP-190, KubeVirt 1.9).

use super::generated::plugins_v1alpha1 as v1;
use super::{Answer, LARGEST_REQUEST, Services, patience};
use crate::core::{Driver, NodePoint, Occasion, Refusal, Vmi};
use crate::serve::Calls;
use hyper::body::Incoming;
use std::sync::Arc;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};

/// The only kind of domain there is.
const LIBVIRT: &str = "libvirt";

/// Changes domains: a sidecar in the pod of the VM.
#[derive(Clone)]
pub struct DomainPlugin {
    calls: Arc<Calls>,
}

/// Acts on a node: a pod of a DaemonSet.
#[derive(Clone)]
pub struct NodePlugin {
    calls: Arc<Calls>,
}

impl DomainPlugin {
    /// A plugin.
    pub fn new(calls: Arc<Calls>) -> Self {
        Self { calls }
    }
}

impl NodePlugin {
    /// A plugin.
    pub fn new(calls: Arc<Calls>) -> Self {
        Self { calls }
    }
}

impl Services for DomainPlugin {
    fn answer(&self, service: &str, request: hyper::Request<Incoming>) -> Option<Answer> {
        type Server = v1::domain_hook_service_server::DomainHookServiceServer<DomainPlugin>;
        let server = || Server::new(self.clone()).max_decoding_message_size(LARGEST_REQUEST);
        (service == Server::NAME).then(|| server().call(request))
    }
}

impl Services for NodePlugin {
    fn answer(&self, service: &str, request: hyper::Request<Incoming>) -> Option<Answer> {
        type Server = v1::node_hook_service_server::NodeHookServiceServer<NodePlugin>;
        let server = || Server::new(self.clone()).max_decoding_message_size(LARGEST_REQUEST);
        (service == Server::NAME).then(|| server().call(request))
    }
}

#[tonic::async_trait]
impl v1::domain_hook_service_server::DomainHookService for DomainPlugin {
    async fn mutate_domain(
        &self,
        request: Request<v1::MutateDomainRequest>,
    ) -> Result<Response<v1::MutateDomainResponse>, Status> {
        let patience = patience(&request);
        let given = request.into_inner();
        let malformed = |why: String| Status::from(Refusal::Malformed(why));
        if !given.domain_type.is_empty() && given.domain_type != LIBVIRT {
            return Err(malformed(format!("domain_type \"{}\": only {LIBVIRT} is known", given.domain_type)));
        }
        let context = given.sidecar_context.unwrap_or_default().invocation_context;
        let occasion = match context.as_str() {
            "Boot" | "" => Occasion::Boot,
            "MigrationTarget" => Occasion::MigrationTarget,
            "MigrationSource" => Occasion::MigrationSource,
            other => {
                return Err(malformed(format!(
                    "invocation_context \"{other}\": Boot, MigrationTarget and MigrationSource are known"
                )));
            }
        };
        let vmi = Vmi::parse(given.vmi)?;
        let lane = vmi.uid().to_owned();
        let work =
            move |driver: &Driver, cancel: &_| driver.define_domain(&given.domain, &vmi, occasion, cancel);
        let domain = self.calls.run("MutateDomain", lane, patience, work).await?;
        Ok(Response::new(v1::MutateDomainResponse { domain }))
    }
}

#[tonic::async_trait]
impl v1::node_hook_service_server::NodeHookService for NodePlugin {
    async fn execute_node_hook(
        &self,
        request: Request<v1::ExecuteNodeHookRequest>,
    ) -> Result<Response<v1::ExecuteNodeHookResponse>, Status> {
        let patience = patience(&request);
        let given = request.into_inner();
        let Some(point) = NodePoint::named(&given.hook_point) else {
            let known: Vec<&str> = NodePoint::ALL.iter().map(|p| p.name()).collect();
            let why = format!("hookPoint \"{}\": known are {}", given.hook_point, known.join(", "));
            return Err(Refusal::Malformed(why).into());
        };
        let vmi = Vmi::parse(given.vmi)?;
        let node = given.node_context.unwrap_or_default().node_name;
        let lane = vmi.uid().to_owned();
        let work = move |driver: &Driver, cancel: &_| driver.node_event(point, &vmi, &node, cancel);
        self.calls.run(point.name(), lane, patience, work).await?;
        Ok(Response::new(v1::ExecuteNodeHookResponse {}))
    }
}
