// SPDX-License-Identifier: Apache-2.0
//! The notices of those whose code is in the executables, made from the sources that are here.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::notices;

const PROGRAMS: &[&str] =
    &["virt-hooks", "virt-hooks-vm", "virt-hooksd", "virt-hooks-bundled", "virt-hooks-kubevirt"];

/// Where cargo would put an executable for this host; nothing has to be there.
fn place(program: &str) -> PathBuf {
    Path::new("/nowhere/target/release").join(program)
}

fn of(program: &str) -> String {
    notices::of(&[&place(program)]).unwrap()
}

/// The crates a page lists, by name and version.
fn listed(page: &str) -> BTreeSet<String> {
    let lines = page.split("\n\n").nth(2).unwrap().lines();
    lines.map(|l| l.split(": ").next().unwrap().to_owned()).collect()
}

/// What `cargo metadata` says may be in a program: normal dependencies, however far down, as the whole workspace has
/// them. Macros and what stands behind them are not.
fn reachable(program: &str) -> BTreeSet<String> {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(rustc.stdout).unwrap();
    let host = host.lines().find_map(|l| l.strip_prefix("host: ")).unwrap().to_owned();
    let said = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &host])
        .current_dir(xtask::root())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let list = list.as_array().unwrap().iter();
        list.map(|v| (v["id"].as_str().unwrap().to_owned(), v.clone())).collect()
    };
    let (packages, nodes) = (by_id(&said["packages"]), by_id(&said["resolve"]["nodes"]));
    let mut seen = BTreeSet::new();
    let mut todo: Vec<&str> =
        packages.values().filter(|p| p["name"] == program).map(|p| p["id"].as_str().unwrap()).collect();
    while let Some(id) = todo.pop() {
        let macros = packages[id]["targets"].as_array().unwrap().iter().any(|t| t["kind"][0] == "proc-macro");
        if macros || !seen.insert(id) {
            continue;
        }
        for dep in nodes[id]["deps"].as_array().unwrap() {
            if dep["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null()) {
                todo.push(dep["pkg"].as_str().unwrap());
            }
        }
    }
    let others = seen.iter().map(|id| &packages[*id]).filter(|p| !p["source"].is_null());
    others.map(|p| format!("{} {}", p["name"].as_str().unwrap(), p["version"].as_str().unwrap())).collect()
}

#[test]
fn every_crate_that_is_linked_is_named_and_no_other() {
    for program in PROGRAMS {
        let listed = listed(&of(program));
        let reachable = reachable(program);
        assert!(listed.is_subset(&reachable), "{program}: {:?}", listed.difference(&reachable));
        // The whole workspace has features that one program alone does not; what is left out hangs on them.
        let out: BTreeSet<&str> =
            reachable.difference(&listed).map(|c| c.split(' ').next().unwrap()).collect();
        let wrong: Vec<_> = out.iter().filter(|name| !is_left_out_by_cargo(program, name)).collect();
        assert!(wrong.is_empty(), "{program} does not name {wrong:?}");
    }
}

/// Whether cargo's own tree, asked the other way round, has no way from a crate to the program.
fn is_left_out_by_cargo(program: &str, name: &str) -> bool {
    let said = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--package", program, "--invert", name])
        .current_dir(xtask::root())
        .output()
        .unwrap();
    !String::from_utf8_lossy(&said.stdout).contains(&format!("{program} v"))
}

#[test]
fn what_is_known_to_be_there_is_there() {
    let has =
        |program: &str, name: &str| listed(&of(program)).iter().any(|c| c.starts_with(&format!("{name} ")));
    assert!(has("virt-hooks", "clap") && has("virt-hooks", "rustix"));
    assert!(has("virt-hooks-vm", "libloading") && !has("virt-hooks", "libloading"));
    assert!(has("virt-hooks-kubevirt", "tonic") && !has("virt-hooks-bundled", "tonic"));
    // Macros, build scripts, and what only tests use.
    for name in ["serde_derive", "clap_derive", "protox", "tonic-prost-build", "libtest-mimic", "syn"] {
        assert!(!has("virt-hooks-kubevirt", name), "{name}");
    }
}

#[test]
fn it_is_the_same_twice_and_has_the_texts() {
    let places: Vec<PathBuf> = PROGRAMS.iter().map(|p| place(p)).collect();
    let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    let page = notices::of(&places).unwrap();
    assert_eq!(page, notices::of(&places).unwrap());
    assert!(page.contains("Permission is hereby granted, free of charge"), "no text of MIT");
    assert!(page.contains("Permission to use, copy, modify"), "no text of ISC");
    // A sister of the same repository lends its text.
    let line = page.lines().find(|l| l.starts_with("tonic-prost ")).unwrap();
    assert!(line.contains("no licence file of its own: text ") && line.contains(" of tonic "), "{line}");
    let home = xtask::root();
    assert!(!page.contains(home.to_str().unwrap()) && !page.contains(".cargo/registry"));
}

/// Only executables that stand alone bring a C library along.
#[test]
fn static_executables_bring_the_c_library() {
    let arch = std::env::consts::ARCH;
    let place = PathBuf::from(format!("/src/target/{arch}-unknown-linux-musl/release/virt-hooks"));
    let page = notices::of(&[&place]).unwrap();
    assert!(page.contains("The C library musl, in virt-hooks: MIT: text "));
    assert!(listed(&page).iter().any(|c| c.starts_with("dlmalloc ")), "an allocator that only musl needs");
    assert!(!of("virt-hooks").contains("musl, in"));
}
