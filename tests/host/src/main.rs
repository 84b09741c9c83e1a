// SPDX-License-Identifier: Apache-2.0
//! `virt-hooks-testhost COMMAND [ARGUMENT…]`: runs a command on a throw-away libvirt host.
//!
//! The command finds the host by libvirt's default URI, the host's directory in `TESTHOST_ROOT` and
//! the XML of a VM named `demo` in the file `TESTHOST_XML`. `TESTHOST_CACHE` may name a directory that
//! makes the next host's first VM faster. Ends with the command's exit code; 125 if there is no host.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};
use virt_hooks_testhost::{GuestOptions, Host};

/// Exit code if the command did not run, as of `env`, `timeout` and the like.
const NOT_RUN: u8 = 125;

#[expect(clippy::print_stderr, reason = "a program's edge")]
fn main() -> ExitCode {
    match run(env::args_os().skip(1).collect()) {
        Ok(code) => code.into(),
        Err(error) => {
            let mut line = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                line = format!("{line}: {error}");
                cause = error.source();
            }
            eprintln!("virt-hooks-testhost: {line}");
            NOT_RUN.into()
        }
    }
}

fn run(command: Vec<OsString>) -> Result<u8, Box<dyn Error>> {
    let mut command = command.into_iter();
    let program = command.next().ok_or("usage: virt-hooks-testhost COMMAND [ARGUMENT…]")?;
    // Ctrl-C reaches the command too: it ends, and what it leaves is cleaned up here. A signal that was sent
    // to this process alone is passed on.
    static CHILD: Mutex<Option<Pid>> = Mutex::new(None);
    ctrlc::set_handler(|| {
        if let Some(pid) = CHILD.lock().ok().and_then(|pid| *pid) {
            let _ = kill_process(pid, Signal::TERM);
        }
    })?;
    let host = Host::create(env::var_os("TESTHOST_CACHE").map(PathBuf::from).as_deref())?;
    let xml = host.root().join("demo.xml");
    fs::write(&xml, host.domain_xml("demo", &GuestOptions::default()))?;
    let mut child = Command::new(&program)
        .args(command)
        .envs(host.environment())
        .env("TESTHOST_ROOT", host.root())
        .env("TESTHOST_XML", &xml)
        .spawn()
        .map_err(|error| format!("run {}: {error}", program.to_string_lossy()))?;
    if let Ok(mut pid) = CHILD.lock() {
        *pid = Some(Pid::from_child(&child));
    }
    let status = child.wait();
    if let Ok(mut pid) = CHILD.lock() {
        *pid = None;
    }
    let status = status?;
    let _killed = host.cleanup()?;
    // A command that a signal ended has no code; shells call that 128 and more.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(128))
}
