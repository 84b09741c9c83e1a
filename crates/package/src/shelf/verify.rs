// SPDX-License-Identifier: Apache-2.0
//! A host held against what was installed on it.

use super::error::ShelfError;
use super::install::{Installed, installed, look, named};
use super::record::{Kept, RECORD};
use super::root::Root;
use crate::build::layout::HOOKS;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A place that is not as it was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A file of a package is gone.
    Missing {
        /// The package.
        package: String,
        /// The absolute place.
        path: PathBuf,
    },
    /// A file of a package is another.
    Changed {
        /// The package.
        package: String,
        /// The absolute place.
        path: PathBuf,
        /// What is other: its content, its mode, its kind.
        what: String,
    },
    /// A hook, or a file in a package's directory, that no package has.
    Foreign {
        /// The absolute place.
        path: PathBuf,
    },
    /// A manifest cannot be read any more, and so not what belongs to its package.
    Spoilt {
        /// Which, and why.
        what: String,
    },
    /// Nobody wrote down what the package put where.
    Unrecorded {
        /// The package.
        package: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { package, path } => write!(f, "missing: {} of {package}", path.display()),
            Self::Changed { package, path, what } => {
                write!(f, "changed: {} of {package}: {what}", path.display())
            }
            Self::Spoilt { what } => write!(f, "spoilt: {what}"),
            Self::Foreign { path } => write!(f, "foreign: {}", path.display()),
            Self::Unrecorded { package } => {
                write!(f, "unknown: {package} has no record of what it installed: install it again")
            }
        }
    }
}

/// Holds what is below `root` against what was installed: these packages, or all of them and foreign files too.
///
/// # Errors
/// There is no such package, or a file cannot be read.
pub fn verify(root: &Root, names: &[String]) -> Result<Vec<Difference>, ShelfError> {
    let (all, problems) = installed(root)?;
    let of_all =
        |problem: &String| names.is_empty() || names.iter().any(|n| problem.contains(&format!("/{n}/")));
    let mut differences: Vec<Difference> =
        problems.into_iter().filter(of_all).map(|what| Difference::Spoilt { what }).collect();
    if names.is_empty() {
        for package in &all {
            of_package(root, package, &mut differences)?;
        }
        foreign(root, &all, &mut differences)?;
    }
    // What is wrong with a spoilt one was said.
    let spoilt = |name: &String| !all.iter().any(|p| p.manifest.name == *name) && !differences.is_empty();
    let names: Vec<&String> = names.iter().filter(|n| !spoilt(n)).collect();
    for name in names {
        of_package(root, named(&all, name)?, &mut differences)?;
    }
    Ok(differences)
}

fn of_package(root: &Root, package: &Installed, differences: &mut Vec<Difference>) -> Result<(), ShelfError> {
    let name = || package.manifest.name.clone();
    let Some(record) = &package.record else {
        differences.push(Difference::Unrecorded { package: name() });
        return Ok(());
    };
    for (path, kept) in &record.files {
        let package = name();
        let path = path.clone();
        match look(&root.place(&path)?)? {
            None => differences.push(Difference::Missing { package, path }),
            Some(now) if now == *kept => {}
            Some(now) => {
                differences.push(Difference::Changed { package, path, what: what_differs(kept, &now) });
            }
        }
    }
    Ok(())
}

fn what_differs(kept: &Kept, now: &Kept) -> String {
    match (kept, now) {
        (Kept::File { sha256: a, mode: m }, Kept::File { sha256: b, mode: n }) => {
            let content = (a != b).then(|| "its content".to_owned());
            let mode = (m != n).then(|| format!("its mode, {n} in place of {m}"));
            [content, mode].into_iter().flatten().collect::<Vec<_>>().join(" and ")
        }
        (Kept::Link { link }, Kept::Link { link: now }) if !now.as_os_str().is_empty() => {
            format!("it leads to {} in place of {}", now.display(), link.display())
        }
        _ => "it is of another kind".to_owned(),
    }
}

fn foreign(root: &Root, all: &[Installed], differences: &mut Vec<Difference>) -> Result<(), ShelfError> {
    let known: BTreeSet<&Path> = all
        .iter()
        .filter_map(|p| p.record.as_ref())
        .flat_map(|r| r.files.keys())
        .map(PathBuf::as_path)
        .collect();
    let hooks = Path::new(HOOKS);
    for point in entries(root, hooks)? {
        for file in entries(root, &point)? {
            // Hidden ones are never run.
            let is_hidden = file.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
            if !known.contains(&*file) && !is_hidden && !root.place(&file)?.is_dir() {
                differences.push(Difference::Foreign { path: file });
            }
        }
    }
    for package in all.iter().filter(|p| p.record.is_some()) {
        let home = Path::new(crate::build::layout::PACKAGES).join(&package.manifest.name);
        for file in entries(root, &home)? {
            let ours = known.contains(&*file) || file.ends_with(RECORD) || root.place(&file)?.is_dir();
            if !ours {
                differences.push(Difference::Foreign { path: file });
            }
        }
    }
    Ok(())
}

/// The absolute places of what is in a directory, sorted; of what is none: nothing.
fn entries(root: &Root, dir: &Path) -> Result<Vec<PathBuf>, ShelfError> {
    let place = root.place(dir)?;
    if !place.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = fs::read_dir(&place)
        .and_then(|entries| entries.map(|e| Ok(e?.file_name())).collect::<Result<Vec<_>, _>>())
        .map_err(ShelfError::file("list", &place))?;
    names.sort();
    Ok(names.into_iter().map(|n| dir.join(n)).collect())
}
