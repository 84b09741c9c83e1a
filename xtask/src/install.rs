// SPDX-License-Identifier: Apache-2.0
//! The installed tree.

use crate::completions;
use crate::error::Error;
use crate::man;
use crate::notices;
use crate::schema;
use crate::tree::Target;
use std::fs;
use std::path::{Component, Path, PathBuf};
use virt_hooks_contract::Catalogue;
use virt_hooks_package::build::layout::{self, Package, Role, RustHooks, What};
use virt_hooks_package::build::{Item, ItemKind};

/// Where from and where to.
pub struct Installation<'a> {
    /// In front of every path; empty: the host itself.
    pub destdir: &'a Path,
    /// Where it will run from, an absolute path.
    pub prefix: &'a Path,
    /// Where the executables were built; the first directory that has one counts.
    pub bin_dirs: &'a [PathBuf],
}

/// Directories of the administrator, who fills them.
const ETC: &[&str] = &["etc/virt-hooks/hooks", "etc/virt-hooks/points.d"];
/// The executable of all bundled hooks.
pub(crate) const BUNDLED: &str = "virt-hooks-bundled";
/// The driver for KubeVirt: its own executable, which needs nothing else of this project.
pub(crate) const DRIVER: &str = "virt-hooks-kubevirt";
/// The licence's text.
pub(crate) const LICENCE: &str = "LICENSE";
/// Some settings, the same as in virt-hooks-config.toml(5): to start `/etc/virt-hooks/config.toml` from.
const CONFIG_EXAMPLE: &str = include_str!("config-example.toml");
/// Python packages, below `python/`.
const PYTHON: &[&str] = &["hooking", "vdsm"];

/// Puts everything into its place and says what was done. Doing it again gives the same.
///
/// # Errors
/// The command was not built, or something cannot be written.
pub fn install(to: &Installation<'_>, catalogue: &Catalogue) -> Result<String, Error> {
    let mut target = base(to, catalogue)?;
    bundled(to, &mut target, &crate::root())?;
    if let Some(program) = built(to, DRIVER) {
        driver(&mut target, &program, catalogue, to.prefix)?;
    }
    let mut said = target.summary();
    if built(to, "virt-hooks-vm").is_none() {
        said.push_str("without virt-hooks-vm, which was not built: \"virt-hooks vm\" will not work\n");
    }
    Ok(said)
}

/// The driver for KubeVirt: it writes the objects for a cluster wherever `kubectl` is, and is what runs in images.
///
/// # Errors
/// Something cannot be written.
pub(crate) fn driver(
    target: &mut Target,
    program: &Path,
    catalogue: &Catalogue,
    prefix: &Path,
) -> Result<(), Error> {
    copy(target, program, &format!("bin/{DRIVER}"), 0o755)?;
    terms(target, DRIVER, &[program])?;
    help(target, catalogue, prefix, &[DRIVER])
}

/// The man pages and completions of these programs.
fn help(target: &mut Target, catalogue: &Catalogue, prefix: &Path, programs: &[&str]) -> Result<(), Error> {
    for page in man::pages(catalogue, prefix).into_iter().filter(|p| programs.contains(&p.program)) {
        let section = page.file.rsplit('.').next().unwrap_or_default();
        let place = format!("share/man/man{section}/{}", page.file);
        target.file(Path::new(&place), page.text.as_bytes(), 0o644)?;
    }
    for completion in completions::all(catalogue).into_iter().filter(|c| programs.contains(&c.program)) {
        target.file(Path::new(&completion.place), completion.text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Everything but the bundled hooks and the driver for KubeVirt.
///
/// # Errors
/// As [`install`].
pub(crate) fn base(to: &Installation<'_>, catalogue: &Catalogue) -> Result<Target, Error> {
    let plain = |c| matches!(c, Component::RootDir | Component::Normal(_));
    if !to.prefix.is_absolute() || !to.prefix.components().all(plain) {
        return Err(Error::Prefix(to.prefix.to_owned()));
    }
    let mut executables = Vec::new();
    let command = built(to, "virt-hooks").ok_or_else(|| not_built(to, "virt-hooks"))?;
    let mut target = Target::new(to.destdir, Path::new(""))?;
    for dir in ETC {
        target.dir(Path::new(dir))?;
    }
    target.set_base(to.prefix);
    copy(&mut target, &command, "bin/virt-hooks", 0o755)?;
    executables.push(command);
    if let Some(vm) = built(to, "virt-hooks-vm") {
        copy(&mut target, &vm, "libexec/virt-hooks/virt-hooks-vm", 0o755)?;
        executables.push(vm);
    }
    let mut programs = vec![man::COMMAND];
    if let Some(agent) = built(to, man::AGENT) {
        programs.push(man::AGENT);
        copy(&mut target, &agent, "libexec/virt-hooks/virt-hooksd", 0o755)?;
        units(to, &mut target)?;
        executables.push(agent);
    }
    for point in catalogue.iter() {
        target.dir(&Path::new("libexec/vdsm/hooks").join(&*point.name))?;
    }
    let root = crate::root();
    for package in PYTHON {
        python(
            &mut target,
            &root.join("python").join(package),
            &Path::new("share/virt-hooks/python").join(package),
        )?;
    }
    // A page of what is not there would mislead.
    help(&mut target, catalogue, to.prefix, &programs)?;
    for (name, schema) in
        [("report", schema::report()?), ("hook", schema::manifest()?), ("config", schema::config()?)]
    {
        let place = format!("share/virt-hooks/schema/{name}.schema.json");
        target.file(Path::new(&place), schema.as_bytes(), 0o644)?;
    }
    target.file(Path::new("share/doc/virt-hooks/examples/config.toml"), CONFIG_EXAMPLE.as_bytes(), 0o644)?;
    let executables: Vec<&Path> = executables.iter().map(PathBuf::as_path).collect();
    terms(&mut target, "virt-hooks", &executables)?;
    Ok(target)
}

/// The terms that go with executables: ours, and those of others whose code is in them.
fn terms(target: &mut Target, package: &str, executables: &[&Path]) -> Result<(), Error> {
    let doc = Path::new("share/doc").join(package);
    copy(target, &crate::root().join(LICENCE), &doc.join(LICENCE).to_string_lossy(), 0o644)?;
    target.file(&doc.join(notices::FILE), notices::of(executables)?.as_bytes(), 0o644)
}

/// The agent's units, which know where it was installed.
fn units(to: &Installation<'_>, target: &mut Target) -> Result<(), Error> {
    for name in ["virt-hooksd.service", "virt-hooksd.socket"] {
        let from = crate::root().join("packaging/systemd").join(name);
        let text = fs::read_to_string(&from).map_err(Error::file("read", &from))?;
        let prefix = to.prefix.to_string_lossy();
        let text = text.replace("@PREFIX@", prefix.trim_end_matches('/'));
        target.file(&Path::new("lib/systemd/system").join(name), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// The bundled hooks: one executable, a link to it for each hook under VDSM's name, and what each package says of
/// itself. Found by listing `hooks/`.
fn bundled(to: &Installation<'_>, target: &mut Target, root: &Path) -> Result<(), Error> {
    let Some(program) = built(to, BUNDLED) else { return Ok(()) };
    copy(target, &program, &format!("libexec/virt-hooks/{BUNDLED}"), 0o755)?;
    terms(target, BUNDLED, &[&program])?;
    for package in hook_packages(root)? {
        // Recorded cases are for those who work on the hooks, and have the sources.
        let entries: Vec<_> = layout::plan(&package, RustHooks::Bundled)?
            .into_iter()
            .filter(|e| e.role != Role::Case)
            .collect();
        let items = entries.iter().map(Item::read).collect::<Result<Vec<_>, _>>()?;
        let record = Item::record(&package.manifest.name, &items);
        // The record names the places of a package, which another prefix does not have.
        if let (ItemKind::File { content, mode }, Ok(place), "/usr") =
            (&record.kind, record.target.strip_prefix("/usr"), to.prefix.to_str().unwrap_or_default())
        {
            target.file(place, content, *mode)?;
        }
        for entry in entries {
            // Files of the host, such as units and rules, lie where they are looked for, whatever the prefix.
            let under_prefix = entry.target.strip_prefix("/usr").ok().filter(|_| entry.role != Role::File);
            match (&entry.what, under_prefix) {
                (What::Directory, _) => {}
                (What::Link { to }, place) => target.link(place.unwrap_or(&entry.target), to)?,
                (What::File { source, mode }, place) => {
                    let content = fs::read(source).map_err(Error::file("read", source))?;
                    match place {
                        Some(place) => target.file(place, &content, *mode)?,
                        None => target.absolute(&entry.target, &content, *mode)?,
                    }
                }
            }
        }
    }
    Ok(())
}

/// The directories in `hooks/` that are packages, by name.
pub(crate) fn hook_packages(root: &Path) -> Result<Vec<Package>, Error> {
    let hooks = root.join("hooks");
    let mut dirs = fs::read_dir(&hooks)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(Error::file("list", &hooks))?;
    dirs.sort();
    let packages = dirs.iter().filter(|d| d.join(layout::MANIFEST).is_file());
    packages.map(|dir| Package::open(dir).map_err(Error::from)).collect()
}

pub(crate) fn built(to: &Installation<'_>, name: &str) -> Option<PathBuf> {
    to.bin_dirs.iter().map(|d| d.join(name)).find(|p| p.is_file())
}

pub(crate) fn not_built(to: &Installation<'_>, name: &'static str) -> Error {
    Error::NotBuilt { name, dir: to.bin_dirs.first().cloned().unwrap_or_default() }
}

pub(crate) fn copy(target: &mut Target, from: &Path, to: &str, mode: u32) -> Result<(), Error> {
    let content = fs::read(from).map_err(Error::file("read", from))?;
    target.file(Path::new(to), &content, mode)
}

/// The sources of a package: no caches of whoever ran it from here.
fn python(target: &mut Target, from: &Path, to: &Path) -> Result<(), Error> {
    let mut entries = fs::read_dir(from)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(Error::file("list", from))?;
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            if name != "__pycache__" {
                python(target, &path, &to.join(name))?;
            }
        } else if path.extension().is_some_and(|e| e == "py") || name == "py.typed" {
            let content = fs::read(&path).map_err(Error::file("read", &path))?;
            target.file(&to.join(name), &content, 0o644)?;
        }
    }
    Ok(())
}
