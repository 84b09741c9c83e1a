// SPDX-License-Identifier: Apache-2.0
//! Hook sidecars: `kubevirt.hooks.info` and `kubevirt.hooks.v1alpha1` to `v1alpha3` (KubeVirt up to 1.9, and
//! deprecated there).

use super::generated::{info, v1alpha1, v1alpha2, v1alpha3};
use super::{Answer, LARGEST_REQUEST, Services, patience};
use crate::core::{CloudInit, Occasion, Vmi};
use crate::log;
use crate::serve::Calls;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};

/// A version of the callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Version {
    /// OnDefineDomain.
    V1alpha1,
    /// And PreCloudInitIso.
    V1alpha2,
    /// And Shutdown.
    V1alpha3,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V1alpha1, Self::V1alpha2, Self::V1alpha3];

    /// KubeVirt's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1alpha1 => "v1alpha1",
            Self::V1alpha2 => "v1alpha2",
            Self::V1alpha3 => "v1alpha3",
        }
    }
}

/// A hook sidecar.
#[derive(Clone)]
pub struct Legacy {
    calls: Arc<Calls>,
    versions: Vec<Version>,
    /// What Info says: found out before anybody asks.
    info: Arc<info::InfoResult>,
}

impl Legacy {
    /// A sidecar that speaks these versions. `domain` and `cloud_init`: whether there are hooks for it.
    pub fn new(calls: Arc<Calls>, versions: Vec<Version>, domain: bool, cloud_init: bool) -> Self {
        let newest = versions.iter().max().copied();
        let points = [
            ("OnDefineDomain", domain),
            ("PreCloudInitIso", cloud_init && newest >= Some(Version::V1alpha2)),
            // Without it the pod stays behind after a migration and blocks the next one.
            ("Shutdown", newest >= Some(Version::V1alpha3)),
        ];
        let info = info::InfoResult {
            name: "virt-hooks".to_owned(),
            versions: versions.iter().map(|v| v.name().to_owned()).collect(),
            hook_points: points
                .into_iter()
                .filter(|(_, has)| *has)
                .map(|(name, _)| info::HookPoint { name: name.to_owned(), priority: 0 })
                .collect(),
        };
        Self { calls, versions, info: Arc::new(info) }
    }

    async fn domain(
        &self,
        domain: Vec<u8>,
        vmi: Vec<u8>,
        patience: Option<Duration>,
    ) -> Result<Vec<u8>, Status> {
        let vmi = Vmi::parse(vmi)?;
        let lane = vmi.uid().to_owned();
        let work = move |driver: &crate::core::Driver, cancel: &_| {
            driver.define_domain(&domain, &vmi, Occasion::Boot, cancel)
        };
        Ok(self.calls.run("OnDefineDomain", lane, patience, work).await?)
    }

    async fn cloud_init(
        &self,
        given: CloudInit,
        vmi: Vec<u8>,
        patience: Option<Duration>,
    ) -> Result<CloudInit, Status> {
        let vmi = Vmi::parse(vmi);
        let lane = vmi.as_ref().map_or(String::new(), |v| v.uid().to_owned());
        let work =
            move |driver: &crate::core::Driver, cancel: &_| driver.pre_cloud_init_iso(given, vmi, cancel);
        Ok(self.calls.run("PreCloudInitIso", lane, patience, work).await?)
    }
}

impl Services for Legacy {
    fn answer(&self, service: &str, request: hyper::Request<Incoming>) -> Option<Answer> {
        let speaks = |version| self.versions.contains(&version);
        macro_rules! serve {
            ($server:ty) => {
                Some(<$server>::new(self.clone()).max_decoding_message_size(LARGEST_REQUEST).call(request))
            };
        }
        type InfoServer = info::info_server::InfoServer<Legacy>;
        type V1 = v1alpha1::callbacks_server::CallbacksServer<Legacy>;
        type V2 = v1alpha2::callbacks_server::CallbacksServer<Legacy>;
        type V3 = v1alpha3::callbacks_server::CallbacksServer<Legacy>;
        match service {
            InfoServer::NAME => serve!(InfoServer),
            V1::NAME if speaks(Version::V1alpha1) => serve!(V1),
            V2::NAME if speaks(Version::V1alpha2) => serve!(V2),
            V3::NAME if speaks(Version::V1alpha3) => serve!(V3),
            _ => None,
        }
    }
}

#[tonic::async_trait]
impl info::info_server::Info for Legacy {
    async fn info(&self, _: Request<info::InfoParams>) -> Result<Response<info::InfoResult>, Status> {
        Ok(Response::new((*self.info).clone()))
    }
}

/// The messages of the versions are the same, but other types. The attribute has to see whole functions, so the
/// macro makes whole implementations.
macro_rules! callbacks {
    ($v:ident, define $(, $cloud_init:ident $(, $shutdown:ident)?)?) => {
        #[tonic::async_trait]
        impl $v::callbacks_server::Callbacks for Legacy {
            async fn on_define_domain(
                &self,
                request: Request<$v::OnDefineDomainParams>,
            ) -> Result<Response<$v::OnDefineDomainResult>, Status> {
                let patience = patience(&request);
                let given = request.into_inner();
                let domain_xml = self.domain(given.domain_xml, given.vmi, patience).await?;
                Ok(Response::new($v::OnDefineDomainResult { domain_xml }))
            }
            $(
                async fn $cloud_init(
                    &self,
                    request: Request<$v::PreCloudInitIsoParams>,
                ) -> Result<Response<$v::PreCloudInitIsoResult>, Status> {
                    let patience = patience(&request);
                    let given = request.into_inner();
                    let data =
                        CloudInit { no_cloud: given.cloud_init_no_cloud_source, data: given.cloud_init_data };
                    let left = self.cloud_init(data, given.vmi, patience).await?;
                    Ok(Response::new($v::PreCloudInitIsoResult {
                        cloud_init_no_cloud_source: left.no_cloud,
                        cloud_init_data: left.data,
                    }))
                }
                $(
                    async fn $shutdown(
                        &self,
                        _: Request<$v::ShutdownParams>,
                    ) -> Result<Response<$v::ShutdownResult>, Status> {
                        log::say("asked to shut down");
                        // The answer is given before the connection ends.
                        self.calls.stop();
                        Ok(Response::new($v::ShutdownResult {}))
                    }
                )?
            )?
        }
    };
}

callbacks!(v1alpha1, define);
callbacks!(v1alpha2, define, pre_cloud_init_iso);
callbacks!(v1alpha3, define, pre_cloud_init_iso, shutdown);
