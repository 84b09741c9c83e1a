// SPDX-License-Identifier: Apache-2.0
//! The packages in `hooks/`: whole, true to themselves, and found by listing.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../registry.rs"]
mod registry;

use registry::registry;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use virt_hooks_contract::{Catalogue, Manifest, Support};

fn packages() -> Vec<(PathBuf, Manifest)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks").canonicalize().unwrap();
    let mut packages: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|dir| dir.join("hook.toml").is_file())
        .map(|dir| {
            let file = dir.join("hook.toml");
            let manifest =
                Manifest::parse(&file.to_string_lossy(), &fs::read_to_string(&file).unwrap()).unwrap();
            (dir, manifest)
        })
        .collect();
    packages.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!packages.is_empty());
    packages
}

#[test]
fn each_package_is_whole() {
    let catalogue = Catalogue::built_in();
    for (dir, manifest) in packages() {
        let name = &manifest.name;
        assert!(manifest.summary.len() <= 80 && !manifest.summary.ends_with('.'), "{name}: summary");
        assert!(!manifest.description.trim().is_empty(), "{name}: description");
        assert!(!manifest.point.is_empty(), "{name}: no point");
        for point in &manifest.point {
            assert!(catalogue.get(&point.name).is_some(), "{name}: no hook point {}", point.name);
            let source = dir.join(format!("{}.rs", point.name));
            assert!(
                source.is_file() || dir.join("hook.rs").is_file(),
                "{name}: no source for {}",
                point.name
            );
        }
        for file in &manifest.file {
            assert!(dir.join(&file.source).is_file(), "{name}: {} is missing", file.source);
            assert!(file.target.starts_with('/'), "{name}: {}", file.target);
        }
        let readme = fs::read_to_string(dir.join("README.md")).unwrap();
        for heading in ["## Properties", "## Gotchas", "## Failures"] {
            assert!(readme.contains(heading), "{name}: README.md has no \"{heading}\"");
        }
        let says = readme.contains("## What changes") || readme.contains("## What it does");
        assert!(says, "{name}: README.md does not say what it does");
        for property in &manifest.property {
            assert!(readme.contains(&property.name), "{name}: README.md does not know {}", property.name);
        }
    }
}

/// The other way round is looked at where the list of all of them is made.
#[test]
fn an_expected_result_of_its_own_has_its_reason_in_the_list() {
    let mut seen = 0;
    for (dir, manifest) in packages() {
        let cases = dir.join("cases");
        let list = fs::read_to_string(cases.join("differs.txt")).unwrap_or_default();
        for point in fs::read_dir(&cases).into_iter().flatten().map(|e| e.unwrap().path()) {
            for case in fs::read_dir(&point).into_iter().flatten().map(|e| e.unwrap().path()) {
                if !case.join("intended").exists() {
                    continue;
                }
                let name = format!("{}  ", case.strip_prefix(&cases).unwrap().display());
                assert!(list.lines().any(|line| line.starts_with(&name)), "{}: {name}", manifest.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn each_package_says_where_it_can_be_used() {
    for (_, manifest) in packages() {
        let (name, p) = (&manifest.name, &manifest.portability);
        for (target, support) in [("libvirt", p.libvirt), ("kubevirt", p.kubevirt), ("vdsm", p.vdsm)] {
            assert!(support.is_some(), "{name}: [portability] has no {target}");
        }
        assert!(
            p.note.as_ref().is_some_and(|note| note.trim().len() > 20),
            "{name}: [portability] has no note"
        );
        // What no event of a cluster ever fires can only be said not to work there.
        let fired = |point: &str| {
            matches!(
                point,
                "before_device_create"
                    | "before_vm_start"
                    | "after_vm_start"
                    | "before_vm_destroy"
                    | "after_vm_destroy"
            ) || point.contains("_vm_migrate_")
        };
        if !manifest.point.iter().any(|point| fired(&point.name)) {
            assert_eq!(p.kubevirt, Some(Support::No), "{name}: nothing in a cluster fires its points");
        }
    }
}

#[test]
fn the_page_on_moving_to_kubevirt_has_every_verdict() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/from-ovirt-to-kubevirt.md");
    let page = fs::read_to_string(page).unwrap();
    let table = page.split_once("## The bundled hooks").unwrap().1.split("\n## ").next().unwrap();
    let row = |verdict: &str| {
        let row = table.lines().find(|l| l.starts_with(&format!("| {verdict} |"))).unwrap();
        let mut names: Vec<String> = row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        names.sort();
        names
    };
    for (verdict, support) in
        [("portable", Support::Yes), ("portable with care", Support::Care), ("no counterpart", Support::No)]
    {
        let said = |m: &Manifest| m.portability.kubevirt == Some(support);
        let names: Vec<String> =
            packages().into_iter().filter(|(_, m)| said(m)).map(|(_, m)| m.name).collect();
        assert_eq!(row(verdict), names, "{verdict}");
    }
}

#[test]
fn the_executable_has_every_hook_and_no_other() {
    let out = Command::new(env!("CARGO_BIN_EXE_virt-hooks-bundled")).arg("list").output().unwrap();
    let listed: Vec<String> = String::from_utf8(out.stdout).unwrap().lines().map(String::from).collect();
    let described: Vec<String> = packages()
        .iter()
        .flat_map(|(_, m)| m.point.iter().map(|p| format!("{}\t{}\t{}", m.name, p.name, p.file)))
        .collect();
    assert_eq!(listed, described);
}

#[test]
fn one_more_is_one_more_directory() {
    let dir = tempfile::tempdir().unwrap();
    let before = registry(dir.path()).unwrap().0;
    let package = dir.path().join("hello");
    fs::create_dir(&package).unwrap();
    fs::write(
        package.join("hook.toml"),
        "manifest = 1\nname = \"hello\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"Apache-2.0\"\n\
         [[point]]\nname = \"before_vm_start\"\nfile = \"50_hello\"\n",
    )
    .unwrap();
    fs::write(package.join("before_vm_start.rs"), "").unwrap();
    let (after, read) = registry(dir.path()).unwrap();
    assert!(!before.contains("hello"));
    assert!(after.contains("pub(super) mod before_vm_start;"));
    assert!(after.contains(
        "Hook { package: \"hello\", point: \"before_vm_start\", file: \"50_hello\", run: hello::before_vm_start::run }"
    ));
    assert!(read.contains(&package), "a change there is a reason to build again");
    // A directory that lies about its name is refused.
    fs::rename(&package, dir.path().join("other")).unwrap();
    assert!(registry(dir.path()).unwrap_err().contains("the name is hello, the directory is not"));
}

#[test]
fn an_unknown_name_is_an_error_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("50_no_such_hook");
    fs::copy(env!("CARGO_BIN_EXE_virt-hooks-bundled"), &link).unwrap();
    let out = Command::new(&link).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("no bundled hook \"50_no_such_hook\""));
}
