// SPDX-License-Identifier: Apache-2.0
//! The chosen hook packages: those in the image, and those that travel.

use super::error::DeployError;
use crate::core::NodePoint;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Manifest, Scope, Support};
use virt_hooks_engine::Packages;
use virt_hooks_package::build::layout::Package;

/// Points that are fired in the pod of a VM.
const IN_THE_POD: [&str; 2] = ["before_device_create", "before_vm_start"];
/// The point of `PreCloudInitIso`, which sidecars alone have.
const CLOUD_INIT: &str = "kubevirt_pre_cloud_init_iso";

/// A package that was chosen.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) package: Package,
    /// Whether it is in the image.
    pub(super) in_image: bool,
}

/// The chosen packages.
#[derive(Clone, Debug, Default)]
pub struct Choice(Vec<Chosen>);

impl Choice {
    /// Packages of the image, by name, which `described` has the manifests of, and others by their directories.
    ///
    /// # Errors
    /// One is not there, has a mistake in it, is there twice, or says that it does not work in a cluster.
    pub fn find(
        in_image: &[String],
        described: Option<&Path>,
        travelling: &[PathBuf],
    ) -> Result<Self, DeployError> {
        let dir = described.unwrap_or(Path::new(""));
        let (known, problems) = Packages::new(described.map(Path::to_owned)).all();
        let mut chosen = Vec::new();
        for name in in_image {
            let Some(package) = known.iter().find(|p| p.name() == name) else {
                // A spoilt manifest is likely to be the one that is missed.
                return Err(match problems.iter().find(|p| p.contains(name.as_str())) {
                    Some(problem) => DeployError::Manifest(problem.clone()),
                    None => DeployError::Unknown { name: name.clone(), dir: dir.to_owned() },
                });
            };
            let package = Package { dir: package.dir.clone(), manifest: package.manifest.clone() };
            chosen.push(Chosen { package, in_image: true });
        }
        for dir in travelling {
            let package =
                Package::open(dir).map_err(|source| DeployError::Package { dir: dir.clone(), source })?;
            chosen.push(Chosen { package, in_image: false });
        }
        let mut names = BTreeSet::new();
        for Chosen { package, .. } in &chosen {
            let Manifest { name, portability, .. } = &package.manifest;
            if !names.insert(name.clone()) {
                let why = "it was chosen twice".to_owned();
                return Err(DeployError::Misfit { name: name.clone(), why });
            }
            if portability.kubevirt == Some(Support::No) {
                let note = portability.note.as_deref().unwrap_or("its manifest says so");
                let why = note.split_whitespace().collect::<Vec<_>>().join(" ");
                return Err(DeployError::NotPortable { name: name.clone(), why });
            }
        }
        Ok(Self(chosen))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Chosen> {
        self.0.iter()
    }

    /// Whether one has a hook that changes the domain.
    pub(super) fn has_domain_hooks(&self) -> bool {
        self.points().any(|point| IN_THE_POD.contains(&point))
    }

    pub(super) fn has_cloud_init_hooks(&self) -> bool {
        self.points().any(|point| point == CLOUD_INIT)
    }

    /// Those that have a hook in the pod of a VM.
    pub(super) fn in_the_pod(&self) -> Vec<&Chosen> {
        let any = |c: &&Chosen| c.points().any(|p| IN_THE_POD.contains(&p) || p == CLOUD_INIT);
        self.0.iter().filter(any).collect()
    }

    /// Those that have a hook of the node that is permitted.
    pub(super) fn on_the_node(&self, permitted: &[NodePoint]) -> Vec<&Chosen> {
        let any = |c: &&Chosen| c.points().any(|p| permitted.iter().any(|n| n.hook_point() == p));
        self.0.iter().filter(any).collect()
    }

    /// The points of the node that one has a hook for, in KubeVirt's order.
    pub(super) fn node_points(&self) -> Vec<NodePoint> {
        NodePoint::ALL.into_iter().filter(|n| self.points().any(|p| p == n.hook_point())).collect()
    }

    /// What will not happen, in a line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for chosen in &self.0 {
            let manifest = &chosen.package.manifest;
            for point in chosen.points() {
                let fired = IN_THE_POD.contains(&point)
                    || point == CLOUD_INIT
                    || NodePoint::ALL.iter().any(|n| n.hook_point() == point);
                if !fired {
                    warnings.push(format!("{}: nothing in a cluster fires {point}", manifest.name));
                }
            }
            if manifest.portability.kubevirt == Some(Support::Care)
                && let Some(note) = &manifest.portability.note
            {
                let note = note.split_whitespace().collect::<Vec<_>>().join(" ");
                warnings.push(format!("{}: {note}", manifest.name));
            }
            if manifest.property.iter().all(|p| p.scope == Scope::Network) && !manifest.property.is_empty() {
                warnings.push(format!("{}: its properties are of networks, which no VM has", manifest.name));
            }
        }
        warnings
    }

    fn points(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(Chosen::points)
    }
}

impl Chosen {
    pub(super) fn name(&self) -> &str {
        &self.package.manifest.name
    }

    fn points(&self) -> impl Iterator<Item = &str> {
        self.package.manifest.point.iter().map(|p| p.name.as_str())
    }
}
