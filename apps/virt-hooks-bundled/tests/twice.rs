// SPDX-License-Identifier: Apache-2.0
//! Every hook on its own output: running it again changes nothing more, unless its manifest says so.
//!
//! The inputs are the recorded cases that need nothing of the host beside the payload and the environment.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use virt_hooks_contract::Manifest;

/// Runs a hook as it is installed, and says how it ended.
fn run(link: &Path, payload: &Path, env: &serde_json::Map<String, Value>) -> Option<i32> {
    let variable =
        if payload.extension().is_some_and(|e| e == "json") { "_hook_json" } else { "_hook_domxml" };
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let out = Command::new(link)
        .env_clear()
        .env("PATH", "/nonexistent")
        .envs(env.iter().map(|(n, v)| (n, text(v))))
        .env(variable, payload)
        .output()
        .unwrap();
    out.status.code()
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

#[test]
fn a_second_run_changes_nothing_more() {
    let work = tempfile::tempdir().unwrap();
    let binary = work.path().join("virt-hooks-bundled");
    fs::copy(env!("CARGO_BIN_EXE_virt-hooks-bundled"), &binary).unwrap();
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks");
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    for package in directories(&hooks) {
        let text = fs::read_to_string(package.join("hook.toml")).unwrap();
        let manifest = Manifest::parse("hook.toml", &text).unwrap();
        // One that calls commands would call them again, which its own tests are about.
        let acts = !manifest.commands.is_empty() || !manifest.sudo.is_empty();
        if !manifest.idempotent || acts {
            continue;
        }
        for point in &manifest.point {
            let link = work.path().join(&point.name).join(&point.file);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            fs::hard_link(&binary, &link).unwrap();
            for case in directories(&package.join("cases").join(&point.name)) {
                let told: Value = serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
                let needs = ["files", "commands", "rpc", "netdevs", "libvirt", "needs"];
                let Some(env) = told["env"].as_object().filter(|_| needs.iter().all(|n| told[*n].is_null()))
                else {
                    continue;
                };
                let Some(given) =
                    ["in.xml", "in.json"].map(|n| case.join(n)).into_iter().find(|p| p.is_file())
                else {
                    continue;
                };
                let payload = work.path().join(given.file_name().unwrap());
                fs::copy(&given, &payload).unwrap();
                if run(&link, &payload, env) != Some(0) {
                    assert_eq!(
                        fs::read(&payload).unwrap(),
                        fs::read(&given).unwrap(),
                        "{}: failed, and changed the payload",
                        case.display()
                    );
                    continue;
                }
                let once = fs::read(&payload).unwrap();
                assert_eq!(run(&link, &payload, env), Some(0), "{}: the second run", case.display());
                let twice = fs::read(&payload).unwrap();
                assert!(
                    once == twice,
                    "{}: changed again:\n{}",
                    case.display(),
                    String::from_utf8_lossy(&twice)
                );
                *ran.entry(manifest.name.clone()).or_default() += 1;
            }
        }
    }
    let must =
        ["boot_hostdev", "cpuflags", "httpsisoboot", "log_console", "log_firmware", "qemucmdline", "smbios"];
    for name in must {
        assert!(ran.get(name).is_some_and(|n| *n > 2), "{name}: {ran:?}");
    }
}
