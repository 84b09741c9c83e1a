// SPDX-License-Identifier: Apache-2.0
//! A hook package as its author has it: a directory with a manifest and a file for each hook point.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use virt_hooks_contract::{Manifest, ManifestPoint, TomlError};
use virt_hooks_engine::{MANIFEST, is_backup};

/// Extensions of files that have to be built before they run.
const BUILT_FROM: &[&str] = &["rs", "go", "c"];
/// The source of a package whose points share one.
const SHARED: &str = "hook.rs";

/// A package's directory.
#[derive(Clone, Debug)]
pub struct PackageDir {
    /// The directory.
    pub dir: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// Why a directory cannot be taken for a package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It is no directory, or has no manifest.
    #[error("{} is no hook package: it has no {MANIFEST}; \"virt-hooks new hook\" makes one", .0.display())]
    NoManifest(PathBuf),
    /// The manifest cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The manifest has a mistake in it.
    #[error(transparent)]
    Manifest(#[from] TomlError),
}

/// What a hook of a package is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// A file that runs as it is.
    Runs(PathBuf),
    /// A file to build it from; what is installed is built elsewhere, and has to be named.
    Source(PathBuf),
    /// The manifest names a file that has to be built, and has not been; and the command that builds it, as far as
    /// the files beside it tell.
    NotBuilt(PathBuf, &'static str),
    /// There is no file for it.
    Missing(PathBuf),
    /// These could both be it.
    Ambiguous(PathBuf, PathBuf),
    /// The manifest names a file outside of the package.
    Outside(String),
}

impl PackageDir {
    /// Reads a package's manifest.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it has a mistake in it.
    pub fn load(dir: &Path) -> Result<Self, PackageError> {
        let path = dir.join(MANIFEST);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(PackageError::NoManifest(dir.to_owned()));
            }
            Err(source) => return Err(PackageError::Read { path, source }),
        };
        Ok(Self { dir: dir.to_owned(), manifest: Manifest::parse(&path.to_string_lossy(), &text)? })
    }

    /// As [`code`], in this directory.
    pub fn code(&self, point: &ManifestPoint) -> Code {
        code(&self.dir, point)
    }

    /// The entries of the directory, by name.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files(&self.dir)
    }

    /// Files that hooks may read or import: neither hooks, nor what is installed elsewhere, nor what is only read
    /// by people and tools.
    pub fn helpers(&self) -> Vec<PathBuf> {
        let hooks: Vec<PathBuf> = self
            .manifest
            .point
            .iter()
            .filter_map(|p| match self.code(p) {
                Code::Runs(path) | Code::Source(path) => Some(path),
                _ => None,
            })
            .collect();
        let elsewhere = |path: &PathBuf| self.manifest.file.iter().any(|f| self.dir.join(&f.source) == *path);
        self.files()
            .into_iter()
            .filter(|path| {
                path.is_file() && !hooks.contains(path) && !elsewhere(path) && !is_for_people(path)
            })
            .collect()
    }
}

/// What the hook at a point is made of, in a package's directory: the file its manifest names; else the one named after
/// the point, with any extension, where what is built goes before its source; else `hook.rs`, which several points share.
pub fn code(dir: &Path, point: &ManifestPoint) -> Code {
    if let Some(source) = &point.source {
        let inside = Path::new(source).components().all(|c| matches!(c, Component::Normal(_)));
        if !inside || source.is_empty() {
            return Code::Outside(source.clone());
        }
        let path = dir.join(source);
        return match build_command(dir) {
            _ if path.is_file() => code_of(path),
            Some(command) => Code::NotBuilt(path, command),
            None => Code::Missing(path),
        };
    }
    let is_source = |path: &&PathBuf| matches!(code_of((*path).clone()), Code::Source(_));
    let named = named(dir, &point.name);
    let mut runs = named.iter().filter(|p| !is_source(p));
    match (runs.next(), runs.next()) {
        (Some(one), Some(other)) => Code::Ambiguous(one.clone(), other.clone()),
        (Some(one), None) => Code::Runs(one.clone()),
        (None, _) => {
            let shared = Some(dir.join(SHARED)).filter(|path| path.is_file());
            let source = named.into_iter().next().or(shared);
            source.map_or_else(|| Code::Missing(dir.join(&point.name)), Code::Source)
        }
    }
}

fn build_command(dir: &Path) -> Option<&'static str> {
    if dir.join("Cargo.toml").is_file() {
        Some("make, or cargo build --release, as its README says")
    } else if dir.join("go.mod").is_file() {
        Some("make, or go build, as its README says")
    } else {
        dir.join("Makefile").is_file().then_some("make")
    }
}

/// The regular files of this name, with an extension or without.
fn named(dir: &Path, name: &str) -> Vec<PathBuf> {
    let fits = |file: &PathBuf| {
        let whole = file.file_name().unwrap_or_default();
        let parts = whole.to_string_lossy();
        parts.split('.').next() == Some(name)
            && file.extension().is_none_or(|e| e != "md")
            && !is_backup(whole.as_bytes())
            && file.is_file()
    };
    files(dir).into_iter().filter(fits).collect()
}

/// The entries of a directory, by name.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    files
}

/// Files of a package's directory that no hook asks for.
fn is_for_people(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    name == MANIFEST
        || name.starts_with('.')
        || BUILT_FROM.contains(&extension)
        || matches!(extension, "md" | "mod" | "sum" | "lock")
        || matches!(name, "Makefile" | "Cargo.toml" | "LICENSE" | "COPYING")
}

fn code_of(path: PathBuf) -> Code {
    let built = path.extension().and_then(OsStr::to_str).is_some_and(|e| BUILT_FROM.contains(&e));
    if built { Code::Source(path) } else { Code::Runs(path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn package(points: &str, files: &[&str]) -> (tempfile::TempDir, PackageDir) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = format!(
            "manifest = 1\nname = \"a\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n{points}"
        );
        fs::write(dir.path().join(MANIFEST), manifest).unwrap();
        for file in files {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let package = PackageDir::load(dir.path()).unwrap();
        (dir, package)
    }

    const START: &str = "[[point]]\nname = \"before_vm_start\"\norder = 50\n";

    fn code(points: &str, files: &[&str]) -> Code {
        let (dir, package) = package(points, files);
        let short = |p: PathBuf| p.strip_prefix(dir.path()).unwrap().to_owned();
        match package.code(&package.manifest.point[0]) {
            Code::Runs(p) => Code::Runs(short(p)),
            Code::Source(p) => Code::Source(short(p)),
            Code::NotBuilt(p, how) => Code::NotBuilt(short(p), how),
            Code::Missing(p) => Code::Missing(short(p)),
            Code::Ambiguous(a, b) => Code::Ambiguous(short(a), short(b)),
            outside @ Code::Outside(_) => outside,
        }
    }

    #[test]
    fn a_hook_is_the_file_named_after_its_point() {
        assert_eq!(code(START, &["before_vm_start.py"]), Code::Runs("before_vm_start.py".into()));
        assert_eq!(code(START, &["before_vm_start.rs"]), Code::Source("before_vm_start.rs".into()));
        assert_eq!(code(START, &["hook.rs"]), Code::Source("hook.rs".into()));
        assert_eq!(
            code(START, &["before_vm_start", "before_vm_start.rs"]),
            Code::Runs("before_vm_start".into())
        );
        assert_eq!(
            code(START, &["before_vm_start.py", "before_vm_start.sh"]),
            Code::Ambiguous("before_vm_start.py".into(), "before_vm_start.sh".into())
        );
        assert_eq!(code(START, &["before_vm_start.sh~", "hook.md"]), Code::Missing("before_vm_start".into()));
    }

    #[test]
    fn or_the_one_its_manifest_names() {
        let named = |source: &str| format!("{START}source = \"{source}\"\n");
        assert_eq!(code(&named("x"), &["x", "before_vm_start"]), Code::Runs("x".into()));
        assert_eq!(code(&named("x"), &[]), Code::Missing("x".into()));
        assert!(matches!(code(&named("x"), &["Cargo.toml"]), Code::NotBuilt(p, _) if p == Path::new("x")));
        for outside in ["../x", "/bin/true", "a/../../x", ""] {
            assert_eq!(code(&named(outside), &[]), Code::Outside(outside.into()));
        }
    }

    #[test]
    fn helpers_are_what_is_left() {
        let (dir, package) = package(
            START,
            &[
                "before_vm_start.py",
                "shared.py",
                "table.csv",
                "README.md",
                "Makefile",
                ".gitignore",
                "old.rs",
            ],
        );
        let names = [dir.path().join("shared.py"), dir.path().join("table.csv")];
        assert_eq!(package.helpers(), names);
    }

    #[test]
    fn what_is_no_package_is_said() {
        let said = PackageDir::load(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(said.starts_with("/nonexistent is no hook package"), "{said}");
        assert!(matches!(PackageDir::load(Path::new("/etc/passwd")), Err(PackageError::NoManifest(_))));
    }
}
