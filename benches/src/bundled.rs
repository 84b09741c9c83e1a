// SPDX-License-Identifier: Apache-2.0
//! Each bundled hook as a process, against the start of a program that does nothing.

use crate::command::build;
use crate::error::BenchError;
use crate::stage::Stage;
use crate::stats::Spread;
use crate::table::{NONE, Table, ratio, time};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use virt_hooks_contract::{Catalogue, Manifest, PayloadKind, Scope};

/// Runs of each: enough for a median, a few seconds for all.
const ROUNDS: usize = 60;
/// As most payloads are.
const PAYLOAD: usize = 12 << 10;

/// One hook to be run.
struct Hook {
    link: PathBuf,
    manifest: Manifest,
    point: String,
    kind: PayloadKind,
    /// It changes the host if it is asked to: measured only without its properties.
    acts: bool,
}

/// Times every hook at one of its points.
pub(crate) fn table(stage: &Stage) -> Result<Table, BenchError> {
    let program = build("virt-hooks-bundled")?;
    let domain = PathBuf::from(stage.payload(PAYLOAD)?);
    let given = |kind: &PayloadKind, point: &str| -> Result<Vec<u8>, BenchError> {
        match kind {
            PayloadKind::Xml => fs::read(&domain).map_err(BenchError::file("read", &domain)),
            _ => Ok(json_payload(point).into_bytes()),
        }
    };
    let mut table = Table::new(
        "Bundled hooks, each as a process, 12 KiB domain or a small JSON payload",
        ["hook", "point", "without its property", "with it", "without it / empty", "with it / empty"],
    );
    for hook in hooks(stage.run_dir(), &program)? {
        let xml = given(&hook.kind, &hook.point)?;
        let payload = stage.run_dir().join("bundled.payload");
        let variable = if hook.kind == PayloadKind::Xml { "_hook_domxml" } else { "_hook_json" };
        let start = |link: &Path, with: bool| -> Result<f64, BenchError> {
            fs::write(&payload, &xml).map_err(BenchError::file("write", &payload))?;
            let mut command = Command::new(link);
            command.env_clear().env(variable, &payload).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let own = hook.manifest.property.iter().filter(|p| with && p.scope != Scope::Network);
            command.envs(own.map(|p| (&p.name, &p.example)));
            let started = Instant::now();
            // A hook that refuses this payload has read it all the same.
            command
                .status()
                .map_err(|source| BenchError::Start { program: "a bundled hook".into(), source })?;
            Ok(started.elapsed().as_nanos() as f64)
        };
        let (mut empty, mut unset, mut set) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS + 5 {
            let bare = [start(stage.empty_program(), false)?, start(&hook.link, false)?];
            let with = if hook.acts { None } else { Some(start(&hook.link, true)?) };
            // The first ones are for the caches.
            if round >= 5 {
                empty.push(bare[0]);
                unset.push(bare[1]);
                set.extend(with);
            }
        }
        let against =
            |times: &[f64]| ratio(Spread::of(times.iter().zip(&empty).map(|(a, b)| a / b).collect()));
        let shown = |times| Spread::of(times).map_or(NONE.to_owned(), |s| time(s.median));
        let (unset_ratio, set_ratio) = (against(&unset), against(&set));
        table.row([
            hook.manifest.name.clone(),
            hook.point.clone(),
            shown(unset),
            shown(set),
            unset_ratio,
            set_ratio,
        ]);
    }
    Ok(table)
}

/// A payload such as an engine would send to hooks of JSON events; no network in it asks for anything.
fn json_payload(point: &str) -> String {
    match point {
        "before_network_setup" | "after_network_setup" => {
            r#"{"request": {"networks": {"net": {"nic": "em1", "bridged": true}}, "bondings": {}, "options": {}}}"#
        }
        "after_get_all_vm_stats" => r#"[{"vmId": "a", "status": "Down"}]"#,
        "after_disk_prepare" => r#"{"imageID": "i", "volumeID": "v", "format": "cow", "path": "/none"}"#,
        _ => r#"{"network": {"em1": {"state": "up"}}}"#,
    }
    .to_owned()
}

fn hooks(scratch: &Path, program: &Path) -> Result<Vec<Hook>, BenchError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hooks");
    let mut directories: Vec<PathBuf> = fs::read_dir(&root)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect())
        .map_err(BenchError::file("list", &root))?;
    directories.sort();
    let copy = scratch.join("virt-hooks-bundled");
    fs::copy(program, &copy).map_err(BenchError::file("write", &copy))?;
    let catalogue = Catalogue::built_in();
    let mut hooks = Vec::new();
    for directory in directories {
        let Ok(text) = fs::read_to_string(directory.join("hook.toml")) else { continue };
        // One that is left out would be missed by nobody.
        let manifest = Manifest::parse(&directory.join("hook.toml").to_string_lossy(), &text)
            .map_err(|e| BenchError::Manifest(e.to_string()))?;
        // The one that most of them have, else the first.
        let usual = manifest.point.iter().find(|p| p.name == "before_vm_start");
        let Some(point) = usual.or(manifest.point.first()).cloned() else { continue };
        let kind = catalogue.get(&point.name).map_or(PayloadKind::None, |known| known.payload);
        // What a command takes is not the hook's, and what it does to this host is not wanted.
        let acts = !manifest.commands.is_empty() || !manifest.sudo.is_empty();
        // A network's property is in the payload, whose size is another's then.
        let acts = acts || manifest.property.iter().all(|p| p.scope == Scope::Network);
        let link = scratch.join(&point.name).join(&point.file);
        let made =
            link.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::hard_link(&copy, &link));
        made.map_err(BenchError::file("make", &link))?;
        hooks.push(Hook { link, point: point.name, kind, acts, manifest });
    }
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_has_a_row_and_none_acts_on_this_host() {
        let scratch = std::env::temp_dir().join(format!("virt-hooks-bench-test.{}", std::process::id()));
        fs::create_dir(&scratch).unwrap();
        let found = hooks(&scratch, Path::new("/bin/true"));
        fs::remove_dir_all(&scratch).unwrap();
        let found = found.unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hooks");
        let packages =
            fs::read_dir(root).unwrap().filter(|e| e.as_ref().unwrap().path().join("hook.toml").is_file());
        assert_eq!(found.len(), packages.count());
        for hook in &found {
            let calls = !hook.manifest.commands.is_empty() || !hook.manifest.sudo.is_empty();
            assert!(hook.acts || !calls, "{}", hook.manifest.name);
        }
        assert!(found.iter().any(|hook| hook.kind == PayloadKind::Json));
    }
}
