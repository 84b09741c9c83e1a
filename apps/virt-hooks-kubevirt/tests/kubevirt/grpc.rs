// SPDX-License-Identifier: Apache-2.0
//! gRPC as grpc-go speaks it over a Unix socket: a new connection for each call, authority `localhost`.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// What grpc-go receives at most, as KubeVirt leaves it.
pub const RECEIVED: usize = 4 << 20;

pub const INVALID_ARGUMENT: u32 = 3;
pub const DEADLINE_EXCEEDED: u32 = 4;
pub const RESOURCE_EXHAUSTED: u32 = 8;
pub const FAILED_PRECONDITION: u32 = 9;
pub const UNIMPLEMENTED: u32 = 12;
pub const UNAVAILABLE: u32 = 14;

/// What a call came to, where not to an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// Nobody is there.
    Dial,
    /// The client's own deadline.
    Late,
    /// The connection broke off.
    Broken(String),
    /// A status.
    Status(u32, String),
}

impl Failed {
    pub fn status(&self) -> (u32, &str) {
        match self {
            Self::Status(code, message) => (*code, message),
            other => panic!("no status: {other:?}"),
        }
    }
}

/// One call, from another thread's point of view a plain function.
pub fn call<A: Message + Default>(
    socket: &Path,
    method: &str,
    request: &impl Message,
    deadline: Duration,
) -> Result<A, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match tokio::time::timeout(deadline, ask(socket, method, request, Some(deadline))).await {
            Ok(done) => done,
            Err(_) => Err(Failed::Late),
        }
    })
}

pub async fn call_async<A: Message + Default>(
    socket: &Path,
    method: &str,
    request: &impl Message,
) -> Result<A, Failed> {
    ask(socket, method, request, None).await
}

async fn ask<A: Message + Default>(
    socket: &Path,
    method: &str,
    request: &impl Message,
    deadline: Option<Duration>,
) -> Result<A, Failed> {
    let broken = |e: hyper::Error| Failed::Broken(format!("{e:?}"));
    let stream = UnixStream::connect(socket).await.map_err(|_| Failed::Dial)?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(broken)?;
    let driven = tokio::spawn(connection);
    let message = request.encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let mut post = hyper::Request::post(format!("http://localhost/{method}"));
    if let Some(deadline) = deadline {
        // As grpc-go does.
        post = post.header("grpc-timeout", format!("{}m", deadline.as_millis()));
    }
    let request = post
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = sender.send_request(request).await.map_err(broken)?;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(broken)?;
    let status = status(&head.headers).or_else(|| body.trailers().and_then(status));
    let (code, text) = status.expect("a gRPC answer ends with a status");
    driven.abort();
    if code != 0 {
        return Err(Failed::Status(code, text));
    }
    let bytes = body.to_bytes();
    assert!(bytes.len() <= RECEIVED, "grpc-go would refuse {} bytes", bytes.len());
    assert_eq!(bytes[0], 0, "not compressed");
    assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
    Ok(A::decode(&bytes[5..]).unwrap())
}

fn status(headers: &HeaderMap) -> Option<(u32, String)> {
    let code = headers.get("grpc-status")?.to_str().unwrap().parse().unwrap();
    let raw = headers.get("grpc-message").map_or("", |m| m.to_str().unwrap());
    assert!(raw.len() < 8 << 10, "a header of {} bytes", raw.len());
    Some((code, percent_decoded(raw)))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap()
}
