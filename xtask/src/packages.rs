// SPDX-License-Identifier: Apache-2.0
//! All packages: `virt-hooks`, `virt-hooks-bundled`, `virt-hooks-kubevirt`, and `virt-hook-<name>` for each directory in
//! `hooks/`.

use crate::error::Error;
use crate::install::{self, BUNDLED, DRIVER, Installation, LICENCE};
use crate::notices;
use crate::tree::Target;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use virt_hooks_contract::Catalogue;
use virt_hooks_package::build::layout::{Role, RustHooks};
use virt_hooks_package::build::{
    Dependencies, Format, Item, ItemKind, PROJECT, Parcel, gzip, package_name, write,
};

/// Where from and where to.
pub struct Packaging<'a> {
    /// Directory to write to.
    pub out: &'a Path,
    /// Where the executables were built; the first directory that has one counts.
    pub bin_dirs: &'a [PathBuf],
    /// Seconds since 1970: the time of everything inside.
    pub time: u32,
    /// The gpg key to sign with.
    pub sign: Option<&'a str>,
}

/// Makes an rpm and a deb of each, and says which.
///
/// # Errors
/// An executable was not built, or something cannot be read or written.
pub fn packages(to: &Packaging<'_>, catalogue: &Catalogue) -> Result<String, Error> {
    let mut said = String::new();
    for parcel in parcels(to, catalogue)? {
        for format in [Format::Rpm, Format::Deb] {
            let written = write(&parcel, format, to.out, to.sign)?;
            said.push_str(&format!("{}\n", written.package.display()));
        }
    }
    Ok(said)
}

/// What the packages hold.
///
/// # Errors
/// As [`packages`].
pub fn parcels(to: &Packaging<'_>, catalogue: &Catalogue) -> Result<Vec<Parcel>, Error> {
    let root = crate::root();
    let mut parcels = Vec::new();
    let (mut required, mut optional) = (Vec::new(), Vec::new());
    for package in install::hook_packages(&root)? {
        let name = package_name(&package.manifest.name);
        if package.manifest.required { &mut required } else { &mut optional }.push(name);
        let mut parcel = Parcel::of(&package, RustHooks::Bundled, to.time)?;
        parcel.rpm.conflicts.extend(vdsm_packages(&package.manifest.name));
        needs_this_bundled(&mut parcel);
        parcel.rpm.tidy();
        parcel.url.get_or_insert_with(|| env!("CARGO_PKG_REPOSITORY").to_owned());
        parcels.push(parcel);
    }
    let depends = |more: Vec<String>, recommended: &str| Dependencies {
        requires: required.iter().cloned().chain(more).collect(),
        recommends: vec![recommended.to_owned()],
        suggests: optional.clone(),
        conflicts: Vec::new(),
    };
    let scratch = tempfile::tempdir().map_err(Error::file("make a directory in", &std::env::temp_dir()))?;
    let tree = scratch.path().join("root");
    let installation = Installation { destdir: &tree, prefix: Path::new("/usr"), bin_dirs: to.bin_dirs };
    install::base(&installation, catalogue)?;
    let items = tree_of(&tree)?;
    let mut main = own(
        "virt-hooks",
        "Run hooks at the turning points of a virtual machine's life",
        "The hook system of oVirt's VDSM for every host that runs virtual machines:\n\
         executables in a directory named after a moment of a VM's life get its XML\n\
         and custom properties, may change the one, and may stop the operation.",
        items,
        to.time,
    );
    let (rpm, deb) = libraries(&main.items);
    main.rpm = depends(rpm, "libvirt-libs");
    main.deb = depends(deb, "libvirt0");
    main.rpm.tidy();
    main.deb.tidy();
    let program =
        install::built(&installation, BUNDLED).ok_or_else(|| install::not_built(&installation, BUNDLED))?;
    let content = fs::read(&program).map_err(Error::file("read", &program))?;
    let libexec = Path::new("/usr/libexec/virt-hooks");
    // It stands alone under VDSM, so the terms come with it.
    let terms = Path::new("/usr/share/doc").join(BUNDLED);
    let licence = root.join(LICENCE);
    let licence_text = fs::read(&licence).map_err(Error::file("read", &licence))?;
    let mut bundled = own(
        BUNDLED,
        "Program of the hooks that come with virt-hooks",
        "All hooks that come with virt-hooks in one executable. The packages\n\
         virt-hook-* have the links that put it at hook points. It runs under\n\
         virt-hooks and under VDSM.",
        vec![
            Item { target: libexec.to_owned(), kind: ItemKind::Directory, role: Role::Directory },
            Item {
                target: libexec.join(BUNDLED),
                kind: ItemKind::File { content, mode: 0o755 },
                role: Role::File,
            },
            Item { target: terms.clone(), kind: ItemKind::Directory, role: Role::Directory },
            Item {
                target: terms.join(LICENCE),
                kind: ItemKind::File { content: licence_text, mode: 0o644 },
                role: Role::Licence,
            },
            Item {
                target: terms.join(notices::FILE),
                kind: ItemKind::File { content: notices::of(&[&program])?.into_bytes(), mode: 0o644 },
                role: Role::Licence,
            },
        ],
        to.time,
    );
    (bundled.rpm.requires, bundled.deb.requires) = libraries(&bundled.items);
    parcels.extend([main, bundled, driver(to, catalogue)?]);
    Ok(parcels)
}

/// The driver for KubeVirt by itself: it is wanted where `kubectl` is and in images, seldom on a host of VMs.
fn driver(to: &Packaging<'_>, catalogue: &Catalogue) -> Result<Parcel, Error> {
    let scratch = tempfile::tempdir().map_err(Error::file("make a directory in", &std::env::temp_dir()))?;
    let tree = scratch.path().join("root");
    let prefix = Path::new("/usr");
    let from = Installation { destdir: &tree, prefix, bin_dirs: to.bin_dirs };
    let program = install::built(&from, DRIVER).ok_or_else(|| install::not_built(&from, DRIVER))?;
    let mut target = Target::new(&tree, prefix)?;
    install::driver(&mut target, &program, catalogue, prefix)?;
    let mut driver = own(
        DRIVER,
        "Run hooks of virtual machines on a KubeVirt cluster",
        "The driver of virt-hooks for KubeVirt: it serves KubeVirt's hook sidecar\n\
         and plugin protocols with the same hooks as on a host, and writes the\n\
         objects that deploy it to a cluster. One static executable.",
        tree_of(&tree)?,
        to.time,
    );
    (driver.rpm.requires, driver.deb.requires) = libraries(&driver.items);
    Ok(driver)
}

/// Links of a hook lead to an executable that has that hook: one of this version or later.
fn needs_this_bundled(parcel: &mut Parcel) {
    let version = env!("CARGO_PKG_VERSION");
    let oldest = [(&mut parcel.rpm, format!(" >= {version}")), (&mut parcel.deb, format!(" (>= {version})"))];
    for (family, version) in oldest {
        for need in family.requires.iter_mut().filter(|r| *r == BUNDLED) {
            need.push_str(&version);
        }
    }
}

/// VDSM's packages of the same hook, which have the same files. It writes `-` in the names of most.
fn vdsm_packages(hook: &str) -> [String; 2] {
    [format!("vdsm-hook-{hook}"), format!("vdsm-hook-{}", hook.replace('_', "-"))]
}

fn own(name: &str, summary: &str, description: &str, items: Vec<Item>, time: u32) -> Parcel {
    Parcel {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: summary.to_owned(),
        description: description.to_owned(),
        licence: env!("CARGO_PKG_LICENSE").to_owned(),
        maintainer: PROJECT.to_owned(),
        url: Some(env!("CARGO_PKG_REPOSITORY").to_owned()),
        rpm: Dependencies::default(),
        deb: Dependencies::default(),
        items,
        time,
    }
}

/// An installed tree as items in order; man pages compressed, as both families want them.
fn tree_of(root: &Path) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    walk(root, root, &mut items)?;
    items.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(items)
}

fn walk(root: &Path, dir: &Path, items: &mut Vec<Item>) -> Result<(), Error> {
    let entries = fs::read_dir(dir)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(Error::file("list", dir))?;
    for path in entries {
        let metadata = fs::symlink_metadata(&path).map_err(Error::file("look at", &path))?;
        let mut target = Path::new("/").join(path.strip_prefix(root).unwrap_or(&path));
        if metadata.is_dir() {
            if is_ours(&target) {
                items.push(Item { target, kind: ItemKind::Directory, role: Role::Directory });
            }
            walk(root, &path, items)?;
            continue;
        }
        if metadata.is_symlink() {
            let to = fs::read_link(&path).map_err(Error::file("read", &path))?;
            items.push(Item { target, kind: ItemKind::Link(to), role: Role::File });
            continue;
        }
        let mut content = fs::read(&path).map_err(Error::file("read", &path))?;
        let mode = metadata.permissions().mode() & 0o777;
        let mut role = Role::File;
        if target.starts_with("/usr/share/man") {
            content = gzip(&content).map_err(Error::file("compress", &path))?;
            target.as_mut_os_string().push(".gz");
            role = Role::Document;
        } else if target.ends_with(LICENCE) || target.ends_with(notices::FILE) {
            role = Role::Licence;
        } else if target.starts_with("/usr/share/doc") {
            role = Role::Document;
        } else if target.starts_with("/etc") {
            role = Role::Configuration;
        }
        items.push(Item { target, kind: ItemKind::File { content, mode }, role });
    }
    Ok(())
}

/// A directory that no other package has.
fn is_ours(dir: &Path) -> bool {
    dir.components().any(|c| ["virt-hooks", "vdsm", DRIVER].iter().any(|name| c.as_os_str() == *name))
}

/// The shared libraries that executables load, as rpm and as deb name them: the C library's newest version that is asked
/// for, and the unwinder; both are named in the executables. A static executable names none.
fn libraries(items: &[Item]) -> (Vec<String>, Vec<String>) {
    let (mut rpm, mut deb) = (Vec::new(), Vec::new());
    let mut newest = None;
    let mut unwinder = false;
    for item in items {
        let ItemKind::File { content, .. } = &item.kind else { continue };
        if !content.starts_with(b"\x7fELF") {
            continue;
        }
        unwinder |= has(content, b"libgcc_s.so.1\0").is_some();
        let mut rest = content.as_slice();
        while let Some(at) = has(rest, b"\0GLIBC_2.") {
            rest = &rest[at + 9..];
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let minor = std::str::from_utf8(&rest[..digits]).ok().and_then(|n| n.parse::<u32>().ok());
            newest = newest.max(minor);
        }
    }
    if let Some(minor) = newest {
        rpm.push(format!("libc.so.6(GLIBC_2.{minor})(64bit)"));
        deb.push(format!("libc6 (>= 2.{minor})"));
    }
    if unwinder {
        rpm.push("libgcc_s.so.1()(64bit)".to_owned());
        deb.push("libgcc-s1".to_owned());
    }
    (rpm, deb)
}

fn has(content: &[u8], word: &[u8]) -> Option<usize> {
    content.windows(word.len()).position(|w| w == word)
}
