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
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Request, Status};

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

/// How long whoever asks waits for an answer, where it says so (gRPC over HTTP/2, `grpc-timeout`): KubeVirt does,
/// and the time a plugin has can be set there.
pub(crate) fn patience<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| (1..=8).contains(&digits.len()))?;
    Some(match unit {
        "H" => Duration::from_secs(number.checked_mul(3600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_client_waits() {
        let waits = |text: &str| {
            let mut request = Request::new(());
            request.metadata_mut().insert("grpc-timeout", text.parse().unwrap());
            patience(&request)
        };
        assert_eq!(patience(&Request::new(())), None);
        assert_eq!(waits("59999m"), Some(Duration::from_millis(59_999)));
        assert_eq!(waits("1M"), Some(Duration::from_secs(60)));
        assert_eq!(waits("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(waits("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for odd in ["", "m", "5", "5x", "-5m", "123456789m", "5.5S", "5é"] {
            let mut request = Request::new(());
            let Ok(value) = tonic::metadata::MetadataValue::try_from(odd) else { continue };
            request.metadata_mut().insert("grpc-timeout", value);
            assert_eq!(patience(&request), None, "{odd}");
        }
    }
}
