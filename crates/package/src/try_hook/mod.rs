// SPDX-License-Identifier: Apache-2.0
//! Sets one hook up to be tried: alone, in a directory of its own, by the engine that runs it on a host.

mod schema;
mod vm;

pub use schema::{Validity, validate};
pub use vm::vm_xml;

use crate::author::{PackageDir, PackageError};
use crate::stage::{Stage, StageError};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use virt_hooks_contract::Point;
use virt_hooks_engine::{Engine, MANIFEST, Settings, is_backup};

/// A hook that is set up to be tried; its files are gone when it is dropped.
pub struct Trial {
    /// Runs the hook, and no other.
    pub engine: Engine,
    // Holds the hook as long as the engine may run it.
    _stage: Stage,
}

/// Why a hook cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// Neither a file nor a directory.
    #[error("{} does not exist: give a hook's file, or a package's directory", .0.display())]
    Missing(PathBuf),
    /// The package cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The hook cannot be set up to run.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The package has nothing at this point.
    #[error("{package} has no hook at {point}: it has some at {has}")]
    NoHookThere {
        /// The package.
        package: String,
        /// The point.
        point: String,
        /// The points where it has.
        has: String,
    },
}

impl Trial {
    /// Sets up `target`, a hook's file or a package's directory, at `point`. `program` is what runs where a package
    /// has sources only.
    ///
    /// # Errors
    /// There is no such hook, or it cannot be executed.
    pub fn prepare(
        target: &Path,
        point: &Point,
        program: Option<&Path>,
        settings: &Settings,
    ) -> Result<Self, TryError> {
        let meta = fs::metadata(target).map_err(|_| TryError::Missing(target.to_owned()))?;
        let stage = Stage::new()?;
        if meta.is_dir() {
            let package = PackageDir::load(target)?;
            let points = &package.manifest.point;
            if !points.iter().any(|p| p.name == point.name) {
                return Err(TryError::NoHookThere {
                    package: package.manifest.name.clone(),
                    point: point.name.to_string(),
                    has: points.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
                });
            }
            stage.add_package(&package, program)?;
        } else {
            let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
            stage.add_hook(target, &point.name, &name, &beside(target))?;
        }
        Ok(Self { engine: Engine::new(stage.settings(settings)), _stage: stage })
    }
}

/// What lies beside a hook and is no hook itself: it may read or import it.
fn beside(hook: &Path) -> Vec<PathBuf> {
    let dir = hook.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_helper = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 == 0 && m.size() < 1 << 20)
            && name != MANIFEST.as_bytes()
            && !name.starts_with(b".")
            && !is_backup(name)
    };
    let entries = fs::read_dir(dir).map(|e| e.filter_map(|e| Some(e.ok()?.path())).collect::<Vec<_>>());
    entries.unwrap_or_default().into_iter().filter(is_helper).collect()
}
