// SPDX-License-Identifier: Apache-2.0
//! `sidecar` and `plugin`: from a command line to sockets that are served.

use crate::cli::{Plugin, Serving, Sidecar};
use crate::core::{Driver, Places, Shim};
use crate::log;
use crate::serve::{Calls, HIDDEN, Published, Staged, serve};
use crate::wire::{DomainPlugin, Legacy, NodePlugin, Services, Version};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use virt_hooks::cli::Locations;
use virt_hooks::{Environ, Failure, Interrupt};

const STATE_DIR: &str = "VIRT_HOOKS_STATE_DIR";
const HOOKS_DIR: &str = "VIRT_HOOKS_HOOKS_DIR";

fn unusable(e: impl std::fmt::Display) -> Failure {
    Failure::unusable(e.to_string())
}

/// Serves virt-launcher.
pub(crate) fn sidecar(sidecar: &Sidecar, locations: &Locations, environ: &Environ) -> Result<(), Failure> {
    // Before anything that takes time: TERM may come at once.
    let interrupt = Interrupt::listen()?;
    let shim = sidecar.shim_dir.as_deref().map(Shim::find).transpose().map_err(unusable)?;
    let only_shim = shim.is_some();
    let state = state_dir(locations, environ, &sidecar.socket_dir);
    let driver = driver(locations, environ, &sidecar.serving, state, shim, only_shim)?;
    let driver = driver.with_cloud_init(sidecar.cloud_init);
    let domain = driver.has_domain_hooks().map_err(unusable)?;
    let cloud_init = driver.has_cloud_init_hooks().map_err(unusable)?;
    if !domain && !cloud_init {
        log::say(
            "warning: no hooks at before_vm_start or before_device_create: KubeVirt will not ask; restart after they are installed",
        );
    }
    let versions = sidecar.version.map_or_else(|| Version::ALL.to_vec(), |version| vec![version]);
    let staged = Staged::in_directory(&sidecar.socket_dir).map_err(unusable)?;
    run(driver, &sidecar.serving, sidecar.budget, &interrupt, |calls| {
        let services: Arc<dyn Services> = Arc::new(Legacy::new(calls, versions, domain, cloud_init));
        vec![(staged, services)]
    })
}

/// Serves plugins.
pub(crate) fn plugin(plugin: &Plugin, locations: &Locations, environ: &Environ) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let place = plugin.domain_socket.as_deref().or(plugin.node_socket.as_deref());
    let dir = place.and_then(Path::parent).unwrap_or(Path::new("."));
    let state = state_dir(locations, environ, dir);
    let driver = driver(locations, environ, &plugin.serving, state, None, false)?;
    let staged = |path: &Option<PathBuf>| path.as_deref().map(Staged::at).transpose().map_err(unusable);
    let (domain, node) = (staged(&plugin.domain_socket)?, staged(&plugin.node_socket)?);
    run(driver, &plugin.serving, plugin.budget, &interrupt, |calls| {
        let mut sockets: Vec<(Staged, Arc<dyn Services>)> = Vec::new();
        sockets.extend(domain.map(|s| (s, Arc::new(DomainPlugin::new(Arc::clone(&calls))) as _)));
        sockets.extend(node.map(|s| (s, Arc::new(NodePlugin::new(calls)) as _)));
        sockets
    })
}

/// What must outlive a container: where it was said, or beside the socket, in a directory KubeVirt passes over.
fn state_dir(locations: &Locations, environ: &Environ, sockets: &Path) -> PathBuf {
    let variable = environ.variable(STATE_DIR).filter(|v| !v.is_empty()).map(PathBuf::from);
    let dir = locations.state_dir.clone().or(variable).unwrap_or_else(|| sockets.join(HIDDEN));
    std::path::absolute(&dir).unwrap_or(dir)
}

fn driver(
    locations: &Locations,
    environ: &Environ,
    serving: &Serving,
    state: PathBuf,
    shim: Option<Shim>,
    only_shim: bool,
) -> Result<Driver, Failure> {
    let mut host = locations.host(environ)?;
    for warning in &host.warnings {
        log::say(&format!("warning: {warning}"));
    }
    let named =
        !locations.hooks_dirs.is_empty() || environ.variable(HOOKS_DIR).is_some_and(|v| !v.is_empty());
    if named || !only_shim {
        host.check_layers()?;
    }
    if let Some(dir) = &serving.packages_dir {
        if !dir.is_dir() {
            return Err(Failure::usage(format!("packages directory {} does not exist", dir.display())));
        }
        host.settings.packages_dir = Some(std::path::absolute(dir).unwrap_or_else(|_| dir.clone()));
    }
    let driver = Driver::new(host, &Places { state: Some(state) }, shim).map_err(unusable)?;
    if !driver.declares_properties() {
        log::say("no hook package declares a property: no annotation is given to hooks");
    }
    Ok(driver)
}

/// Serves until asked to end.
fn run(
    driver: Driver,
    serving: &Serving,
    budget: Duration,
    interrupt: &Interrupt,
    sockets: impl FnOnce(Arc<Calls>) -> Vec<(Staged, Arc<dyn Services>)>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // As many as may run; the queue is ours.
        .max_blocking_threads(serving.at_once.get().saturating_add(1))
        .thread_name("hooks")
        .build()
        .map_err(|e| Failure::unusable(format!("start the server: {e}")))?;
    let served = runtime.block_on(async {
        let calls = Calls::new(Arc::new(driver), serving.at_once, budget);
        let signal = watched(interrupt).map_err(|e| Failure::unusable(format!("wait for signals: {e}")))?;
        let stopper = Arc::clone(&calls);
        tokio::spawn(async move {
            // An error means that no signal can be waited for any more: better to end than never to.
            let _ = signal.readable().await;
            log::say("asked to end");
            stopper.stop();
        });
        let sockets = sockets(Arc::clone(&calls));
        let published = |published: &[Published]| {
            for socket in published {
                log::say(&format!("serving {}", socket.path().display()));
            }
        };
        serve(calls, sockets, published).await.map_err(unusable)
    });
    // A hook that hangs in the kernel must not keep us: its group got KILL.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

/// What the runtime can wait for; `interrupt` has to outlive it.
fn watched(interrupt: &Interrupt) -> std::io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(interrupt.as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
