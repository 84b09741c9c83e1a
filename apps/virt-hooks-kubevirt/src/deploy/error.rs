// SPDX-License-Identifier: Apache-2.0
//! Why there are no manifests.

use std::path::PathBuf;
use virt_hooks_package::build::BuildError;

/// What is wrong, in one line.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// No package was chosen.
    #[error(
        "no hooks were chosen: name packages of the image with --hook, or give directories with --package"
    )]
    Nothing,
    /// A package that is not there.
    #[error("no hook package \"{name}\" in {}: --package takes the directory of one", dir.display())]
    Unknown {
        /// Its name.
        name: String,
        /// Where packages of the image are described.
        dir: PathBuf,
    },
    /// A package whose manifest cannot be followed.
    #[error("{0}")]
    Manifest(String),
    /// A package that cannot be laid out.
    #[error("package {}: {source}", dir.display())]
    Package {
        /// Its directory.
        dir: PathBuf,
        /// Why.
        source: BuildError,
    },
    /// A package that says that it does not work in a cluster.
    #[error("package {name} cannot be used in a cluster: {why}")]
    NotPortable {
        /// The package.
        name: String,
        /// Its manifest's note.
        why: String,
    },
    /// A package that is not for where it was put.
    #[error("package {name}: {why}")]
    Misfit {
        /// The package.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A file that cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// More than a ConfigMap holds.
    #[error("package {name} has {size} bytes, and a ConfigMap holds {limit}: put it into an image")]
    TooLarge {
        /// The package.
        name: String,
        /// Its size.
        size: usize,
        /// What a ConfigMap holds.
        limit: usize,
    },
    /// A name that Kubernetes does not take.
    #[error("{what} \"{name}\": {why}")]
    Name {
        /// What it was to name.
        what: &'static str,
        /// The name.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// A socket that KubeVirt does not take.
    #[error("socket {}: {why}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Which rule it breaks.
        why: String,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Contradiction(&'static str),
    /// An object cannot be written.
    #[error("write an object: {0}")]
    Write(#[from] serde_json::Error),
}
