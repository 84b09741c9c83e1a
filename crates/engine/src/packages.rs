// SPDX-License-Identifier: Apache-2.0
//! The hook packages installed on a host: what their manifests say of the hooks that discovery finds.
//!
//! A hook's manifest is the one that names its point and file name, in whichever layer the file lies. Manifests are
//! read when an event has hooks and again when their files changed; which of them are parsed depends on what is
//! asked, because a command that fires one event must not pay for all packages of a host.

use crate::discover::Hook;
use crate::file_state::FileState;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use virt_hooks_contract::{Condition, Manifest, ManifestPoint, ManifestProperty, ValueCheck};

/// The file of a package's directory that describes it.
pub const MANIFEST: &str = "hook.toml";

/// An installed hook package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its directory below the packages directory.
    pub dir: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    pub(crate) condition: Option<Condition>,
    checks: Vec<ValueCheck>,
}

impl Package {
    fn read(dir: &Path, text: &str) -> Result<Self, String> {
        let file = dir.join(MANIFEST);
        let manifest = Manifest::parse(&file.to_string_lossy(), text).map_err(|e| e.to_string())?;
        if dir.file_name().is_some_and(|name| name != manifest.name.as_str()) {
            return Err(format!(
                "{}: the package is called {}, and its directory is not: rename one of them",
                file.display(),
                manifest.name
            ));
        }
        let odd = |said: String| format!("{}: {said}", file.display());
        let condition =
            manifest.when.as_ref().map(virt_hooks_contract::When::compile).transpose().map_err(odd)?;
        let checks =
            manifest.property.iter().map(ManifestProperty::check).collect::<Result<_, _>>().map_err(odd)?;
        Ok(Self { dir: dir.to_owned(), manifest, condition, checks })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// What is wrong with the value of one of its properties, in one line; `None` where it is allowed or none of its.
    pub fn objection(&self, property: &str, value: &[u8]) -> Option<String> {
        let at = self.manifest.property.iter().position(|p| p.name == property)?;
        self.manifest.property[at].objection(self.checks.get(at)?, value)
    }
}

/// A package is what its manifest says, wherever it was read.
impl PartialEq for Package {
    fn eq(&self, other: &Self) -> bool {
        self.dir == other.dir && self.manifest == other.manifest
    }
}

impl Eq for Package {}

/// A hook as its package describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The package.
    pub package: Arc<Package>,
    at: usize,
}

impl Described {
    /// What the manifest says of this hook.
    pub fn point(&self) -> Option<&ManifestPoint> {
        self.package.manifest.point.get(self.at)
    }
}

/// The packages directory of a host, remembered as long as its files stay the same.
#[derive(Debug, Default)]
pub struct Packages {
    dir: Option<PathBuf>,
    known: RwLock<Arc<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// `None`: look again.
    state: Option<FileState>,
    entries: Vec<Entry>,
    unreadable: Option<String>,
    /// What was found in them already: every event asks the same.
    by_point: RwLock<HashMap<String, Arc<Found>>>,
    secrets: OnceLock<Arc<BTreeSet<String>>>,
}

/// Packages, and what could not be read, in a line each.
type Found = (Vec<Arc<Package>>, Vec<String>);

#[derive(Debug)]
struct Entry {
    dir: PathBuf,
    file: PathBuf,
    state: Option<FileState>,
    text: Result<String, String>,
    package: OnceLock<Result<Arc<Package>, String>>,
}

impl Packages {
    /// The packages in `dir`, which need not exist; `None`: there are none.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, known: RwLock::default() }
    }

    /// The directory.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// All packages, by the names of their directories, and what could not be read, in a line each.
    pub fn all(&self) -> Found {
        self.now().those_that_say(|_| true)
    }

    /// What packages say of the hooks of a point; what cannot be followed goes to `problems`, in a line each.
    pub(crate) fn describe(&self, point: &str, hooks: &mut [Hook], problems: &mut Vec<String>) {
        if hooks.is_empty() {
            return;
        }
        let found = self.now().at(point);
        let (packages, unread) = &*found;
        problems.extend(unread.iter().cloned());
        for hook in hooks {
            let mut all = packages.iter().filter_map(|package| {
                let its = |p: &ManifestPoint| p.name == point && hook.name() == p.file.as_str();
                Some(Described { package: package.clone(), at: package.manifest.point.iter().position(its)? })
            });
            let first = all.next();
            if let (Some(first), Some(second)) = (&first, all.next()) {
                problems.push(format!(
                    "{point}/{} belongs to two packages, {} and {}: the first is followed",
                    hook.name().display(),
                    first.package.name(),
                    second.package.name(),
                ));
            }
            hook.package = first;
        }
    }

    /// The names of all properties that packages declare as secrets, as of the last time packages were looked at.
    pub(crate) fn secrets(&self) -> Arc<BTreeSet<String>> {
        self.known().secrets()
    }

    /// The names of all declared properties, as of the last time packages were looked at.
    pub(crate) fn declared(&self) -> BTreeSet<String> {
        let (packages, _) = self.known().those_that_say(|_| true);
        packages.iter().flat_map(|p| &p.manifest.property).map(|p| p.name.clone()).collect()
    }

    fn known(&self) -> Arc<Shelf> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn now(&self) -> Arc<Shelf> {
        let known = self.known();
        let Some(dir) = &self.dir else { return known };
        let Ok(stat) = rustix::fs::stat(dir) else {
            // Missing, which is common, or unreadable, which reading it will tell.
            return self.keep(Shelf::read(dir, None));
        };
        let now = Some(FileState::of(&stat));
        let same = |entry: &Entry| state_of(&entry.file) == entry.state;
        if now == known.state && known.entries.iter().all(same) {
            return known;
        }
        self.keep(Shelf::read(dir, now))
    }

    fn keep(&self, shelf: Shelf) -> Arc<Shelf> {
        let shelf = Arc::new(shelf);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = shelf.clone();
        shelf
    }
}

impl Shelf {
    /// The packages whose manifests name a point.
    fn at(&self, point: &str) -> Arc<Found> {
        if let Some(found) = self.by_point.read().unwrap_or_else(PoisonError::into_inner).get(point) {
            return found.clone();
        }
        let found = Arc::new(self.those_that_say(|text| text.contains(point)));
        let mut known = self.by_point.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(point.to_owned(), found.clone());
        found
    }

    fn secrets(&self) -> Arc<BTreeSet<String>> {
        let read = || {
            let (packages, _) = self.those_that_say(|text| text.contains("secret"));
            let all = packages.iter().flat_map(|p| &p.manifest.property);
            Arc::new(all.filter(|p| p.secret).map(|p| p.name.clone()).collect())
        };
        self.secrets.get_or_init(read).clone()
    }

    /// The packages whose manifests have such a text, and what could not be read.
    fn those_that_say(&self, wanted: impl Fn(&str) -> bool) -> Found {
        let (mut packages, mut problems) = (Vec::new(), Vec::from_iter(self.unreadable.clone()));
        for entry in &self.entries {
            match &entry.text {
                // An escape may write any name.
                Ok(text) if !text.is_empty() && (wanted(text) || text.contains('\\')) => {
                    match entry.package.get_or_init(|| Package::read(&entry.dir, text).map(Arc::new)) {
                        Ok(package) => packages.push(package.clone()),
                        Err(problem) => problems.push(problem.clone()),
                    }
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem.clone()),
            }
        }
        (packages, problems)
    }

    fn read(dir: &Path, now: Option<FileState>) -> Self {
        let names = match names(dir) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(e) => {
                let unreadable = Some(format!("read the hook packages in {}: {e}", dir.display()));
                return Self { unreadable, ..Self::default() };
            }
        };
        let entries = names.into_iter().map(|name| Entry::read(dir, name)).collect::<Vec<_>>();
        let settled = now.is_some_and(FileState::is_settled)
            && entries.iter().all(|e| e.state.is_none_or(FileState::is_settled));
        Self { state: now.filter(|_| settled), entries, ..Self::default() }
    }
}

impl Entry {
    fn read(dir: &Path, name: OsString) -> Self {
        let dir = dir.join(name);
        let file = dir.join(MANIFEST);
        let state = state_of(&file);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => Ok(text),
            // A package without a manifest has none to follow.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(format!("read {}: {e}", file.display())),
        };
        Self { dir, file, state, text, package: OnceLock::new() }
    }
}

fn state_of(file: &Path) -> Option<FileState> {
    rustix::fs::statat(CWD, file, AtFlags::empty()).ok().map(|s| FileState::of(&s))
}

/// The sub-directories, by name. Hidden ones are packages on their way in or out.
fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let fd = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_dir = rustix::fs::statat(fd.as_fd(), entry.file_name(), AtFlags::empty())
            .is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir());
        if is_dir && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}
