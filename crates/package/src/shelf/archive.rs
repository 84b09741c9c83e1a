// SPDX-License-Identifier: Apache-2.0
//! A package as a file: what `virt-hooks package --format tar` made.

use super::error::ShelfError;
use super::record::RECORD;
use crate::build::layout::{MANIFEST, PACKAGES, Role, check_target};
use crate::build::{BuildError, Item, ItemKind};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};
use virt_hooks_contract::{Manifest, is_point_name};

/// The most that is unpacked, in bytes: a small file may hold a large one.
const LARGEST: u64 = 1 << 30;
/// The most files.
const MOST: usize = 20_000;

/// Reads a package from an archive. Nothing is written.
///
/// # Errors
/// It is not such an archive, is broken, or holds what its manifest does not name.
pub fn unpack(path: &Path) -> Result<(Manifest, Vec<Item>), ShelfError> {
    let wrong = |what: String| ShelfError::NotAPackage { path: path.to_owned(), what };
    let mut file = File::open(path).map_err(ShelfError::file("read", path))?;
    let mut magic = [0; 8];
    let got = read_some(&mut file, &mut magic).map_err(ShelfError::file("read", path))?;
    match &magic[..got] {
        [0x1f, 0x8b, ..] => {}
        [0xed, 0xab, 0xee, 0xdb, ..] => {
            return Err(wrong("is an rpm: install it with \"dnf install\", which will know of it".into()));
        }
        m if m.starts_with(b"!<arch>\n") => {
            return Err(wrong("is a deb: install it with \"apt install\", which will know of it".into()));
        }
        _ => {
            return Err(wrong(
                "is no package: give a directory, or what \"virt-hooks package --format tar\" made".into(),
            ));
        }
    }
    let file = File::open(path).map_err(ShelfError::file("read", path))?;
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)).take(LARGEST));
    let broken = |e: std::io::Error| wrong(format!("is broken: {e}"));
    let mut all: BTreeMap<PathBuf, ItemKind> = BTreeMap::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let target = target(&name).ok_or_else(|| {
            wrong(format!("holds {}, which leads out of the root", name.display().to_string().escape_debug()))
        })?;
        if target == Path::new("/") {
            continue;
        }
        if all.len() >= MOST {
            return Err(wrong(format!("holds more than {MOST} files")));
        }
        let kind = match entry.header().entry_type() {
            EntryType::Directory => ItemKind::Directory,
            EntryType::Symlink => {
                let to = entry.link_name().map_err(broken)?.unwrap_or_default().into_owned();
                ItemKind::Link(to)
            }
            EntryType::Regular => {
                let mode = entry.header().mode().map_err(broken)?;
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(broken)?;
                if content.len() as u64 != entry.header().size().map_err(broken)? {
                    return Err(wrong("is broken: it ends in the middle of a file".into()));
                }
                ItemKind::File { content, mode }
            }
            other => {
                return Err(wrong(format!(
                    "holds {}, a {other:?}: hooks have no such files",
                    target.display()
                )));
            }
        };
        if all.insert(target.clone(), kind).is_some() {
            return Err(wrong(format!("holds {} twice", target.display())));
        }
    }
    judge(all).map_err(|e| match e {
        Judged::Odd(what) => wrong(what),
        Judged::Error(e) => e,
    })
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

/// The absolute place that a name of an archive means; `None` where it leads out of the root.
fn target(name: &Path) -> Option<PathBuf> {
    let mut target = PathBuf::from("/");
    for component in name.components() {
        match component {
            Component::CurDir | Component::RootDir => {}
            Component::Normal(name) => target.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

enum Judged {
    Odd(String),
    Error(ShelfError),
}

impl From<BuildError> for Judged {
    fn from(error: BuildError) -> Self {
        Self::Error(error.into())
    }
}

/// Sees that an archive holds one package and nothing that its manifest does not name.
fn judge(all: BTreeMap<PathBuf, ItemKind>) -> Result<(Manifest, Vec<Item>), Judged> {
    let is_manifest = |p: &Path| {
        p.file_name().is_some_and(|n| n == MANIFEST)
            && p.parent().and_then(Path::parent) == Some(Path::new(PACKAGES))
    };
    let found: Vec<&PathBuf> = all.keys().filter(|p| is_manifest(p)).collect();
    let [place] = found.as_slice() else {
        return Err(Judged::Odd(format!(
            "holds {} manifests below {PACKAGES}: a package holds one",
            found.len()
        )));
    };
    let Some(ItemKind::File { content, .. }) = all.get(*place) else {
        return Err(Judged::Odd(format!("{} is no file", place.display())));
    };
    let text = String::from_utf8_lossy(content);
    let manifest = Manifest::parse(&place.to_string_lossy(), &text).map_err(BuildError::from)?;
    let home = Path::new(PACKAGES).join(&manifest.name);
    if place.parent() != Some(&home) {
        return Err(Judged::Odd(format!(
            "{} describes a package of another name, {}",
            place.display(),
            manifest.name
        )));
    }
    // Joined to the hooks' directory, an absolute name would lead anywhere.
    if let Some(point) = manifest.point.iter().find(|p| !is_point_name(&p.name)) {
        return Err(Judged::Odd(format!("\"{}\" cannot name a hook point", point.name.escape_debug())));
    }
    let mut items = Vec::new();
    for (target, kind) in all {
        let hook = manifest.point.iter().any(|p| target == crate::build::layout::hook_place(p));
        let named = manifest.file.iter().find(|f| Path::new(&f.target) == target);
        let role = match (&kind, hook, named) {
            (ItemKind::Directory, ..) => Role::Directory,
            (_, true, _) => Role::Hook,
            (_, _, Some(_)) if target.starts_with("/etc") => Role::Configuration,
            (_, _, Some(_)) => Role::File,
            _ if target == home.join(MANIFEST) => Role::Manifest,
            // Made anew when it is installed.
            _ if target == home.join(RECORD) => continue,
            _ if target.starts_with(&home) => Role::Document,
            _ => {
                return Err(Judged::Odd(format!(
                    "holds {}, which its manifest does not name",
                    target.display()
                )));
            }
        };
        if let ItemKind::File { mode, .. } = &kind
            && role == Role::Hook
            && *mode & 0o7777 != 0o755
        {
            return Err(Judged::Odd(format!(
                "holds the hook {} with mode {:04o}: hooks have 0755",
                target.display(),
                *mode & 0o7777
            )));
        }
        if let ItemKind::File { mode, .. } = &kind
            && role != Role::Hook
        {
            check_target(&target.to_string_lossy(), *mode, &home)?;
        }
        if let ItemKind::Link(to) = &kind
            && (role != Role::Hook || !crate::build::layout::is_bundled(to))
        {
            return Err(Judged::Odd(format!(
                "holds the link {}: the only links are those to bundled hooks",
                target.display()
            )));
        }
        items.push(Item { target, kind, role });
    }
    Ok((manifest, items))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(point: &str, hook: &str, mode: u32) -> Result<usize, String> {
        let text = format!(
            "manifest = 1\nname = \"a\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
             [[point]]\nname = \"{point}\"\norder = 50\n"
        );
        let file = |content: &[u8], mode| ItemKind::File { content: content.to_vec(), mode };
        let manifest = Path::new(PACKAGES).join("a").join(MANIFEST);
        let all = BTreeMap::from([
            (manifest, file(text.as_bytes(), 0o644)),
            (PathBuf::from(hook), file(b"#!/bin/sh\n", mode)),
        ]);
        judge(all).map(|(_, items)| items.len()).map_err(|e| match e {
            Judged::Odd(what) => what,
            Judged::Error(e) => e.to_string(),
        })
    }

    #[test]
    fn a_hook_is_at_a_point_and_only_root_may_write_it() {
        let place = "/usr/libexec/vdsm/hooks/before_vm_start/50_a";
        assert_eq!(judged("before_vm_start", place, 0o755), Ok(2));
        for mode in [0o4755, 0o777, 0o644] {
            assert!(
                judged("before_vm_start", place, mode).unwrap_err().contains("hooks have 0755"),
                "{mode:o}"
            );
        }
        let said = judged("/etc/cron.d", "/etc/cron.d/50_a", 0o755).unwrap_err();
        assert!(said.contains("cannot name a hook point"), "{said}");
    }
}
