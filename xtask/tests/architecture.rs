// SPDX-License-Identifier: Apache-2.0
//! Who may depend on whom, and under which licences.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use xtask::licences::is_allowed;

/// The layers, by directory. An arrow leads from a layer to a lower one, never sideways. The executables
/// above the command use its library: the same grammar, the same view.
const LAYERS: &[(&str, u8)] = &[
    ("crates/contract", 0),
    ("crates/domxml", 0),
    ("crates/spawn", 1),
    ("crates/journal", 1),
    ("crates/libvirt", 1),
    ("crates/sdk", 1),
    ("crates/engine", 2),
    ("crates/agent", 3),
    ("crates/networks", 3),
    ("crates/package", 3),
    ("apps/virt-hooks", 4),
    ("apps/", 5),
    ("tests/", 5),
    ("benches", 6),
    ("xtask", 6),
];

/// Not for the engine, however far down: it is synchronous and knows neither libvirt nor a command line.
const NOT_FOR_THE_ENGINE: &[&str] =
    &["virt-hooks-libvirt", "libloading", "virt", "tokio", "clap", "smol", "mio"];

/// What `cargo metadata` says.
struct Workspace {
    packages: BTreeMap<String, Package>,
}

struct Package {
    name: String,
    licence: String,
    /// Its directory below the root; `None`: not of this workspace.
    directory: Option<String>,
    /// Ids of what it is made from; what only its tests use is not among them.
    uses: Vec<String>,
}

impl Workspace {
    fn read() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let rustc = Command::new("rustc").arg("-vV").output().unwrap();
        let host = String::from_utf8(rustc.stdout).unwrap();
        let host = host.lines().find_map(|l| l.strip_prefix("host: ")).unwrap().to_owned();
        let said = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &host])
            .current_dir(xtask::root())
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        Self::of(&serde_json::from_slice(&said.stdout).unwrap(), &xtask::root())
    }

    fn of(metadata: &Value, root: &Path) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let nodes: BTreeMap<String, Value> =
            list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node["id"]), node)).collect();
        let members: BTreeSet<String> = list(&metadata["workspace_members"]).iter().map(text).collect();
        let mut packages = BTreeMap::new();
        for package in list(&metadata["packages"]) {
            let id = text(&package["id"]);
            let Some(node) = nodes.get(&id) else { continue };
            let made_from = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|k| k["kind"] != "dev");
            let uses = list(&node["deps"]).iter().filter(|d| made_from(d)).map(|d| text(&d["pkg"])).collect();
            let directory = members.contains(&id).then(|| {
                let manifest = text(&package["manifest_path"]);
                let dir = Path::new(&manifest).parent().unwrap().strip_prefix(root).unwrap();
                dir.to_str().unwrap().to_owned()
            });
            let (name, licence) = (text(&package["name"]), text(&package["license"]));
            packages.insert(id, Package { name, licence, directory, uses });
        }
        Self { packages }
    }

    fn own(&self) -> impl Iterator<Item = (&Package, &str)> {
        self.packages.values().filter_map(|p| Some((p, p.directory.as_deref()?)))
    }

    /// Everything a package is made from, however far down.
    fn closure(&self, package: &Package) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let mut todo: Vec<&String> = package.uses.iter().collect();
        while let Some(id) = todo.pop() {
            let Some(used) = self.packages.get(id) else { continue };
            if names.insert(used.name.as_str()) {
                todo.extend(&used.uses);
            }
        }
        names
    }

    fn wrong_arrows(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (package, from) in self.own() {
            let Some(layer) = layer(from) else {
                wrong.push(format!("{from} has no layer: give it one in {}", file!()));
                continue;
            };
            for used in package.uses.iter().filter_map(|id| self.packages.get(id)) {
                let Some(to) = used.directory.as_deref() else { continue };
                if self::layer(to).is_none_or(|l| l >= layer) {
                    wrong.push(format!("{from} (layer {layer}) depends on {to}, which is not below it"));
                }
            }
        }
        wrong
    }
}

fn layer(directory: &str) -> Option<u8> {
    let fits = |name: &str| directory == name || (name.ends_with('/') && directory.starts_with(name));
    LAYERS.iter().find(|(name, _)| fits(name)).map(|(_, layer)| *layer)
}

#[test]
fn arrows_lead_down() {
    let wrong = Workspace::read().wrong_arrows();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_engine_knows_neither_libvirt_nor_a_command_line() {
    let workspace = Workspace::read();
    let (engine, _) = workspace.own().find(|(_, dir)| *dir == "crates/engine").unwrap();
    let closure = workspace.closure(engine);
    assert!(closure.contains("virt-hooks-contract") && closure.contains("serde"), "{closure:?}");
    let wrong: Vec<_> = closure
        .iter()
        .filter(|name| {
            NOT_FOR_THE_ENGINE.contains(name) || name.starts_with("async-") || name.starts_with("futures")
        })
        .collect();
    assert!(wrong.is_empty(), "the engine depends on {wrong:?}");
}

/// That the two tests above can fail.
#[test]
fn an_arrow_sideways_or_up_is_seen() {
    let package = |name: &str, deps: &[(&str, Option<&str>)]| {
        let deps: Vec<Value> = deps
            .iter()
            .map(|(pkg, kind)| serde_json::json!({"pkg": pkg, "dep_kinds": [{"kind": kind}]}))
            .collect();
        (
            serde_json::json!({"id": name, "name": name, "manifest_path": format!("/root/{name}/Cargo.toml")}),
            serde_json::json!({"id": name, "deps": deps}),
        )
    };
    let (packages, nodes): (Vec<Value>, Vec<Value>) = [
        package("crates/domxml", &[("crates/contract", None)]),
        package("crates/contract", &[("crates/engine", Some("dev"))]),
        package("crates/engine", &[("crates/agent", None), ("crates/contract", None)]),
        package("crates/agent", &[]),
        package("crates/new", &[]),
    ]
    .into_iter()
    .unzip();
    let members: Vec<&Value> = packages.iter().map(|p| &p["id"]).collect();
    let metadata =
        serde_json::json!({"packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}});
    let wrong = Workspace::of(&metadata, Path::new("/root")).wrong_arrows();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert_eq!(wrong[0], "crates/domxml (layer 0) depends on crates/contract, which is not below it");
    assert_eq!(wrong[1], "crates/engine (layer 2) depends on crates/agent, which is not below it");
    assert!(wrong[2].starts_with("crates/new has no layer"));
}

#[test]
fn licences_are_those_allowed() {
    let allowed = xtask::licences::allowed().unwrap();
    let workspace = Workspace::read();
    assert!(workspace.packages.len() > 20);
    let wrong: Vec<String> = workspace
        .packages
        .values()
        .filter(|p| !is_allowed(&p.licence, &allowed))
        .map(|p| format!("{}: {:?}", p.name, p.licence))
        .collect();
    assert!(wrong.is_empty(), "not in the list of deny.toml:\n{}", wrong.join("\n"));
}

#[test]
fn cargo_deny_agrees() {
    println!("advisories: skipped, they have to be fetched from the network");
    if !Command::new("cargo-deny").arg("--version").output().is_ok_and(|o| o.status.success()) {
        println!("cargo deny: skipped, it is not installed; licences are checked without it");
        return;
    }
    let said = Command::new("cargo-deny")
        .args(["--offline", "check", "licenses", "bans", "sources"])
        .current_dir(xtask::root())
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
