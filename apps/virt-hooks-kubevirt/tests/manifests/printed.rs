// SPDX-License-Identifier: Apache-2.0
//! One run, and what it printed.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// What was printed.
pub(crate) struct Printed {
    pub(crate) objects: Vec<Value>,
    pub(crate) said: String,
}

/// Standard output, standard error and whether it went well.
pub(crate) fn run(options: &[&str]) -> (String, String, bool) {
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks");
    let done = Command::new(env!("CARGO_BIN_EXE_virt-hooks-kubevirt"))
        .arg("manifests")
        .args(options)
        .env("VIRT_HOOKS_PACKAGES_DIR", hooks)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(done.stdout), text(done.stderr), done.status.success())
}

/// Output and what was said.
pub(crate) fn manifests(options: &[&str]) -> (String, String) {
    let all = [options, &["--image", "registry.example.com/vh:1"]].concat();
    let (out, said, good) = run(&all);
    assert!(good, "{options:?}: {said}");
    (out, said)
}

pub(crate) fn printed(options: &[&str]) -> Printed {
    let (out, said) = manifests(options);
    let documents = out.strip_prefix("---\n").unwrap().split("\n---\n");
    let objects =
        documents.map(|d| serde_saphyr::from_str(d).unwrap_or_else(|e| panic!("{e}\n{d}"))).collect();
    Printed { objects, said }
}

/// The one line that says why not.
pub(crate) fn refused(options: &[&str]) -> String {
    let all = [options, &["--image", "registry.example.com/vh:1"]].concat();
    let (out, said, good) = run(&all);
    assert!(!good && out.is_empty(), "{options:?} went well");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

pub(crate) fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|o| o["kind"].as_str().unwrap()).collect()
}

/// A package in a directory of that name, with a script at each point.
pub(crate) fn package(name: &str, points: &[&str], more: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join(name);
    fs::create_dir(&home).unwrap();
    let mut manifest = format!(
        "manifest = 1\nname = \"{name}\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n"
    );
    for point in points {
        manifest += &format!("[[point]]\nname = \"{point}\"\nfile = \"50_{name}\"\n");
        fs::write(home.join(format!("{point}.sh")), "#!/bin/sh\n# --- é\nexit 0\n").unwrap();
    }
    fs::write(home.join("hook.toml"), manifest + more).unwrap();
    dir
}
