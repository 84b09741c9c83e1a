// SPDX-License-Identifier: Apache-2.0
//! `manifests`: what a cluster is given.

use crate::cli::{Admission, Manifests, OnFailure, PullPolicy, Style};
use crate::deploy::{self, Choice, DeployError, FailureStrategy, Request};
use crate::log;
use std::io::{ErrorKind, Write};
use virt_hooks::cli::Locations;
use virt_hooks::{Environ, Failure, render};

impl From<DeployError> for Failure {
    fn from(e: DeployError) -> Self {
        match e {
            DeployError::Read { .. }
            | DeployError::Write(_)
            | DeployError::TooLarge { .. }
            | DeployError::Manifest(_)
            | DeployError::Package { .. } => Self::unusable(e.to_string()),
            _ => Self::usage(e.to_string()),
        }
    }
}

pub(crate) fn print(asked: &Manifests, locations: &Locations, environ: &Environ) -> Result<(), Failure> {
    let described = match &asked.packages_dir {
        Some(dir) if !dir.is_dir() => {
            return Err(Failure::usage(format!("packages directory {} does not exist", dir.display())));
        }
        Some(dir) => Some(dir.clone()),
        None => locations.host(environ)?.settings.packages_dir,
    };
    let request = Request {
        style: match asked.style {
            Style::Plugin => deploy::Style::Plugin,
            Style::Sidecar => deploy::Style::Sidecar,
            Style::Annotation => deploy::Style::Annotation,
        },
        name: asked.name.clone(),
        namespace: asked.namespace.clone(),
        vm_namespaces: asked.vm_namespaces.clone(),
        image: asked.image.clone(),
        pull_policy: asked.pull_policy.map(|policy| {
            let name = match policy {
                PullPolicy::Always => "Always",
                PullPolicy::IfNotPresent => "IfNotPresent",
                PullPolicy::Never => "Never",
            };
            name.to_owned()
        }),
        choice: Choice::find(&asked.hooks, described.as_deref(), &asked.packages)?,
        domain_socket: asked.domain_socket.clone(),
        node_socket: asked.node_socket.clone(),
        permitted: asked.permitted.clone(),
        failure: match asked.failure_strategy {
            OnFailure::Fail => FailureStrategy::Fail,
            OnFailure::Ignore => FailureStrategy::Ignore,
        },
        timeout: asked.timeout,
        condition: asked.condition.clone(),
        only_annotated: asked.only_annotated,
        admission: match asked.admission {
            Admission::V1 => "v1".to_owned(),
            Admission::V1beta1 => "v1beta1".to_owned(),
        },
        cpu: asked.cpu.clone(),
        memory: asked.memory.clone(),
    };
    let out = if request.style == deploy::Style::Annotation {
        deploy::annotation(&request)? + "\n"
    } else {
        let (objects, warnings) = deploy::objects(&request)?;
        for warning in warnings {
            log::say(&format!("warning: {warning}"));
        }
        objects.iter().map(|object| format!("---\n{}", render::yaml(object))).collect()
    };
    match std::io::stdout().write_all(out.as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::unusable(format!("write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}
