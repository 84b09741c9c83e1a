// SPDX-License-Identifier: Apache-2.0
//! Changes of several files, all of them or none.
//!
//! Before anything is touched, a journal names every place. Then each former file gets a second name, each new one is
//! written under a name of its own, and last all are renamed. A failure is undone at once. A process that is killed
//! undoes nothing: the next transaction does, before its own work, because the journal is still there. Once the
//! journal says that it is done, only the second names are left to remove.
//!
//! Changes are made in the order in which they are given, and undone in the opposite one. Names for the time between
//! are such that nobody reads them ([`names`](super::names)).

use super::error::ShelfError;
use super::names::{kept, staged};
use super::root::Root;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::build::{ItemKind, layout::PACKAGES};

/// What is there while packages are being changed, in their directory.
pub const JOURNAL: &str = ".transaction.json";
/// The journal as long as it is written.
const DRAFT: &str = ".transaction.new";
const LOCK: &str = ".lock";

/// One change of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This is there afterwards.
    Put {
        /// The absolute place.
        target: PathBuf,
        /// What.
        what: ItemKind,
    },
    /// Nothing is there afterwards.
    Remove {
        /// The absolute place of a file or link; or of a directory, which goes where it is empty then.
        target: PathBuf,
    },
}

impl Change {
    /// The absolute place.
    pub fn target(&self) -> &Path {
        match self {
            Self::Put { target, .. } | Self::Remove { target } => target,
        }
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Journal {
    done: bool,
    /// Places, each with whether something was there.
    places: Vec<(PathBuf, bool)>,
    /// Directories that were made, outer ones first.
    made: Vec<PathBuf>,
}

/// The right to change the packages of a root. Others wait at the door.
#[derive(Debug)]
pub struct Transaction {
    root: Root,
    home: PathBuf,
    recovered: bool,
    _lock: File,
}

impl Transaction {
    /// Takes the lock and undoes what a killed process left half done.
    ///
    /// # Errors
    /// Another process has it, or the packages directory cannot be made or written.
    pub fn begin(root: &Root) -> Result<Self, ShelfError> {
        Self::begin_watched(root, &mut || ())
    }

    /// As [`Transaction::begin`]; `step` is called after each step of undoing.
    pub(super) fn begin_watched(root: &Root, step: &mut dyn FnMut()) -> Result<Self, ShelfError> {
        let home = root.place(Path::new(PACKAGES))?;
        fs::create_dir_all(&home).map_err(ShelfError::file("make", &home))?;
        // The directory itself may be a link, which only a place below it shows.
        let path = root.place(&Path::new(PACKAGES).join(LOCK))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(ShelfError::file("lock", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ShelfError::Busy(home)),
            Err(TryLockError::Error(e)) => return Err(ShelfError::file("lock", &path)(e)),
        }
        let mut transaction = Self { root: root.clone(), home, recovered: false, _lock: lock };
        transaction.recovered = transaction.recover(step)?;
        Ok(transaction)
    }

    /// Whether an earlier process was interrupted, and its work was undone or ended now.
    pub fn recovered(&self) -> bool {
        self.recovered
    }

    /// Makes the changes.
    ///
    /// # Errors
    /// One of them could not be made; then none is.
    pub fn apply(&self, changes: &[Change]) -> Result<(), ShelfError> {
        self.apply_until(changes, &mut || true)
    }

    /// Makes changes as long as `go_on` says so; then nothing further happens, as if the process were killed.
    pub(super) fn apply_until(
        &self,
        changes: &[Change],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), ShelfError> {
        let places = changes.iter().map(|c| self.root.place(c.target())).collect::<Result<Vec<_>, _>>()?;
        let mut journal = Journal::default();
        for (change, place) in changes.iter().zip(&places) {
            if !is_directory(change, place) {
                journal.places.push((place.clone(), exists(place)));
            }
            if let Change::Put { what, .. } = change {
                let above = if *what == ItemKind::Directory { Some(&**place) } else { place.parent() };
                for dir in missing(above) {
                    if !journal.made.contains(&dir) {
                        journal.made.push(dir);
                    }
                }
            }
        }
        self.write_journal(&journal)?;
        let mut step = || if go_on() { Ok(()) } else { Err(Stopped::Killed) };
        let done = self.work(changes, &places, &mut journal, &mut step);
        match done {
            Ok(()) => {
                self.clean(&journal)?;
                for (change, place) in changes.iter().zip(&places).rev() {
                    if matches!(change, Change::Remove { .. }) {
                        // A directory that somebody else uses stays.
                        let _ = fs::remove_dir(place);
                    }
                }
                Ok(())
            }
            Err(Stopped::Killed) => Ok(()),
            Err(Stopped::Failed(error)) => {
                self.undo(&journal, &mut || ())?;
                Err(error)
            }
        }
    }

    fn work(
        &self,
        changes: &[Change],
        places: &[PathBuf],
        journal: &mut Journal,
        step: &mut dyn FnMut() -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        step()?;
        for dir in &journal.made {
            fs::create_dir(dir).map_err(ShelfError::file("make", dir))?;
            step()?;
        }
        for (place, was_there) in &journal.places {
            if *was_there {
                second_name(place).map_err(ShelfError::file("keep a copy of", place))?;
                step()?;
            }
        }
        for (change, place) in changes.iter().zip(places) {
            if let Change::Put { what, .. } = change {
                write_new(place, what).map_err(ShelfError::file("write", place))?;
                step()?;
            }
        }
        for (change, place) in changes.iter().zip(places) {
            match change {
                Change::Put { what: ItemKind::Directory, .. } => continue,
                Change::Put { .. } => {
                    fs::rename(staged(place), place).map_err(ShelfError::file("write", place))?;
                }
                Change::Remove { .. } if is_directory(change, place) => continue,
                Change::Remove { .. } => match fs::remove_file(place) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(ShelfError::file("remove", place)(e).into());
                    }
                    _ => {}
                },
            }
            step()?;
        }
        settle(&journal.places).map_err(|(dir, e)| ShelfError::file("write", &dir)(e))?;
        journal.done = true;
        self.write_journal(journal)?;
        step()
    }

    /// Undoes or ends what an earlier process began; whether there was something.
    fn recover(&self, step: &mut dyn FnMut()) -> Result<bool, ShelfError> {
        remove_if_there(&self.home.join(DRAFT))?;
        let path = self.home.join(JOURNAL);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(ShelfError::file("read", &path)(e)),
        };
        let journal: Journal = serde_json::from_slice(&text)
            .map_err(|e| ShelfError::Record { path: path.clone(), what: e.to_string() })?;
        // An image is not trusted to name places of the host, and one that was moved names others' places.
        for place in journal.places.iter().map(|(place, _)| place).chain(&journal.made) {
            if !self.root.holds(place) {
                let what = format!(
                    "it names {}, which is not below this root: restore its files by hand and remove it",
                    place.display()
                );
                return Err(ShelfError::Record { path, what });
            }
        }
        if journal.done {
            self.clean(&journal)?;
        } else {
            self.undo(&journal, step)?;
        }
        Ok(true)
    }

    /// Last things first; `step` is called after each.
    fn undo(&self, journal: &Journal, step: &mut dyn FnMut()) -> Result<(), ShelfError> {
        for (place, was_there) in journal.places.iter().rev() {
            remove_if_there(&staged(place))?;
            let old = kept(place);
            if *was_there {
                // Without a second name it was not touched yet.
                if exists(&old) {
                    fs::rename(&old, place).map_err(ShelfError::file("restore", place))?;
                    // Two names of one file: then renaming does nothing.
                    remove_if_there(&old)?;
                }
            } else {
                remove_if_there(place)?;
            }
            step();
        }
        settle(&journal.places).map_err(|(dir, e)| ShelfError::file("write", &dir)(e))?;
        for dir in journal.made.iter().rev() {
            let _ = fs::remove_dir(dir);
        }
        remove_if_there(&self.home.join(JOURNAL))
    }

    fn clean(&self, journal: &Journal) -> Result<(), ShelfError> {
        for (place, _) in &journal.places {
            remove_if_there(&kept(place))?;
        }
        remove_if_there(&self.home.join(JOURNAL))
    }

    fn write_journal(&self, journal: &Journal) -> Result<(), ShelfError> {
        let path = self.home.join(JOURNAL);
        let text = serde_json::to_vec(journal)
            .map_err(|e| ShelfError::Record { path: path.clone(), what: e.to_string() })?;
        // The lock is held: nobody else writes one, and what a killed process left is in the way of nothing.
        let draft = self.home.join(DRAFT);
        let write = || {
            let mut file =
                File::options().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.home)?.sync_all()
        };
        write().map_err(ShelfError::file("write", &path))
    }
}

/// Whether a process that changed the packages in this directory was cut off, and nobody mended it since.
///
/// # Errors
/// The directory cannot be looked at.
pub fn interrupted(packages: &Path) -> Result<bool, ShelfError> {
    let path = packages.join(JOURNAL);
    match path.try_exists() {
        Ok(false) => return Ok(false),
        Ok(true) => {}
        Err(e) => return Err(ShelfError::file("look at", &path)(e)),
    }
    // One that is at it holds the lock, and is done when it lets go.
    let held = File::open(packages.join(LOCK))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
    Ok(!held && path.exists())
}

enum Stopped {
    Killed,
    Failed(ShelfError),
}

impl From<ShelfError> for Stopped {
    fn from(error: ShelfError) -> Self {
        Self::Failed(error)
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether the change is about a directory: those are made and removed by themselves.
fn is_directory(change: &Change, place: &Path) -> bool {
    match change {
        Change::Put { what, .. } => *what == ItemKind::Directory,
        Change::Remove { .. } => place.symlink_metadata().is_ok_and(|m| m.is_dir()),
    }
}

/// Directories to be made so that `dir` is there, outer ones first.
fn missing(dir: Option<&Path>) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> =
        dir.into_iter().flat_map(Path::ancestors).take_while(|a| !a.is_dir()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// Has the disk know what became of the places before it is said to be done.
fn settle(places: &[(PathBuf, bool)]) -> Result<(), (PathBuf, io::Error)> {
    let dirs: BTreeSet<&Path> = places.iter().filter_map(|(place, _)| place.parent()).collect();
    for dir in dirs {
        match File::open(dir).and_then(|d| d.sync_all()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err((dir.to_owned(), e)),
            _ => {}
        }
    }
    Ok(())
}

fn second_name(place: &Path) -> io::Result<()> {
    let old = kept(place);
    match fs::remove_file(&old) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    // Not `hard_link` alone: of a link it would be unclear which of the two gets the name.
    match fs::read_link(place) {
        Ok(to) => symlink(to, old),
        Err(_) => fs::hard_link(place, old),
    }
}

fn write_new(place: &Path, what: &ItemKind) -> io::Result<()> {
    let new = staged(place);
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    match what {
        ItemKind::Directory => Ok(()),
        ItemKind::Link(to) => symlink(to, new),
        ItemKind::File { content, mode } => {
            let mut file = File::options().create_new(true).write(true).mode(0o600).open(&new)?;
            file.write_all(content)?;
            // Whatever the umask.
            file.set_permissions(Permissions::from_mode(*mode))?;
            file.sync_all()
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), ShelfError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(ShelfError::file("remove", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn file(target: &str, content: &str) -> Change {
        let what = ItemKind::File { content: content.into(), mode: 0o755 };
        Change::Put { target: target.into(), what }
    }

    /// Every file, link and directory below the root, but for the lock.
    fn tree(dir: &Path) -> BTreeMap<String, String> {
        fn walk(dir: &Path, top: &Path, all: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(top).unwrap().display().to_string();
                let metadata = path.symlink_metadata().unwrap();
                let text = if metadata.is_symlink() {
                    format!("-> {}", fs::read_link(&path).unwrap().display())
                } else if metadata.is_dir() {
                    walk(&path, top, all);
                    "/".to_owned()
                } else {
                    format!(
                        "{:o} {}",
                        metadata.permissions().mode() & 0o7777,
                        fs::read_to_string(&path).unwrap()
                    )
                };
                if !name.ends_with(LOCK) {
                    all.insert(name, text);
                }
            }
        }
        let mut all = BTreeMap::new();
        walk(dir, dir, &mut all);
        all
    }

    fn host() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path()).unwrap();
        let first = Transaction::begin(&root).unwrap();
        first.apply(&[file("/hooks/p/50_a", "old a"), file("/share/a", "old")]).unwrap();
        first
            .apply(&[Change::Put { target: "/hooks/p/60_b".into(), what: ItemKind::Link("50_a".into()) }])
            .unwrap();
        drop(first);
        (dir, root)
    }

    fn changes() -> Vec<Change> {
        vec![
            Change::Put { target: "/hooks/q".into(), what: ItemKind::Directory },
            file("/hooks/q/10_new", "new"),
            file("/hooks/p/50_a", "new a"),
            Change::Remove { target: "/hooks/p/60_b".into() },
            Change::Remove { target: "/share/a".into() },
            Change::Remove { target: "/share".into() },
        ]
    }

    #[test]
    fn all_changes_are_made_and_nothing_else_is_left() {
        let (dir, root) = host();
        Transaction::begin(&root).unwrap().apply(&changes()).unwrap();
        let after = tree(dir.path());
        assert_eq!(after["hooks/p/50_a"], "755 new a");
        assert_eq!(after["hooks/q/10_new"], "755 new");
        let names: Vec<&str> = after.keys().map(String::as_str).filter(|n| !n.starts_with("usr")).collect();
        assert_eq!(names, ["hooks", "hooks/p", "hooks/p/50_a", "hooks/q", "hooks/q/10_new"]);
    }

    #[test]
    fn killed_at_any_step_the_former_state_comes_back_or_the_new_one_stays() {
        let (dir, root) = host();
        let before = tree(dir.path());
        let mut steps = 0_usize;
        Transaction::begin(&root)
            .unwrap()
            .apply_until(&changes(), &mut || {
                steps += 1;
                true
            })
            .unwrap();
        let after = tree(dir.path());
        assert!(steps > 10, "{steps}");
        let mut is_new = Vec::new();
        for killed_at in 0..steps {
            let (dir, root) = host();
            let mut left = killed_at;
            let mut go_on = || {
                left = left.wrapping_sub(1);
                left != usize::MAX
            };
            Transaction::begin(&root).unwrap().apply_until(&changes(), &mut go_on).unwrap();
            drop(Transaction::begin(&root).unwrap());
            let mut now = tree(dir.path());
            if now != before {
                // Empty by then; a directory that nobody needs harms nobody.
                now.remove("share");
                assert_eq!(now, after, "killed after {killed_at} steps");
            }
            is_new.push(now != before);
        }
        assert!(!is_new[0] && is_new[steps - 1] && is_new.is_sorted(), "{is_new:?}");
    }

    #[test]
    fn a_failure_leaves_the_former_state() {
        let (dir, root) = host();
        let before = tree(dir.path());
        fs::create_dir(dir.path().join("taken")).unwrap();
        // A directory cannot be replaced by a file.
        let mut all = changes();
        all.push(file("/taken", "x"));
        let said = Transaction::begin(&root).unwrap().apply(&all).unwrap_err().to_string();
        assert!(said.contains("taken"), "{said}");
        fs::remove_dir(dir.path().join("taken")).unwrap();
        assert_eq!(tree(dir.path()), before);
    }

    #[test]
    fn one_at_a_time() {
        let (_dir, root) = host();
        let held = Transaction::begin(&root).unwrap();
        assert!(matches!(Transaction::begin(&root), Err(ShelfError::Busy(_))));
        drop(held);
        Transaction::begin(&root).unwrap();
    }

    #[test]
    fn a_journal_of_an_image_does_not_reach_the_host() {
        let (dir, root) = host();
        let outside = tempfile::tempdir().unwrap();
        let file = outside.path().join("file");
        fs::write(&file, "host").unwrap();
        let home = dir.path().join(PACKAGES.trim_start_matches('/'));
        for place in [file.clone(), root.place(Path::new("/x")).unwrap().join("..").join("..").join("y")] {
            let journal = Journal { places: vec![(place, false)], ..Journal::default() };
            fs::write(home.join(JOURNAL), serde_json::to_vec(&journal).unwrap()).unwrap();
            let said = Transaction::begin(&root).unwrap_err().to_string();
            assert!(said.contains("not below this root"), "{said}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "host");
    }
}
