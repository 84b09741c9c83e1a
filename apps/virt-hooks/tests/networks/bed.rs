// SPDX-License-Identifier: Apache-2.0
//! A host's networks of their own: a network namespace, hooks, and the command run in it.

use crate::Result;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

pub(crate) const POINTS: [&str; 3] =
    ["before_network_setup", "after_network_setup", "after_network_setup_fail"];

/// A network namespace. Dropping it removes it and the devices in it.
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vh-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let made = Command::new("ip").args(["netns", "add", &name]).output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).trim().to_owned().into());
        }
        let namespace = Self(name);
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// `ip` in it, with these words.
    pub(crate) fn ip(&self, words: &str) -> String {
        let done = Command::new("ip").args(["-n", &self.0]).args(words.split(' ')).output().unwrap();
        assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    pub(crate) fn json(&self, words: &str) -> Vec<Value> {
        let text = self.ip(&format!("-json {words}"));
        if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
    }

    /// A pair of interfaces, the first of them in this namespace's role as NIC.
    pub(crate) fn nic(&self, name: &str) {
        self.ip(&format!("link add {name} type veth peer name {name}-peer"));
        self.ip(&format!("link set {name} up"));
        self.ip(&format!("link set {name}-peer up"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

pub(crate) struct Bed {
    pub(crate) namespace: Namespace,
    directory: TempDir,
}

/// What a spy saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) point: String,
    pub(crate) reason: String,
    /// What is in the key `request`.
    pub(crate) request: Value,
}

impl Bed {
    pub(crate) fn new() -> Result<Self> {
        let bed = Self { namespace: Namespace::new()?, directory: tempfile::tempdir()? };
        for name in ["hooks", "seen", "bin"] {
            fs::create_dir(bed.path(name))?;
        }
        for point in POINTS {
            // The name has the order; what it sees comes in one rename.
            let seen = bed.path("seen");
            bed.hook(
                point,
                "90_spy",
                &format!(
                    "cd '{}' && n=$(ls | wc -l) && {{ echo \"$_hook_point $_hook_reason\"; cat \"$_hook_json\"; }} >$n",
                    seen.display()
                ),
            )?;
        }
        Ok(bed)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Installs a shell hook. Another process writes it: a copy of the descriptor, inherited by what another
    /// test starts at that moment, would make the hook "busy".
    pub(crate) fn hook(&self, point: &str, name: &str, body: &str) -> Result {
        let directory = self.path("hooks").join(point);
        fs::create_dir_all(&directory)?;
        install(&directory.join(name), body)
    }

    /// Puts a program first in the search path of the command.
    pub(crate) fn program(&self, name: &str, body: &str) -> Result {
        install(&self.path("bin").join(name), body)
    }

    pub(crate) fn command(&self, request: &str, more: &[&str]) -> Result<Command> {
        let file = self.path("request.json");
        fs::write(&file, request)?;
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.namespace.name(), env!("CARGO_BIN_EXE_virt-hooks")])
            .args(["host", "setup-networks"])
            .arg(file)
            .args(more)
            .arg("--hooks-dir")
            .arg(self.path("hooks"))
            .arg("--run-dir")
            .arg(self.path("run"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .env("VIRT_HOOKS_CONFIG", "/dev/null")
            .env("PATH", format!("{}:{}", self.path("bin").display(), std::env::var("PATH")?))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs the command with the `ip` back end to its end: its exit code, and what it said.
    pub(crate) fn run(&self, request: &Value) -> Result<(i32, String)> {
        self.run_with(request, &["--backend", "ip"])
    }

    pub(crate) fn run_with(&self, request: &Value, more: &[&str]) -> Result<(i32, String)> {
        ended(self.command(&request.to_string(), more)?.spawn()?)
    }

    /// What the spies saw since the last call, in order.
    pub(crate) fn seen(&self) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for n in 0.. {
            let path = self.path("seen").join(n.to_string());
            let Ok(text) = fs::read_to_string(&path) else { break };
            fs::remove_file(path)?;
            let (head, payload) = text.split_once('\n').unwrap();
            let (point, reason) = head.split_once(' ').unwrap();
            let payload: Value = serde_json::from_str(payload)?;
            seen.push(Seen {
                point: point.into(),
                reason: reason.into(),
                request: payload["request"].clone(),
            });
        }
        Ok(seen)
    }

    /// Everything about the devices that a set-up could change.
    pub(crate) fn picture(&self) -> Vec<String> {
        let mut routes = self.namespace.json("-4 route show");
        routes.extend(self.namespace.json("-6 route show"));
        picture(&self.namespace.json("-details address show"), &routes)
    }

    /// One device, as `ip` tells it.
    pub(crate) fn device(&self, name: &str) -> Value {
        self.namespace.json(&format!("-details address show dev {name}")).remove(0)
    }
}

pub(crate) fn ended(child: Child) -> Result<(i32, String)> {
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code().ok_or("ended by a signal")?, said))
}

pub(crate) fn points(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|s| s.point.as_str()).collect()
}

fn install(path: &Path, body: &str) -> Result {
    let mut install =
        Command::new("install").args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn()?;
    install.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{body}\n").as_bytes())?;
    assert!(install.wait()?.success());
    Ok(())
}

/// Links and routes, as `ip` tells them, in a line each.
pub(crate) fn picture(links: &[Value], routes: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for link in links {
        let name = link["ifname"].as_str().unwrap();
        let up = link["flags"].as_array().unwrap().iter().any(|f| f == "UP");
        let addresses: Vec<String> = link["addr_info"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["scope"] != "link")
            .map(|a| format!("{}/{}", a["local"], a["prefixlen"]))
            .collect();
        let about = &link["linkinfo"];
        let more = match about["info_kind"].as_str() {
            Some("bond") => format!(" mode {}", about["info_data"]["mode"]),
            Some("vlan") => format!(" id {}", about["info_data"]["id"]),
            _ => String::new(),
        };
        lines.push(format!(
            "{name} {}{more} mtu {} up {up} in {} {addresses:?}",
            about["info_kind"], link["mtu"], link["master"]
        ));
    }
    let routes = routes.iter().filter(|r| r["dst"] != "fe80::/64");
    lines.extend(routes.map(|r| format!("{} via {} dev {}", r["dst"], r["gateway"], r["dev"])));
    lines.sort();
    lines
}
