// SPDX-License-Identifier: Apache-2.0
//! Which crates are in an executable, as cargo resolves features and targets for it alone.

use super::NoticesError;
use super::page::Crate;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// An executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name, which is that of its package.
    pub name: String,
    /// What it was built for, such as `x86_64-unknown-linux-musl`.
    pub target: String,
}

impl Program {
    /// An executable by its place. Cargo puts what it builds for a named target below that target's name; what
    /// lies elsewhere was built for this host.
    ///
    /// # Errors
    /// rustc cannot be asked.
    pub fn at(path: &Path) -> Result<Self, NoticesError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of_target = path.ancestors().nth(2).and_then(Path::file_name).and_then(|n| n.to_str());
        let target = match of_target.filter(|n| n.contains("-linux-")) {
            Some(target) => target.to_owned(),
            None => host()?,
        };
        Ok(Self { name, target })
    }
}

/// The crates in executables, and those beside them that may lend a text.
#[derive(Clone, Debug, Default)]
pub struct Linked {
    /// Those of others that are linked, by name and version.
    pub crates: Vec<Crate>,
    /// All of others, linked or not.
    pub known: Vec<Crate>,
}

/// What is linked into executables: normal dependencies with the features and for the target of each; no build
/// scripts, no macros, nothing that only tests use.
///
/// # Errors
/// Cargo cannot be asked, or a source is not here.
pub fn linked(programs: &[Program]) -> Result<Linked, NoticesError> {
    let mut wanted = BTreeSet::new();
    for program in programs {
        wanted.extend(tree(program)?);
    }
    let targets: BTreeSet<&str> = programs.iter().map(|p| p.target.as_str()).collect();
    let mut packages: BTreeMap<(String, String), Option<Value>> = BTreeMap::new();
    for target in targets {
        let words =
            ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", target];
        let command = format!("cargo {}", words.join(" "));
        let said: Value = serde_json::from_str(&run(&cargo(), &words)?)
            .map_err(|e| NoticesError::Unreadable { command, what: e.to_string() })?;
        let members: BTreeSet<&str> = list(&said["workspace_members"]).iter().map(text).collect();
        for package in list(&said["packages"]) {
            let own = members.contains(text(&package["id"]));
            let key = (text(&package["name"]).to_owned(), text(&package["version"]).to_owned());
            packages.insert(key, (!own).then(|| package.clone()));
        }
    }
    let mut linked = Linked::default();
    for ((name, version), package) in &packages {
        if let Some(package) = package {
            linked.known.push(read(name, version, package)?);
        }
    }
    for (name, version) in wanted {
        match packages.get(&(name.clone(), version.clone())) {
            None => return Err(NoticesError::Unknown(format!("{name} {version}"))),
            Some(None) => {}
            Some(Some(_)) => {
                linked
                    .crates
                    .extend(linked.known.iter().find(|c| c.name == name && c.version == version).cloned());
            }
        }
    }
    Ok(linked)
}

/// Name and version of everything in an executable, our own crates among them.
fn tree(program: &Program) -> Result<BTreeSet<(String, String)>, NoticesError> {
    let words = [
        "tree",
        "--locked",
        "--offline",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        &program.name,
        "--target",
        &program.target,
    ];
    let said = run(&cargo(), &words)?;
    said.lines()
        .filter(|l| !l.is_empty())
        .map(|line| {
            let mut parts = line.split(' ');
            match (parts.next(), parts.next().and_then(|v| v.strip_prefix('v'))) {
                (Some(name), Some(version)) => Ok((name.to_owned(), version.to_owned())),
                _ => Err(NoticesError::Unreadable {
                    command: format!("cargo {}", words.join(" ")),
                    what: line.to_owned(),
                }),
            }
        })
        .collect()
}

fn read(name: &str, version: &str, package: &Value) -> Result<Crate, NoticesError> {
    let dir = Path::new(text(&package["manifest_path"])).parent().unwrap_or(Path::new(""));
    let mut names = BTreeSet::new();
    let failed = |source| NoticesError::File { path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_notice(&name) && entry.path().is_file() {
            names.insert(name);
        }
    }
    names.extend(package["license_file"].as_str().map(str::to_owned));
    let mut texts = Vec::new();
    for name in names {
        let path = dir.join(&name);
        let content = fs::read(&path).map_err(|source| NoticesError::File { path, source })?;
        let content = String::from_utf8_lossy(&content).replace("\r\n", "\n");
        texts.push((name, format!("{}\n", content.trim_matches('\n').trim_end())));
    }
    Ok(Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: text(&package["license"]).to_owned(),
        authors: list(&package["authors"]).iter().map(|a| text(a).to_owned()).collect(),
        repository: text(&package["repository"]).to_owned(),
        texts,
    })
}

/// Whether a file has terms or whose they are, by its name.
fn is_notice(name: &str) -> bool {
    let upper = name.to_uppercase();
    let is_source = [".RS", ".PY", ".SH"].iter().any(|e| upper.ends_with(e));
    let starts = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE", "PATENTS"];
    !is_source && starts.iter().any(|s| upper.starts_with(s))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn host() -> Result<String, NoticesError> {
    let said = run("rustc", &["-vV"])?;
    let host = said.lines().find_map(|l| l.strip_prefix("host: "));
    let unreadable = || NoticesError::Unreadable { command: "rustc -vV".to_owned(), what: said.clone() };
    host.map(str::to_owned).ok_or_else(unreadable)
}

fn run(program: &str, words: &[&str]) -> Result<String, NoticesError> {
    let command = || format!("{program} {}", words.join(" "));
    let done = Command::new(program)
        .args(words)
        .current_dir(crate::root())
        .output()
        .map_err(|source| NoticesError::Run { command: command(), source })?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        return Err(NoticesError::Failed { command: command(), said });
    }
    String::from_utf8(done.stdout)
        .map_err(|e| NoticesError::Unreadable { command: command(), what: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_from_where_cargo_puts_things() {
        let of = |path: &str| Program::at(Path::new(path)).unwrap();
        let musl = of("/src/target/aarch64-unknown-linux-musl/release/virt-hooks");
        assert_eq!((musl.name.as_str(), musl.target.as_str()), ("virt-hooks", "aarch64-unknown-linux-musl"));
        assert_eq!(of("/src/target/release/virt-hooksd").target, host().unwrap());
    }

    #[test]
    fn notices_are_known_by_their_names() {
        for name in ["LICENSE", "LICENSE-MIT", "license-apache.md", "COPYING", "NOTICE.txt", "UNLICENSE"] {
            assert!(is_notice(name), "{name}");
        }
        for name in ["license.rs", "README.md", "Cargo.toml"] {
            assert!(!is_notice(name), "{name}");
        }
    }
}
