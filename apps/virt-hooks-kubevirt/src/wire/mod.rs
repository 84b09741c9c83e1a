// SPDX-License-Identifier: Apache-2.0
//! Protocols: one module for each family of services. A new family, or one that is renamed, is a new module here
//! and a line in its server's [`Services`].

mod legacy;
mod plugins;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::uninlined_format_args,
    clippy::redundant_closure_for_method_calls,
    reason = "made from proto/, see tests/protocol.rs"
)]
mod generated {
    #[rustfmt::skip]
    pub(super) mod info;
    #[rustfmt::skip]
    pub(super) mod plugins_v1alpha1;
    #[rustfmt::skip]
    pub(super) mod v1alpha1;
    #[rustfmt::skip]
    pub(super) mod v1alpha2;
    #[rustfmt::skip]
    pub(super) mod v1alpha3;
}

pub use legacy::{Legacy, Version};
pub use plugins::{DomainPlugin, NodePlugin};

use crate::core::Refusal;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use tonic::body::Body;
use tonic::{Code, Status};

/// What a request may have in all: KubeVirt limits what it receives, not what it sends, and a domain that fits
/// comes with its VMI.
pub(crate) const LARGEST_REQUEST: usize = 16 << 20;

/// An answer under way.
pub type Answer = Pin<Box<dyn Future<Output = Result<hyper::Response<Body>, Infallible>> + Send>>;

/// The services behind one socket.
pub trait Services: Send + Sync + 'static {
    /// Answers a request for a method of `service` (package and name); `None`: there is no such service.
    fn answer(&self, service: &str, request: hyper::Request<Incoming>) -> Option<Answer>;
}

/// Answers a request.
pub(crate) fn route(services: &dyn Services, request: hyper::Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    services.answer(service, request).unwrap_or_else(|| {
        let status = Status::unimplemented(format!("no service \"{}\" here", service.escape_debug()));
        Box::pin(async move { Ok(status.into_http()) })
    })
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::Malformed(_) => Code::InvalidArgument,
            Refusal::Veto(_) => Code::FailedPrecondition,
            Refusal::Deadline(_) => Code::DeadlineExceeded,
            Refusal::Stopping(_) => Code::Unavailable,
            Refusal::TooLarge(_) => Code::ResourceExhausted,
            Refusal::Trouble(_) => Code::Internal,
        };
        Self::new(code, refusal.message())
    }
}
