// SPDX-License-Identifier: Apache-2.0
//! Finds the bundled hooks by listing `hooks/`: a new one is one new directory, and nothing else is edited.
#![allow(clippy::expect_used, clippy::panic, reason = "a build script reports by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use virt_hooks_contract::Manifest;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&root).join("../../hooks").canonicalize().expect("hooks/ in the checkout");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut modules = String::new();
    let mut table = String::from("static HOOKS: &[Hook] = &[\n");
    for dir in sorted(&root) {
        let manifest_file = dir.join("hook.toml");
        let Ok(text) = std::fs::read_to_string(&manifest_file) else { continue };
        println!("cargo::rerun-if-changed={}", dir.display());
        let manifest =
            Manifest::parse(&manifest_file.to_string_lossy(), &text).unwrap_or_else(|e| panic!("{e}"));
        let name = &manifest.name;
        assert!(dir.ends_with(name), "{}: the name is {name}, the directory is not", manifest_file.display());
        writeln!(modules, "#[doc = {:?}]\nmod {name} {{", manifest.summary).expect("write to a string");
        for source in sorted(&dir).into_iter().filter(|f| f.extension().is_some_and(|e| e == "rs")) {
            println!("cargo::rerun-if-changed={}", source.display());
            let module = source.file_stem().expect("a file has a name").to_string_lossy();
            writeln!(modules, "    #[path = {source:?}]\n    pub(super) mod {module};")
                .expect("write to a string");
        }
        modules.push_str("}\n");
        for point in &manifest.point {
            // Several points may share one source: `<point>.rs` where there is one, else `hook.rs`.
            let own = dir.join(format!("{}.rs", point.name)).is_file();
            let module = if own { point.name.as_str() } else { "hook" };
            writeln!(
                table,
                "    Hook {{ package: {name:?}, point: {:?}, file: {:?}, run: {name}::{module}::run }},",
                point.name, point.file
            )
            .expect("write to a string");
        }
    }
    table.push_str("];\n");
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("registry.rs"), modules + &table).expect("write the registry");
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("list a directory").flatten().map(|e| e.path()).collect();
    entries.sort();
    entries
}
