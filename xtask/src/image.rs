// SPDX-License-Identifier: Apache-2.0
//! What is in the image for a cluster: `packaging/kubevirt/Containerfile` copies it, and no other file.
//!
//! Each bundled hook package is a layer of hooks of its own, `/hooks/<package>/<point>/<file>`, so that a deployment
//! names those that are to run. Packages that say that they do not work in a cluster are left out.

use crate::error::Error;
use crate::install::{BUNDLED, DRIVER, Installation, built, copy, hook_packages, not_built};
use crate::notices;
use crate::tree::Target;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use virt_hooks_contract::Support;
use virt_hooks_package::build::layout;

/// Lays out what goes into the image in a directory and says what was done.
///
/// # Errors
/// An executable was not built, or something cannot be written.
pub fn lay_out(dir: &Path, bin_dirs: &[PathBuf]) -> Result<String, Error> {
    let from = Installation { destdir: dir, prefix: Path::new("/"), bin_dirs };
    let programs = [DRIVER, BUNDLED]
        .into_iter()
        .map(|name| built(&from, name).map(|path| (name, path)).ok_or_else(|| not_built(&from, name)))
        .collect::<Result<Vec<_>, _>>()?;
    // A hook that was there before would be copied along.
    for old in ["hooks", "packages"].map(|name| dir.join(name)) {
        match fs::remove_dir_all(&old) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::file("remove", &old)(e)),
            _ => {}
        }
    }
    let mut target = Target::new(dir, Path::new(""))?;
    let executables: Vec<&Path> = programs.iter().map(|(_, path)| path.as_path()).collect();
    target.file(Path::new(notices::FILE), notices::of(&executables)?.as_bytes(), 0o644)?;
    for (name, path) in programs {
        copy(&mut target, &path, name, 0o755)?;
    }
    let root = crate::root();
    copy(&mut target, &root.join("LICENSE"), "LICENSE", 0o644)?;
    let portable =
        |p: &layout::Package| p.manifest.portability.kubevirt.is_some_and(|support| support != Support::No);
    for package in hook_packages(&root)?.iter().filter(|p| portable(p)) {
        let name = &package.manifest.name;
        for point in &package.manifest.point {
            let link = Path::new("hooks").join(name).join(&point.name).join(&point.file);
            target.link(&link, Path::new("/").join(BUNDLED).as_path())?;
        }
        let manifest = format!("packages/{name}/{}", layout::MANIFEST);
        copy(&mut target, &package.dir.join(layout::MANIFEST), &manifest, 0o644)?;
    }
    Ok(target.summary())
}
