// SPDX-License-Identifier: Apache-2.0
//! Connections: HTTP/2 in clear text, as KubeVirt speaks it over a Unix socket.

use super::calls::Calls;
use super::socket::{Published, SocketError, Staged};
use crate::log;
use crate::wire::{Services, route};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

/// How long after a refused accept the next is tried: the process is out of descriptors.
const BREATHE: Duration = Duration::from_millis(50);
/// How long answers may take to leave, once all calls have ended.
const FLUSH: Duration = Duration::from_secs(2);

/// Why sockets cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel gives no descriptor, or no thread.
    #[error("serve: {0}")]
    System(#[from] io::Error),
}

/// Serves each socket until calls are stopped; then lets those that run end, and removes the sockets.
///
/// # Errors
/// A socket cannot be made. Once all are published it serves, whatever happens.
pub async fn serve(
    calls: Arc<Calls>,
    sockets: Vec<(Staged, Arc<dyn Services>)>,
    published: impl FnOnce(&[Published]),
) -> Result<(), ServeError> {
    // Held by each connection: all are over when nobody holds it.
    let (open, mut over) = mpsc::channel::<()>(1);
    let mut names = Vec::new();
    for (staged, services) in sockets {
        let (listener, unpublished) = staged.listen()?;
        tokio::spawn(accept(listener, services, calls.stopping(), open.clone()));
        // Whoever sees the name is answered.
        names.push(unpublished.publish()?);
    }
    published(&names);
    drop(open);
    let _ = calls.stopping().wait_for(|stop| *stop).await;
    // No new ones: the name is gone before the connections are.
    drop(names);
    let _ = tokio::time::timeout(calls.grace() + FLUSH, over.recv()).await;
    Ok(())
}

async fn accept(
    listener: UnixListener,
    services: Arc<dyn Services>,
    mut stop: watch::Receiver<bool>,
    open: mpsc::Sender<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&services), stop.clone(), open.clone()));
            }
            Err(e) => {
                log::say(&format!("warning: accept a connection: {e}"));
                tokio::time::sleep(BREATHE).await;
            }
        }
    }
}

async fn connection(
    stream: UnixStream,
    services: Arc<dyn Services>,
    mut stop: watch::Receiver<bool>,
    open: mpsc::Sender<()>,
) {
    let service = service_fn(move |request| route(&*services, request));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // A peer that breaks off, or does not speak HTTP/2, harms only itself.
    let is_over = tokio::select! {
        _ = connection.as_mut() => true,
        _ = stop.wait_for(|stop| *stop) => false,
    };
    if !is_over {
        connection.as_mut().graceful_shutdown();
        let _ = connection.as_mut().await;
    }
    drop(open);
}
