// SPDX-License-Identifier: Apache-2.0
//! A hooks directory of its own for hooks that are not installed: what is tried and tested is run as it will be run.

use crate::author::{Code, PackageDir};
use rustix::fs::StatVfsMountFlags;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use virt_hooks_engine::{MANIFEST, Settings};

/// What is larger is linked to, not copied.
const SMALL: u64 = 1 << 20;

/// A temporary hooks directory; gone when it is dropped.
#[derive(Debug)]
pub struct Stage {
    dir: TempDir,
}

/// Why a hook cannot be set up to run.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// No place for temporary files.
    #[error("make a temporary directory in {}: {source}", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the package cannot be copied.
    #[error("copy {}: {source}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Its file is not executable.
    #[error("{} is not executable: chmod 755 it", .0.display())]
    NotExecutable(PathBuf),
    /// There is no file for a point.
    #[error("{} is missing, the hook for {point}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The point.
        point: String,
    },
    /// Two files for one point.
    #[error("{} and {} could both be the hook at {point}: name one as source", one.display(), other.display())]
    Ambiguous {
        /// One file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
        /// The point.
        point: String,
    },
    /// A file outside of the package.
    #[error(
        "source \"{0}\" of {1} is not a file of the package: name one without \"/\" in front and without \"..\""
    )]
    Outside(String, String),
    /// It has to be built first.
    #[error("{} is not built yet: run {how}", path.display())]
    NotBuilt {
        /// What building makes.
        path: PathBuf,
        /// The command.
        how: &'static str,
    },
    /// Its source is here, what runs is built elsewhere.
    #[error("{} is a source: give the executable built from it with --program FILE", .0.display())]
    NeedsProgram(PathBuf),
}

impl Stage {
    /// An empty one, where files may be executed.
    ///
    /// # Errors
    /// No place for temporary files.
    pub fn new() -> Result<Self, StageError> {
        let place = place();
        let make = |source| StageError::Make { path: place.clone(), source };
        let dir = tempfile::Builder::new().prefix("virt-hooks-").tempdir_in(&place).map_err(make)?;
        // Hooks may run as another user.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).map_err(make)?;
        for name in ["hooks", "packages"] {
            fs::create_dir(dir.path().join(name)).map_err(make)?;
        }
        Ok(Self { dir })
    }

    /// The directory itself, for what else belongs to a run.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `settings` with this as the only layer and the only packages.
    pub fn settings(&self, settings: &Settings) -> Settings {
        Settings {
            layers: vec![self.path().join("hooks")],
            packages_dir: Some(self.path().join("packages")),
            run_dir: self.path().join("run"),
            ..settings.clone()
        }
    }

    /// Puts all hooks of a package there, with its helper files beside them. `program` is what runs where a package
    /// has sources only: it is called by the name of the hook, as an executable with several hooks in it is.
    ///
    /// # Errors
    /// A hook is missing, not built, or cannot be executed.
    pub fn add_package(&self, package: &PackageDir, program: Option<&Path>) -> Result<(), StageError> {
        let described = self.path().join("packages").join(&package.manifest.name);
        make_dir(&described)?;
        copy(&package.dir.join(MANIFEST), &described.join(MANIFEST), 0o644)?;
        let helpers = package.helpers();
        for point in &package.manifest.point {
            let file = match (package.code(point), program) {
                (Code::Runs(path), _) => path,
                (Code::Source(_) | Code::NotBuilt(..), Some(program)) => program.to_owned(),
                (Code::Source(path), None) => return Err(StageError::NeedsProgram(path)),
                (Code::NotBuilt(path, how), None) => return Err(StageError::NotBuilt { path, how }),
                (Code::Missing(path), _) => {
                    return Err(StageError::Missing { path, point: point.name.clone() });
                }
                (Code::Ambiguous(one, other), _) => {
                    return Err(StageError::Ambiguous { one, other, point: point.name.clone() });
                }
                (Code::Outside(source), _) => return Err(StageError::Outside(source, point.name.clone())),
            };
            self.add_hook(&file, &point.name, &point.file, &helpers)?;
        }
        Ok(())
    }

    /// Puts one hook there, as `<point>/<name>`, with `helpers` beside it.
    ///
    /// # Errors
    /// It cannot be executed, or a file cannot be copied.
    pub fn add_hook(
        &self,
        file: &Path,
        point: &str,
        name: &str,
        helpers: &[PathBuf],
    ) -> Result<(), StageError> {
        let meta = fs::metadata(file).map_err(|source| StageError::Copy { path: file.to_owned(), source })?;
        if !meta.is_file() || meta.mode() & 0o111 == 0 {
            return Err(StageError::NotExecutable(file.to_owned()));
        }
        let dir = self.path().join("hooks").join(point);
        make_dir(&dir)?;
        let to = dir.join(name);
        if meta.size() <= SMALL {
            copy(file, &to, 0o755)?;
        } else {
            let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            symlink(&whole, &to).map_err(|source| StageError::Copy { path: file.to_owned(), source })?;
        }
        for helper in helpers {
            let Some(name) = helper.file_name() else { continue };
            let to = dir.join(name);
            if !to.exists() {
                // Executable it would be a hook.
                copy(helper, &to, 0o644)?;
            }
        }
        Ok(())
    }
}

/// Where temporary files may be executed: hardened hosts forbid it in `/tmp`.
fn place() -> PathBuf {
    let executes =
        |dir: &PathBuf| rustix::fs::statvfs(dir).is_ok_and(|s| !s.f_flag.contains(StatVfsMountFlags::NOEXEC));
    let usual = std::env::temp_dir();
    let others = [PathBuf::from("/var/tmp"), PathBuf::from("/run")];
    if executes(&usual) {
        return usual;
    }
    others.into_iter().find(executes).unwrap_or(usual)
}

fn make_dir(dir: &Path) -> Result<(), StageError> {
    fs::create_dir_all(dir).map_err(|source| StageError::Make { path: dir.to_owned(), source })
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), StageError> {
    fs::copy(from, to)
        .and_then(|_| fs::set_permissions(to, Permissions::from_mode(mode)))
        .map_err(|source| StageError::Copy { path: from.to_owned(), source })
}
