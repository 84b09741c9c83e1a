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
use virt_hooks_contract::{Manifest, Scope};

/// Runs of each: enough for a median, a few seconds for all.
const ROUNDS: usize = 60;
/// As most payloads are.
const PAYLOAD: usize = 12 << 10;

/// One hook to be run.
struct Hook {
    link: PathBuf,
    manifest: Manifest,
    point: String,
}

/// Times every hook that works on XML and calls no command.
pub(crate) fn table(stage: &Stage) -> Result<Table, BenchError> {
    let program = build("virt-hooks-bundled")?;
    let given = PathBuf::from(stage.payload(PAYLOAD)?);
    let payload = stage.run_dir().join("bundled.xml");
    let mut table = Table::new(
        "Bundled hooks, each as a process, 12 KiB domain",
        ["hook", "point", "without its property", "with it", "with it / empty program"],
    );
    for hook in hooks(stage.run_dir(), &program)? {
        let start = |link: &Path, with: bool| -> Result<f64, BenchError> {
            fs::copy(&given, &payload).map_err(BenchError::file("write", &payload))?;
            let mut command = Command::new(link);
            command.env_clear().env("_hook_domxml", &payload).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let vm = hook.manifest.property.iter().filter(|p| with && p.scope == Scope::Vm);
            command.envs(vm.map(|p| (&p.name, &p.example)));
            let started = Instant::now();
            // A hook that refuses this domain has read it all the same.
            command
                .status()
                .map_err(|source| BenchError::Start { program: "a bundled hook".into(), source })?;
            Ok(started.elapsed().as_nanos() as f64)
        };
        let (mut empty, mut unset, mut set) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS + 5 {
            let times =
                [start(stage.empty_program(), false)?, start(&hook.link, false)?, start(&hook.link, true)?];
            // The first ones are for the caches.
            if round >= 5 {
                empty.push(times[0]);
                unset.push(times[1]);
                set.push(times[2]);
            }
        }
        let ratios = set.iter().zip(&empty).map(|(a, b)| a / b).collect();
        let shown = |times| Spread::of(times).map_or(NONE.to_owned(), |s| time(s.median));
        table.row([
            hook.manifest.name.clone(),
            hook.point.clone(),
            shown(unset),
            shown(set),
            ratio(Spread::of(ratios)),
        ]);
    }
    Ok(table)
}

fn hooks(scratch: &Path, program: &Path) -> Result<Vec<Hook>, BenchError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hooks");
    let mut directories: Vec<PathBuf> = fs::read_dir(&root)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect())
        .map_err(BenchError::file("list", &root))?;
    directories.sort();
    let copy = scratch.join("virt-hooks-bundled");
    fs::copy(program, &copy).map_err(BenchError::file("write", &copy))?;
    let mut hooks = Vec::new();
    for directory in directories {
        let Ok(text) = fs::read_to_string(directory.join("hook.toml")) else { continue };
        let Ok(manifest) = Manifest::parse("hook.toml", &text) else { continue };
        // What a command takes is not the hook's.
        if !manifest.commands.is_empty() || !manifest.sudo.is_empty() {
            continue;
        }
        let Some(point) = manifest.point.iter().find(|p| p.name == "before_vm_start").cloned() else {
            continue;
        };
        let link = scratch.join(&point.name).join(&point.file);
        let made =
            link.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::hard_link(&copy, &link));
        made.map_err(BenchError::file("make", &link))?;
        hooks.push(Hook { link, point: point.name, manifest });
    }
    Ok(hooks)
}
