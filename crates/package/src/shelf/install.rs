// SPDX-License-Identifier: Apache-2.0
//! What installing and removing a package would change.

use super::error::ShelfError;
use super::names::{beside_new, beside_saved};
use super::record::{Kept, RECORD, Record};
use super::root::Root;
use super::sequence::in_turn;
use super::transaction::Change;
use crate::build::layout::{PACKAGES, Role};
use crate::build::{Item, ItemKind, Scripts, scripts, units};
use crate::sudoers::{self, Looked};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use virt_hooks_contract::{Manifest, check_name, nearest};
use virt_hooks_engine::{Package, Packages, find_cycle};

/// A package on a host.
#[derive(Clone, Debug)]
pub struct Installed {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its directory, where it lies now.
    pub home: PathBuf,
    /// What was installed; `None` where nobody wrote it down.
    pub record: Option<Record>,
}

/// What is to be done for a package.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub package: String,
    /// Its version; of a removed one the former.
    pub version: String,
    /// The version that is there now.
    pub former: Option<String>,
    /// The changes; none where everything is as it should be.
    pub changes: Vec<Change>,
    /// What people should know, in a line each.
    pub notes: Vec<String>,
    /// What is to be run for units, users and rules of udev that come or stay, on a host and not in an image.
    pub scripts: Scripts,
    /// What is to be done for those that go.
    pub leaving: Leaving,
}

/// What is to be done for files that go.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// Units that are to be stopped, and not started any more.
    pub units: Vec<String>,
    /// What is to be run before and after, with "0" as the number of packages.
    pub scripts: Scripts,
}

impl Leaving {
    fn of<'a>(targets: impl Iterator<Item = &'a PathBuf>) -> Self {
        // Where a file lies says what it is.
        let any = ItemKind::File { content: Vec::new(), mode: 0o644 };
        let items: Vec<Item> =
            targets.map(|t| Item { target: t.clone(), kind: any.clone(), role: Role::File }).collect();
        Self { units: units(&items), scripts: scripts(&items) }
    }
}

/// The packages below `root`, by name, and what could not be read, in a line each.
///
/// # Errors
/// The packages directory leads out of the root, or a record cannot be understood.
pub fn installed(root: &Root) -> Result<(Vec<Installed>, Vec<String>), ShelfError> {
    let (packages, problems) = Packages::new(Some(root.place(Path::new(PACKAGES))?)).all();
    let all = packages.iter().map(with_record).collect::<Result<Vec<_>, _>>()?;
    Ok((all, problems))
}

fn with_record(package: &Arc<Package>) -> Result<Installed, ShelfError> {
    let record = record_in(&package.dir)?;
    Ok(Installed { manifest: package.manifest.clone(), home: package.dir.clone(), record })
}

/// What was installed for the package with this directory; whatever became of its manifest since.
fn record_in(home: &Path) -> Result<Option<Record>, ShelfError> {
    let path = home.join(RECORD);
    match fs::read(&path) {
        Ok(text) => Record::parse(&path, &text).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ShelfError::file("read", &path)(e)),
    }
}

/// What installing these files would change.
///
/// # Errors
/// The package excludes one that is there, would wait for itself through others, or a file that is not its own is in the
/// way.
pub fn plan_install(root: &Root, manifest: &Manifest, items: Vec<Item>) -> Result<Plan, ShelfError> {
    let (all, mut notes) = installed(root)?;
    rules_for_sudo(root, &items, &mut notes)?;
    let former = all.iter().find(|p| p.manifest.name == manifest.name);
    if let Some(former) = former {
        not_of_a_package_manager(root, former)?;
        if let (Some(theirs), Some(ours)) = (&former.manifest.maintainer, &manifest.maintainer)
            && theirs != ours
        {
            return Err(ShelfError::Foreign {
                package: manifest.name.clone(),
                advice: format!(
                    "the one that is installed is of {theirs}, this one of {ours}; remove that first"
                ),
            });
        }
    }
    for other in all.iter().filter(|p| p.manifest.name != manifest.name) {
        let name = &other.manifest.name;
        if manifest.conflicts.contains(name) || other.manifest.conflicts.contains(&manifest.name) {
            return Err(ShelfError::Conflict { package: manifest.name.clone(), other: name.clone() });
        }
    }
    let others: Vec<&Manifest> =
        all.iter().map(|p| &p.manifest).filter(|m| m.name != manifest.name).collect();
    let together: Vec<&Manifest> = others.into_iter().chain([manifest]).collect();
    if let Some((point, hooks)) =
        manifest.point.iter().find_map(|p| Some((&p.name, find_cycle(&p.name, &together)?)))
    {
        let path = PathBuf::from(&manifest.name);
        let what = format!(
            "the hooks {} of {point} would wait for each other: change its after or before",
            hooks.join(", ")
        );
        return Err(ShelfError::NotAPackage { path, what });
    }
    let known = record_in(&root.place(&Path::new(PACKAGES).join(&manifest.name))?)?;
    let mut changes = Vec::new();
    let record = Record::of(&items);
    let scripts = scripts(&items);
    for item in items {
        let place = root.place(&item.target)?;
        let was_ours = known.as_ref().and_then(|k| k.files.get(&item.target));
        let now = look(&place)?;
        let wanted = record.files.get(&item.target);
        match (&now, was_ours) {
            _ if item.kind == ItemKind::Directory && place.is_dir() => continue,
            _ if item.kind == ItemKind::Directory => {}
            // The same content as a file of another package: removing one would take it from the other.
            (Some(_), None) if is_of_another(&all, &item.target, &manifest.name) => {
                return Err(ShelfError::Taken { path: place, owner: owner(&all, &item.target) });
            }
            (Some(now), _) if Some(now) == wanted => continue,
            (Some(now), Some(ours)) if item.role == Role::Configuration && now != ours => {
                let beside = beside_new(&item.target);
                notes.push(format!(
                    "{} was changed on this host and is kept; the package's is {}",
                    item.target.display(),
                    beside.display()
                ));
                changes.push(Change::Put { target: beside, what: item.kind });
                continue;
            }
            (Some(_), None) => {
                return Err(ShelfError::Taken { path: place, owner: owner(&all, &item.target) });
            }
            _ => {}
        }
        changes.push(Change::Put { target: item.target, what: item.kind });
    }
    let gone = || known.iter().flat_map(|k| &k.files).filter(|(t, _)| !record.files.contains_key(*t));
    let leaving = Leaving::of(gone().map(|(target, _)| target));
    for (target, kept) in gone() {
        changes.extend(saved(root, target, kept, &mut notes)?);
        changes.push(Change::Remove { target: target.clone() });
    }
    let place = Path::new(PACKAGES).join(&manifest.name).join(RECORD);
    let text = record.text();
    if fs::read(root.place(&place)?).ok().as_ref() != Some(&text) {
        changes.push(Change::Put { target: place, what: ItemKind::File { content: text, mode: 0o644 } });
    }
    let changes = in_turn(&manifest.name, changes, |t| known.as_ref()?.files.get(t));
    Ok(Plan {
        package: manifest.name.clone(),
        version: manifest.version.clone(),
        former: former.map(|f| f.manifest.version.clone()),
        changes,
        notes,
        scripts,
        leaving,
    })
}

/// Sees that sudo works afterwards.
fn rules_for_sudo(root: &Root, items: &[Item], notes: &mut Vec<String>) -> Result<(), ShelfError> {
    let existing = root.is_host().then(|| Path::new("/etc/sudoers"));
    let looked = sudoers::look(items, existing)?;
    if looked == Looked::WithoutVisudo {
        notes.push(
            "visudo is not installed: of the rules for sudo only name and mode were looked at; \"visudo -c\" says whether sudo takes them"
                .to_owned(),
        );
    }
    let is_there = items.iter().any(|i| i.target.starts_with(sudoers::DIRECTORY));
    if is_there && !rustix::process::geteuid().is_root() {
        notes.push(
            "the rules for sudo belong to you, and sudo wants them to be root's: chown them".to_owned(),
        );
    }
    Ok(())
}

/// What removing the package would change.
///
/// # Errors
/// There is no such package, or it was installed by other means.
pub fn plan_remove(root: &Root, name: &str) -> Result<Plan, ShelfError> {
    let (all, mut notes) = installed(root)?;
    let home = root.place(&Path::new(PACKAGES).join(name))?;
    let spoilt = check_name(name).is_ok() && !all.iter().any(|p| p.manifest.name == name);
    let (record, version) = match record_in(&home)? {
        // With a manifest that nobody can read any more it has to go all the same.
        Some(record) if spoilt => (record, "of unknown version".to_owned()),
        record => {
            let package = named(&all, name)?;
            not_of_a_package_manager(root, package)?;
            let Some(record) = record else {
                let advice =
                    format!("nobody wrote down what it put where; remove its files and {}", home.display());
                return Err(ShelfError::Foreign { package: name.to_owned(), advice });
            };
            (record, package.manifest.version.clone())
        }
    };
    let mut changes = Vec::new();
    for (target, kept) in &record.files {
        if look(&root.place(target)?)?.is_none() {
            continue;
        }
        changes.extend(saved(root, target, kept, &mut notes)?);
        changes.push(Change::Remove { target: target.clone() });
    }
    let home = Path::new(PACKAGES).join(name);
    changes.push(Change::Remove { target: home.join(RECORD) });
    let mut dirs: Vec<PathBuf> = record
        .files
        .keys()
        .flat_map(|t| t.ancestors().skip(1).take_while(|a| a.starts_with(&home)).map(Path::to_owned))
        .collect();
    dirs.sort();
    dirs.dedup();
    // Removed last to first: inner ones before outer ones.
    changes.extend(dirs.into_iter().map(|target| Change::Remove { target }));
    let changes = in_turn(name, changes, |t| record.files.get(t));
    Ok(Plan {
        package: name.to_owned(),
        version: version.clone(),
        former: Some(version),
        changes,
        notes,
        scripts: Scripts::default(),
        leaving: Leaving::of(record.files.keys()),
    })
}

/// Keeps what the administrator made of a file below `/etc` that is about to go.
fn saved(
    root: &Root,
    target: &Path,
    kept: &Kept,
    notes: &mut Vec<String>,
) -> Result<Option<Change>, ShelfError> {
    let place = root.place(target)?;
    if !target.starts_with("/etc") || look(&place)?.is_none_or(|now| now == *kept) {
        return Ok(None);
    }
    let beside = beside_saved(target);
    notes.push(format!("{} was changed on this host and is kept as {}", target.display(), beside.display()));
    let content = fs::read(&place).map_err(ShelfError::file("read", &place))?;
    Ok(Some(Change::Put { target: beside, what: ItemKind::File { content, mode: 0o600 } }))
}

/// The package of this name.
///
/// # Errors
/// There is none.
pub(super) fn named<'a>(all: &'a [Installed], name: &str) -> Result<&'a Installed, ShelfError> {
    all.iter().find(|p| p.manifest.name == name).ok_or_else(|| {
        let meant = nearest(name, all.iter().map(|p| p.manifest.name.as_str()));
        let meant = meant.map(|n| format!(": did you mean \"{n}\"?")).unwrap_or_default();
        ShelfError::Unknown { name: name.escape_debug().to_string(), meant }
    })
}

/// What is at a place; `None`: nothing.
pub(super) fn look(place: &Path) -> Result<Option<Kept>, ShelfError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = match place.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(ShelfError::file("look at", place)(e)),
    };
    if metadata.is_symlink() {
        let link = fs::read_link(place).map_err(ShelfError::file("read", place))?;
        return Ok(Some(Kept::Link { link }));
    }
    if !metadata.is_file() {
        // Not to be confused with anything a package has.
        return Ok(Some(Kept::Link { link: PathBuf::new() }));
    }
    let content = fs::read(place).map_err(ShelfError::file("read", place))?;
    Ok(Some(Kept::file(&content, metadata.permissions().mode() & 0o7777)))
}

fn is_of_another(all: &[Installed], target: &Path, name: &str) -> bool {
    let others = all.iter().filter(|p| p.manifest.name != name);
    others.filter_map(|p| p.record.as_ref()).any(|r| r.files.contains_key(target))
}

fn owner(all: &[Installed], target: &Path) -> String {
    let of = |p: &&Installed| p.record.as_ref().is_some_and(|r| r.files.contains_key(target));
    match all.iter().find(of) {
        Some(package) => format!("package {}", package.manifest.name),
        None => "no package that virt-hooks knows".to_owned(),
    }
}

/// What dpkg or rpm installed, they must change: their records would be wrong otherwise.
fn not_of_a_package_manager(root: &Root, package: &Installed) -> Result<(), ShelfError> {
    if !root.is_host() {
        return Ok(());
    }
    let manifest = package.home.join(crate::build::layout::MANIFEST);
    for (program, question, advice) in [("dpkg-query", "-S", "apt"), ("rpm", "-qf", "dnf")] {
        let known = Command::new(program)
            .arg(question)
            .arg(&manifest)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if known.is_ok_and(|s| s.success()) {
            let name = crate::build::package_name(&package.manifest.name);
            return Err(ShelfError::Foreign {
                package: package.manifest.name.clone(),
                advice: format!("use {advice} on {name}"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::transaction::Transaction;
    use super::*;

    fn package(name: &str, file: Option<(&str, &str)>) -> (Manifest, Vec<Item>) {
        let text = format!(
            "manifest = 1\nname = \"{name}\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
             [[point]]\nname = \"before_vm_start\"\norder = 50\n"
        );
        let item = |target: PathBuf, content: &str| Item {
            target,
            kind: ItemKind::File { content: content.into(), mode: 0o644 },
            role: Role::File,
        };
        let home = Path::new(PACKAGES).join(name);
        let mut items = vec![item(home.join(crate::build::layout::MANIFEST), &text)];
        items.extend(file.map(|(target, content)| item(target.into(), content)));
        (Manifest::parse("hook.toml", &text).unwrap(), items)
    }

    fn install(root: &Root, (manifest, items): (Manifest, Vec<Item>)) -> Result<Plan, ShelfError> {
        let plan = plan_install(root, &manifest, items)?;
        Transaction::begin(root)?.apply(&plan.changes)?;
        Ok(plan)
    }

    #[test]
    fn the_same_file_is_not_of_two_packages() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path()).unwrap();
        let shared = Some(("/usr/libexec/vdsm/helper", "same"));
        install(&root, package("a", shared)).unwrap();
        let said = install(&root, package("b", shared)).unwrap_err().to_string();
        assert!(said.contains("package a"), "{said}");
        // Its own is fine.
        install(&root, package("a", shared)).unwrap();
    }

    #[test]
    fn an_upgrade_that_drops_a_changed_file_of_etc_keeps_the_change() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path()).unwrap();
        install(&root, package("a", Some(("/etc/vdsm/a.conf", "theirs")))).unwrap();
        fs::write(dir.path().join("etc/vdsm/a.conf"), "mine").unwrap();
        let plan = install(&root, package("a", None)).unwrap();
        assert!(plan.notes.iter().any(|n| n.contains("a.conf.virt-hooks.rpmsave")), "{:?}", plan.notes);
        assert!(!dir.path().join("etc/vdsm/a.conf").exists());
        assert_eq!(
            fs::read_to_string(dir.path().join("etc/vdsm/a.conf.virt-hooks.rpmsave")).unwrap(),
            "mine"
        );
    }
}
