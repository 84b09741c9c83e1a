// SPDX-License-Identifier: Apache-2.0
//! Which files of a hook package go where on a host: the one place that decides it.
//!
//! * hooks: `/usr/libexec/vdsm/hooks/<point>/<file>`, mode 0755, VDSM's path
//! * files of the manifest: where it says, with its mode; rules of sudo always with 0440
//! * manifest, `README.md`, licence, `cases/` and `tests/`: `/usr/share/virt-hooks/packages/<name>/`
//!
//! Everything belongs to root. A hook written in Rust and bundled is a link to the executable of all of these.

use super::error::BuildError;
use super::source::SourceDir;
use super::target;
pub use super::target::{HOOKS, check as check_target};
use crate::author::{Code, code};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Manifest, ManifestPoint, is_point_name};
pub use virt_hooks_engine::MANIFEST;

/// Where packages keep their manifests.
pub const PACKAGES: &str = "/usr/share/virt-hooks/packages";
/// From a hook point's directory to the executable of the bundled hooks.
const BUNDLED: &str = "../../../virt-hooks/virt-hooks-bundled";
/// Documents that are taken along where they are there.
const DOCUMENTS: &[&str] = &["README.md", "LICENSE", "COPYING"];
/// Directories with cases.
const CASES: &[&str] = &["cases", "tests"];

/// What a hook whose source is Rust is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RustHooks {
    /// Not something to install: it is to be compiled, and the manifest to name what comes out.
    #[default]
    Refused,
    /// One of `virt-hooks-bundled`: a link to it.
    Bundled,
}

/// A hook package as its author keeps it.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its directory.
    pub dir: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// Something to be put on a host. Its owner is root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, absolute.
    pub target: PathBuf,
    /// What is there.
    pub what: What,
    /// What it is for.
    pub role: Role,
}

/// What is put at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A directory, mode 0755.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it leads, relative to its directory.
        to: PathBuf,
    },
    /// A regular file.
    File {
        /// The file that has its content.
        source: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A directory.
    Directory,
    /// A hook.
    Hook,
    /// A file that the manifest names.
    File,
    /// The same below `/etc`: a change of the administrator's is kept.
    Configuration,
    /// The manifest.
    Manifest,
    /// A document for people.
    Document,
    /// The licence's text.
    Licence,
    /// Part of a recorded case.
    Case,
}

impl Package {
    /// Reads a package's manifest.
    ///
    /// # Errors
    /// There is none, or there is a mistake in it.
    pub fn open(dir: &Path) -> Result<Self, BuildError> {
        let file = dir.join(MANIFEST);
        let text = fs::read_to_string(&file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound if dir.is_dir() => BuildError::NoManifest(dir.to_owned()),
            _ => BuildError::file("read", &file)(e),
        })?;
        let manifest = Manifest::parse(&file.to_string_lossy(), &text)?;
        Ok(Self { dir: dir.to_owned(), manifest })
    }
}

/// Where a hook goes.
pub fn hook_place(point: &ManifestPoint) -> PathBuf {
    Path::new(HOOKS).join(&point.name).join(&point.file)
}

/// Whether a link leads to the bundled hooks.
pub fn is_bundled(link: &Path) -> bool {
    link == Path::new(BUNDLED)
}

/// Where everything of `package` goes, directories before what is in them, sorted by place. Nothing is written, and
/// of files only what they are is looked at.
///
/// # Errors
/// A file is missing or lies outside of the package, a place is not one for files of hooks, or there are two files
/// for one place.
pub fn plan(package: &Package, rust: RustHooks) -> Result<Vec<Entry>, BuildError> {
    let manifest = &package.manifest;
    let source = SourceDir::open(&package.dir)?;
    let home = Path::new(PACKAGES).join(&manifest.name);
    let mut plan = Plan(BTreeMap::new());
    for point in &manifest.point {
        let target = hook_place(point);
        if !is_point_name(&point.name) {
            let what = format!(
                "\"{}\" cannot name a hook point; \"virt-hooks points\" lists those there are",
                point.name.escape_debug()
            );
            return Err(BuildError::Target {
                target: target.display().to_string().escape_debug().to_string(),
                what,
            });
        }
        let (from, what) = hook(&source, &package.dir, point, rust)?;
        plan.add(Entry { target, what, role: Role::Hook }, &from)?;
    }
    for file in &manifest.file {
        let mode = u32::from_str_radix(&file.mode, 8).map_err(|_| BuildError::Target {
            target: file.target.clone(),
            what: format!("the mode \"{}\" is not an octal number, such as 0644", file.mode.escape_debug()),
        })?;
        let (target, mode) = target::check(&file.target, mode, &home)?;
        let role = if target.starts_with("/etc") { Role::Configuration } else { Role::File };
        let what = What::File { source: source.file(&file.source)?, mode };
        plan.add(Entry { target, what, role }, &file.source)?;
    }
    let document = |name: &str, role| {
        let what = What::File { source: source.file(name)?, mode: 0o644 };
        Ok::<_, BuildError>(Entry { target: home.join(name), what, role })
    };
    plan.add(document(MANIFEST, Role::Manifest)?, MANIFEST)?;
    for name in DOCUMENTS.iter().filter(|n| source.has(n)) {
        let role = if *name == "README.md" { Role::Document } else { Role::Licence };
        plan.add(document(name, role)?, name)?;
    }
    for name in CASES.iter().filter(|n| source.has(n)) {
        for found in source.tree(name)? {
            let target = home.join(&found.relative);
            let from = found.relative.display().to_string();
            if found.is_dir {
                plan.directory(&target);
            } else {
                let mode = if found.executable { 0o755 } else { 0o644 };
                // By the rule that installing it goes by: what is made can be installed.
                target::check(&target.to_string_lossy(), mode, &home).map_err(|e| BuildError::Source {
                    file: found.relative.clone(),
                    what: format!("cannot be installed, call it otherwise: {e}"),
                })?;
                plan.add(
                    Entry { target, what: What::File { source: found.path, mode }, role: Role::Case },
                    &from,
                )?;
            }
        }
    }
    plan.with_directories()
}

/// The file of a hook, and what is put on a host for it; which file that is, [`code`] says.
fn hook(
    source: &SourceDir,
    dir: &Path,
    point: &ManifestPoint,
    rust: RustHooks,
) -> Result<(String, What), BuildError> {
    let name = |path: &Path| path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned();
    let wrong = |path: &Path, what: String| BuildError::Source { file: PathBuf::from(name(path)), what };
    match code(dir, point) {
        Code::Runs(path) => {
            let name = name(&path);
            let source = source.file(&name)?;
            Ok((name, What::File { source, mode: 0o755 }))
        }
        Code::Source(path) => {
            let name = name(&path);
            source.file(&name)?;
            let is_rust = path.extension().is_some_and(|e| e == "rs");
            match rust {
                RustHooks::Bundled if is_rust => Ok((name, What::Link { to: PathBuf::from(BUNDLED) })),
                _ => Err(wrong(
                    &path,
                    "is a source: build it, and name the executable as source of the point".into(),
                )),
            }
        }
        Code::NotBuilt(path, how) => Err(wrong(&path, format!("is not built yet: run {how}"))),
        // It says what a name has to be.
        Code::Outside(name) => source.file(&name).map(|source| (name, What::File { source, mode: 0o755 })),
        Code::Missing(path) if point.source.is_some() => {
            let name = name(&path);
            source.file(&name).map(|source| (name, What::File { source, mode: 0o755 }))
        }
        Code::Missing(path) => {
            let what = format!(
                "is missing, the hook at {}: put the file there, or name another as source",
                point.name
            );
            Err(wrong(&path, what))
        }
        Code::Ambiguous(one, other) => {
            let what =
                format!("and {} could both be the hook at {}: name one as source", name(&other), point.name);
            Err(wrong(&one, what))
        }
    }
}

/// Entries by place, each with where it comes from.
struct Plan(BTreeMap<PathBuf, (Entry, String)>);

impl Plan {
    fn add(&mut self, entry: Entry, from: &str) -> Result<(), BuildError> {
        if let Some((_, first)) = self.0.get(&entry.target) {
            let (first, second) = (first.clone(), from.to_owned());
            return Err(BuildError::Twice { target: entry.target, first, second });
        }
        self.0.insert(entry.target.clone(), (entry, from.to_owned()));
        Ok(())
    }

    fn directory(&mut self, target: &Path) {
        let entry = Entry { target: target.to_owned(), what: What::Directory, role: Role::Directory };
        self.0.entry(target.to_owned()).or_insert((entry, "a directory".to_owned()));
    }

    /// Adds the directories that a host without virt-hooks lacks, and orders everything.
    fn with_directories(mut self) -> Result<Vec<Entry>, BuildError> {
        let places: Vec<PathBuf> = self.0.keys().cloned().collect();
        for place in places {
            for dir in place.ancestors().skip(1).take_while(|d| is_ours(d)) {
                self.directory(dir);
            }
        }
        let entries: Vec<(Entry, String)> = self.0.into_values().collect();
        for pair in entries.windows(2) {
            let [(above, first), (below, second)] = pair else { continue };
            if above.what != What::Directory && below.target.starts_with(&above.target) {
                let (first, second) = (first.clone(), second.clone());
                return Err(BuildError::Twice { target: above.target.clone(), first, second });
            }
        }
        Ok(entries.into_iter().map(|(entry, _)| entry).collect())
    }
}

/// Directories that no package of a distribution has.
fn is_ours(dir: &Path) -> bool {
    dir.starts_with("/usr/share/virt-hooks")
        || (dir.starts_with("/usr/libexec") && dir != Path::new("/usr/libexec"))
}
