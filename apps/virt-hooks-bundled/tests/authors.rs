// SPDX-License-Identifier: Apache-2.0
//! The bundled packages as their authors' tools see them: `virt-hooks check` and `virt-hooks test`.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};
use virt_hooks_engine::{Host, Overrides};
use virt_hooks_package::cases::{Cases, Options, Status};
use virt_hooks_package::check::{self, check};
use virt_hooks_package::doctor::Severity;

const PROGRAM: &str = env!("CARGO_BIN_EXE_virt-hooks-bundled");

fn packages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks");
    let mut dirs: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    dirs.retain(|d| d.join("hook.toml").is_file());
    dirs.sort();
    assert!(dirs.len() > 20);
    dirs
}

fn host(dir: &Path) -> Host {
    let config = dir.join("config.toml");
    fs::write(&config, "").unwrap();
    let overrides =
        Overrides { hooks_dirs: vec![dir.to_owned()], config: Some(config), ..Overrides::default() };
    Host::load(overrides, &|_| None).unwrap()
}

#[test]
fn nothing_is_broken_in_any_package() {
    let dir = tempfile::tempdir().unwrap();
    let options = check::Options { program: Some(Path::new(PROGRAM)), ..check::Options::default() };
    for package in packages() {
        let broken: Vec<_> = check(&package, &host(dir.path()), options)
            .into_iter()
            .filter(|f| f.severity == Severity::Broken)
            .collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }
}

#[test]
fn recorded_cases_that_need_no_world_of_their_own_pass() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { program: Some(Path::new(PROGRAM)), ..Options::default() };
    let results = Cases::load(&packages(), &host(dir.path()), options).unwrap().run();
    let failed: Vec<_> = results.iter().filter(|r| matches!(r.status, Status::Failed(_))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let passed = results.iter().filter(|r| r.status == Status::Passed).count();
    assert!(passed > 300, "only {passed} of {} were run", results.len());
}
