// SPDX-License-Identifier: Apache-2.0
//! The command `virt-hooks`, built as it is installed, or why it cannot be measured.

use crate::error::BenchError;
use crate::stage::{Kind, Stage, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Arguments for one event like the others'. `{hooks}` is filled in by the worker.
fn arguments(run_dir: &Path) -> Vec<String> {
    let run_dir = run_dir.display().to_string();
    let mut all = vec!["--hooks-dir", "{hooks}", "--run-dir", &run_dir, "--state-dir", &run_dir];
    all.extend(["fire", "before_vm_start"]);
    all.extend(["--payload", "-", "--vm-id", "13070562-2ee7-4092-a746-7975ff5b3993"]);
    for property in [
        "smbios={'serial': '1234'}",
        "macbind={'00:1a:4a:60:d1:9a': 'br0'}",
        "qemu_cmdline=[\"-cdrom\",\"/x.iso\"]",
        "sap_agent=true",
        "viodiskcache=writethrough",
    ] {
        all.extend(["-p", property]);
    }
    all.into_iter().map(str::to_owned).collect()
}

/// The command, built if none is `given`, and the arguments of one event.
///
/// # Errors
/// In one line: it cannot be built statically here, or does not do the event.
pub(crate) fn find(stage: &Stage, given: Option<&Path>) -> Result<Vec<String>, String> {
    let program = match given {
        Some(program) => program.canonicalize().map_err(|e| format!("{}: {e}", program.display()))?,
        None => build("virt-hooks").map_err(|e| e.line())?,
    };
    let program = stage.link("virt-hooks", &program).map_err(|e| e.line())?;
    let arguments = arguments(stage.run_dir());
    try_it(stage, &program, &arguments)?;
    Ok([vec![program.display().to_string()], arguments].concat())
}

/// A static executable of the workspace, as it is installed.
pub(crate) fn build(package: &str) -> Result<PathBuf, BenchError> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    cargo_build(&["--package", package, "--bin", package, "--target", &target])
}

/// The last executable that cargo names when it builds this.
pub(crate) fn cargo_build(what: &[&str]) -> Result<PathBuf, BenchError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = run(Command::new(cargo)
        .current_dir(root)
        .args(["build", "--release", "--quiet", "--message-format", "json"])
        .args(what))?;
    // With one package, the last executable named is that package's.
    String::from_utf8_lossy(&said)
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split_once('"'))
        .next_back()
        .map(|(path, _)| PathBuf::from(path))
        .ok_or_else(|| BenchError::Failed {
            program: "cargo build".into(),
            said: "it made no program".into(),
        })
}

/// Fires one event with a hook that changes the payload, and sees that the change comes out.
fn try_it(stage: &Stage, program: &Path, arguments: &[String]) -> Result<(), String> {
    let line = |e: BenchError| e.line();
    let hooks = stage.hooks(Kind::Editing, 1).map_err(line)?;
    let payload = stage.payload(12 << 10).map_err(line)?;
    let given = std::fs::File::open(&payload).map_err(|e| e.to_string())?;
    let output = Command::new(program)
        .args(arguments.iter().map(|a| a.replace("{hooks}", &hooks)))
        .stdin(Stdio::from(given))
        .output()
        .map_err(|e| e.to_string())?;
    let before = std::fs::read(&payload).map_err(|e| e.to_string())?;
    let differing = before.iter().zip(&output.stdout).filter(|(a, b)| a != b).count();
    if output.status.success() && output.stdout.len() == before.len() && differing == 1 {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "it does not fire an event yet ({}, {} bytes out; {})",
        output.status,
        output.stdout.len(),
        said.lines().next().unwrap_or("nothing said")
    ))
}
