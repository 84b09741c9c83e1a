// SPDX-License-Identifier: Apache-2.0
//! The bundled hooks, found by listing a directory. The build script writes what this makes; a test holds that
//! nothing but a directory is needed for one more.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use virt_hooks_contract::Manifest;

/// Rust for the hooks in `root`: a module for each package and a table of all hooks; and the files it was made from.
pub(crate) fn registry(root: &Path) -> Result<(String, Vec<PathBuf>), String> {
    let mut modules = String::new();
    let mut table = String::from("static HOOKS: &[Hook] = &[\n");
    let mut read = vec![root.to_owned()];
    for dir in sorted(root)? {
        let file = dir.join("hook.toml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let manifest = Manifest::parse(&file.to_string_lossy(), &text).map_err(|e| e.to_string())?;
        let name = &manifest.name;
        if !dir.ends_with(name) {
            return Err(format!("{}: the name is {name}, the directory is not", file.display()));
        }
        read.push(dir.clone());
        let _ = writeln!(modules, "#[doc = {:?}]\nmod {name} {{", manifest.summary);
        for source in sorted(&dir)?.into_iter().filter(|f| f.extension().is_some_and(|e| e == "rs")) {
            let module = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let _ = writeln!(modules, "    #[path = {source:?}]\n    pub(super) mod {module};");
            read.push(source);
        }
        modules.push_str("}\n");
        for point in &manifest.point {
            // Several points may share one source: `<point>.rs` where there is one, else `hook.rs`.
            let own = dir.join(format!("{}.rs", point.name)).is_file();
            let module = if own { point.name.as_str() } else { "hook" };
            let _ = writeln!(
                table,
                "    Hook {{ package: {name:?}, point: {:?}, file: {:?}, run: {name}::{module}::run }},",
                point.name, point.file
            );
        }
    }
    table.push_str("];\n");
    Ok((modules + &table, read))
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let list = std::fs::read_dir(dir).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    let mut entries: Vec<PathBuf> = list.map_err(|e| format!("list {}: {e}", dir.display()))?;
    entries.sort();
    Ok(entries)
}
