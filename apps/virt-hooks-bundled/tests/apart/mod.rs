// SPDX-License-Identifier: Apache-2.0
//! Tests that run apart from the host: no network of it, and directories of their own in the place of some of its.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Set in the process that is apart.
const INSIDE: &str = "TEST_APART_FROM_THE_HOST";

/// Runs this test executable again, apart from the host and after a script that arranges the place, unless that is
/// where it runs already or it is only asked which tests it has.
///
/// # Errors
/// Why it cannot be done here, in one line.
pub(crate) fn enter(script: &str, only_listed: bool) -> Result<(), String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    // As root, or as one who is root in a place of his own.
    let ways = [&["-m", "-n"][..], &["-r", "-m", "-n"]];
    let way = ways.into_iter().find(|way| can(way, script));
    let way = way.ok_or("no right to make namespaces with `unshare -m -n`; run as root")?;
    if only_listed {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|error| format!("find this executable: {error}"))?;
    let script = format!("{script}\nexec \"$@\"");
    let error = Command::new("unshare")
        .args(way)
        .args(["sh", "-c", &script, "sh"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(format!("run unshare: {error}"))
}

fn can(way: &[&str], script: &str) -> bool {
    let mut command = Command::new("unshare");
    command
        .args(way)
        .args(["sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
