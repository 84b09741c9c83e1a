// SPDX-License-Identifier: Apache-2.0
//! The agent and its units as systemd's own tools take them. A test whose tool is not here counts as ignored, with the
//! reason.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is ignored"
)]

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn main() -> ExitCode {
    let trial = |name: &str, missing: Option<String>, test: fn()| {
        if let Some(missing) = &missing {
            eprintln!("{name} is ignored: {missing}");
        }
        let run = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(missing.is_some())
    };
    let tool = |name: &str| (!has(name)).then(|| format!("{name} is not installed here"));
    let libvirt = || virt_hooks_libvirt::Libvirt::load().err().map(|error| error.to_string());
    let trials = vec![
        trial("systemd_understands_the_units", tool("systemd-analyze"), systemd_understands_the_units),
        trial(
            "a_call_may_be_what_starts_the_agent",
            tool("systemd-socket-activate").or_else(libvirt),
            a_call_may_be_what_starts_the_agent,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn systemd_understands_the_units() {
    let dir = tempfile::tempdir().unwrap();
    // What the lines of the units run has to be there.
    for program in ["bin/virt-hooks", "libexec/virt-hooks/virt-hooksd"] {
        let program = dir.path().join(program);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    let verify = |edit: &dyn Fn(String) -> String| {
        let made = ["virt-hooksd.service", "virt-hooksd.socket"].map(|name| {
            let text = fs::read_to_string(units.join(name)).unwrap();
            let made = dir.path().join(name);
            fs::write(&made, edit(text.replace("@PREFIX@", dir.path().to_str().unwrap()))).unwrap();
            made
        });
        let output =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).args(made).output().unwrap();
        // Units of others that are installed here are no matter of ours.
        let said = String::from_utf8_lossy(&output.stderr);
        said.lines().filter(|line| line.contains("virt-hooksd")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(verify(&|text| text), Vec::<String>::new());
    let broken = verify(&|text| text.replace("KillMode", "KilMode"));
    assert!(broken.iter().any(|line| line.contains("KilMode")), "it would have said so: {broken:?}");
}

/// Ends it whatever comes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Much, on a machine that is busy with other tests.
const LONG: Duration = Duration::from_secs(300);

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LONG, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn call(stream: &mut UnixStream, method: &str, parameters: &Value) -> Value {
    let call = json!({"method": format!("io.virthooks.Agent.{method}"), "parameters": parameters});
    stream.write_all(format!("{call}\0").as_bytes()).unwrap();
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(0, &mut answer).unwrap();
    assert_eq!(answer.pop(), Some(0), "no answer");
    serde_json::from_slice(&answer).unwrap()
}

fn a_call_may_be_what_starts_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (hooks, fired) = (path("hooks/after_vm_start"), path("fired"));
    fs::create_dir_all(&hooks).unwrap();
    let hook = hooks.join("10_note");
    fs::write(&hook, format!("#!/bin/sh\necho \"$_hook_point\" >>'{}'\n", fired.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let socket = path("agent.sock");
    // It hands no variable on that it is not told to.
    let place = |name: &str, of: &str| format!("--setenv={name}={}", path(of).display());
    let child = Command::new("systemd-socket-activate")
        .arg("--listen")
        .arg(&socket)
        .arg(place("VIRT_HOOKS_STATE_DIR", "state"))
        .arg(place("VIRT_HOOKS_CONFIG", "config.toml"))
        .arg(place("VIRT_HOOKS_LAUNCH_FLAGS_DIR", "flags"))
        .arg(env!("CARGO_BIN_EXE_virt-hooksd"))
        .args(["--connect", "test:///default", "--hooks-dir"])
        .arg(path("hooks"))
        .arg("--run-dir")
        .arg(path("run"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    fs::write(path("config.toml"), "").unwrap();
    let mut running = Running(child.unwrap());
    until("systemd listens", || socket.exists());
    assert!(!path("run").exists(), "nobody called yet");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let uuid = "00000000-0000-0000-0000-00000000000d";
    let xml = format!(
        "<domain type='test'><name>first</name><uuid>{uuid}</uuid><memory>1024</memory>\
         <os><type>hvm</type></os></domain>"
    );
    let started = call(&mut stream, "Start", &json!({"xml": xml}));
    assert_eq!(
        (&started["error"], &started["parameters"]["name"]),
        (&Value::Null, &json!("first")),
        "{started}"
    );
    assert_eq!(fs::read_to_string(&fired).unwrap(), "after_vm_start\n");
    let listed = call(&mut stream, "List", &json!({}));
    assert!(listed.to_string().contains(uuid), "{listed}");
    // The agent took the place of the tool, under the same number.
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("it ends", || running.0.try_wait().unwrap().is_some());
    assert!(running.0.wait().unwrap().success());
    assert!(socket.exists(), "the socket is the service manager's");
}
