// SPDX-License-Identifier: Apache-2.0
//! What a package holds, whatever its format.

use super::elf;
use super::error::BuildError;
use super::identity::{Machine, package_name};
use super::layout::{Entry, PACKAGES, Package, Role, RustHooks, What, plan};
use super::text;
use crate::shelf::{RECORD, Record};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The largest file of a package, as a guard against a disk image put there by mistake.
const LARGEST_FILE: u64 = 512 << 20;

/// A package before it is written: no file is looked at any more.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line, without a full stop.
    pub summary: String,
    /// Some sentences, in lines of at most 75 characters.
    pub description: String,
    /// An SPDX expression.
    pub licence: String,
    /// `Name <address>`.
    pub maintainer: String,
    /// Where it comes from.
    pub url: Option<String>,
    /// What it needs on Fedora, CentOS and RHEL.
    pub rpm: Dependencies,
    /// What it needs on Debian and Ubuntu.
    pub deb: Dependencies,
    /// Its files, sorted by place.
    pub items: Vec<Item>,
    /// Seconds since 1970: of every file, of the building, of the entry in the change log.
    pub time: u32,
}

/// Other packages, by what they are to this one. A word each, or with a version as the format writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// It does not work without these.
    pub requires: Vec<String>,
    /// Installed with it, unless told not to.
    pub recommends: Vec<String>,
    /// Named only.
    pub suggests: Vec<String>,
    /// These must not be installed beside it.
    pub conflicts: Vec<String>,
}

/// A file, link or directory of a package, with its content. Its owner is root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it goes, absolute.
    pub target: PathBuf,
    /// What it is.
    pub kind: ItemKind,
    /// What it is for.
    pub role: Role,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A directory, mode 0755.
    Directory,
    /// A link that leads there.
    Link(PathBuf),
    /// A file.
    File {
        /// What is in it.
        content: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
}

impl Item {
    /// An item of a plan, with what is in the file now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(entry: &Entry) -> Result<Self, BuildError> {
        let kind = match &entry.what {
            What::Directory => ItemKind::Directory,
            What::Link { to } => ItemKind::Link(to.clone()),
            What::File { source, mode } => {
                let size = fs::metadata(source).map_err(BuildError::file("look at", source))?.len();
                if size > LARGEST_FILE {
                    let what = format!(
                        "is larger than {} MiB: it does not belong into a package",
                        LARGEST_FILE >> 20
                    );
                    return Err(BuildError::Source { file: source.clone(), what });
                }
                let content = fs::read(source).map_err(BuildError::file("read", source))?;
                ItemKind::File { content, mode: *mode }
            }
        };
        Ok(Self { target: entry.target.clone(), kind, role: entry.role })
    }

    /// The record of a package's items, which lies beside its manifest.
    pub fn record(package: &str, items: &[Self]) -> Self {
        let content = Record::of(items).text();
        let target = Path::new(PACKAGES).join(package).join(RECORD);
        Self { target, kind: ItemKind::File { content, mode: 0o644 }, role: Role::Manifest }
    }

    /// Its content; nothing where it is no file.
    pub(super) fn content(&self) -> &[u8] {
        match &self.kind {
            ItemKind::File { content, .. } => content,
            ItemKind::Directory | ItemKind::Link(_) => &[],
        }
    }

    pub(super) fn is_executable(&self) -> bool {
        matches!(&self.kind, ItemKind::File { mode, .. } if mode & 0o111 != 0)
    }

    /// What a program for it is found by: the absolute place, as text.
    pub(super) fn place(&self) -> &str {
        // Places come from manifests, and trees whose names are checked.
        self.target.to_str().unwrap_or_default()
    }
}

impl Parcel {
    /// The package of a hook; `time` as [`source_time`] says.
    ///
    /// # Errors
    /// As [`plan`], or a file cannot be read.
    pub fn of(package: &Package, rust: RustHooks, time: u32) -> Result<Self, BuildError> {
        let manifest = &package.manifest;
        let mut items = plan(package, rust)?.iter().map(Item::read).collect::<Result<Vec<_>, _>>()?;
        items.push(Item::record(&manifest.name, &items));
        items.sort_by(|a, b| a.target.cmp(&b.target));
        let conflicts: Vec<String> = manifest.conflicts.iter().map(|c| package_name(c)).collect();
        // The bundled hooks run under VDSM too, and so need their executable only.
        let base = match rust {
            RustHooks::Bundled if items.iter().any(|i| matches!(i.kind, ItemKind::Link(_))) => {
                "virt-hooks-bundled"
            }
            _ => "virt-hooks",
        };
        let family = |packages: &[String], version: fn(&str) -> String| {
            let base = match &manifest.engine {
                Some(oldest) if base == "virt-hooks" => format!("{base} {}", version(oldest)),
                _ => base.to_owned(),
            };
            let mut requires = vec![base];
            requires.extend(packages.iter().cloned());
            if items.iter().any(|i| i.target.starts_with("/etc/sudoers.d")) {
                requires.push("sudo".to_owned());
            }
            Dependencies { requires, conflicts: conflicts.clone(), ..Dependencies::default() }
        };
        let mut rpm = family(&manifest.packages.rpm, |v| format!(">= {v}"));
        let mut deb = family(&manifest.packages.deb, |v| format!("(>= {v})"));
        for item in items.iter().filter(|i| i.is_executable() && i.role != Role::Case) {
            if let Some(program) = elf::interpreter(item.content()) {
                rpm.requires.extend(rpm_interpreter(program));
                deb.requires.extend(deb_interpreter(program));
            }
        }
        let mut parcel = Self {
            name: package_name(&manifest.name),
            version: manifest.version.clone(),
            summary: manifest.summary.clone(),
            description: text::wrap(&manifest.description),
            licence: manifest.licence.clone(),
            maintainer: text::maintainer(manifest.maintainer.as_deref(), rust),
            url: manifest.url.clone(),
            rpm,
            deb,
            items,
            time,
        };
        parcel.rpm.tidy();
        parcel.deb.tidy();
        parcel.check()?;
        Ok(parcel)
    }

    /// That the words of it fit into one line where they have to.
    ///
    /// # Errors
    /// One does not.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        let unfit = |what: String| BuildError::Unfit { package: self.name.clone(), what };
        let url = self.url.clone().unwrap_or_default();
        let lines = [
            ("summary", &self.summary),
            ("licence", &self.licence),
            ("maintainer", &self.maintainer),
            ("url", &url),
        ];
        for (word, line) in lines {
            if line.contains(char::is_control) {
                return Err(unfit(format!("{word} \"{}\" is not one line", line.escape_debug())));
            }
        }
        if self.summary.trim().is_empty() || self.licence.trim().is_empty() {
            return Err(unfit("has no summary or no licence: put both into its manifest".into()));
        }
        let of_both = [&self.rpm, &self.deb];
        for name in
            of_both.iter().flat_map(|d| [&d.requires, &d.recommends, &d.suggests, &d.conflicts]).flatten()
        {
            let odd = |c: char| !c.is_ascii_alphanumeric() && !" +-._/()<>=:~|".contains(c);
            if name.trim().is_empty() || name.contains(odd) || name.starts_with('-') {
                return Err(unfit(format!("\"{}\" is not the name of a package", name.escape_debug())));
            }
        }
        if let Some(item) = self.items.iter().find(|i| i.target.to_str().is_none() || !i.target.is_absolute())
        {
            return Err(unfit(format!("{} is not an absolute path in UTF-8", item.target.display())));
        }
        Ok(())
    }

    /// The machine that the executables in it are for.
    pub(super) fn machine(&self) -> Result<Machine, BuildError> {
        let mut machine = Machine::Any;
        for item in &self.items {
            let Some(number) = elf::machine(item.content()) else { continue };
            let of_this = Machine::of_elf(number, &self.name)?;
            if machine != Machine::Any && machine != of_this {
                let what =
                    "has executables for more than one kind of machine: make a package for each".to_owned();
                return Err(BuildError::Unfit { package: self.name.clone(), what });
            }
            machine = of_this;
        }
        Ok(machine)
    }
}

impl Dependencies {
    /// Each once, in order.
    pub fn tidy(&mut self) {
        for list in [&mut self.requires, &mut self.recommends, &mut self.suggests, &mut self.conflicts] {
            list.sort();
            list.dedup();
        }
    }
}

/// rpm knows files as well as names.
fn rpm_interpreter(program: &str) -> Option<String> {
    match program {
        "/bin/sh" | "sh" => Some("/bin/sh".to_owned()),
        file if file.starts_with('/') => Some(file.to_owned()),
        name if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b)) => {
            Some(format!("/usr/bin/{name}"))
        }
        _ => None,
    }
}

/// Debian's package of an interpreter; `sh` and `bash` are everywhere, and of others the manifest says the package.
fn deb_interpreter(program: &str) -> Option<String> {
    let package = match Path::new(program).file_name().and_then(OsStr::to_str)? {
        "python3" => "python3:any",
        "perl" => "perl:any",
        "ruby" => "ruby:any",
        "awk" | "gawk" => "gawk",
        "lua" => "lua5.4",
        _ => return None,
    };
    Some(package.to_owned())
}

/// The time that goes into a package: `SOURCE_DATE_EPOCH` where it is set, else when its files changed last. Seconds
/// since 1970.
///
/// # Errors
/// The variable is no number, or a file cannot be looked at.
pub fn source_time(epoch: Option<&OsStr>, package: &Package, rust: RustHooks) -> Result<u32, BuildError> {
    if let Some(epoch) = epoch.filter(|e| !e.is_empty()) {
        let number = epoch.to_str().and_then(|e| e.parse().ok());
        return number.ok_or_else(|| BuildError::Epoch(epoch.to_string_lossy().escape_debug().to_string()));
    }
    let mut last = 0;
    for entry in plan(package, rust)? {
        if let What::File { source, .. } = &entry.what {
            let metadata = fs::metadata(source).map_err(BuildError::file("look at", source))?;
            let time = metadata.modified().map_err(BuildError::file("look at", source))?;
            let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
            last = last.max(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
    }
    Ok(last)
}
