// SPDX-License-Identifier: Apache-2.0
//! A throw-away host with a libvirt daemon, hooks and an agent.

use crate::error::BenchError;
use crate::stage::run;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use virt_hooks_testhost::load::{self, HOOKS, POINTS, Vm};
use virt_hooks_testhost::{Daemon, GuestOptions, Host};

/// How long the agent may take to serve.
const PATIENCE: Duration = Duration::from_secs(120);
const REST: Duration = Duration::from_millis(10);

/// What is missing here, in one line.
pub(super) fn missing() -> Option<String> {
    if let Err(missing) = Daemon::requirements() {
        return Some(missing.to_string());
    }
    let virsh = Command::new("virsh").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = virsh.is_ok_and(|status| status.success());
    (!there)
        .then(|| "missing: virsh; `apt install libvirt-clients` or `dnf install libvirt-client`".to_owned())
}

/// The host. Dropping it ends everything on it.
pub(super) struct Bed {
    root: PathBuf,
    uri: String,
    programs: PathBuf,
    // In the order they must go.
    agent: Option<Agent>,
    daemon: Daemon,
    host: Host,
}

impl Bed {
    /// Without hooks, and without an agent.
    pub(super) fn raise(programs: &Path) -> Result<Self, BenchError> {
        let host = Host::create(Some(&programs.join("bench-capabilities")))?;
        let daemon = Daemon::start(&host)?;
        let (root, uri, programs) = (host.root().to_owned(), daemon.uri(), programs.to_owned());
        for name in ["hooks", "points.d"] {
            make(&root.join(name))?;
        }
        let config = root.join("config.toml");
        fs::write(&config, "").map_err(BenchError::file("write", &config))?;
        Ok(Self { root, uri, programs, agent: None, daemon, host })
    }

    /// What the VMs run on.
    pub(super) fn versions(&self) -> String {
        let told = self.virsh(&["version", "--daemon"]).unwrap_or_default();
        let after = |what: &str| {
            told.lines().find_map(|line| line.strip_prefix(what)).unwrap_or("an unknown version").trim()
        };
        format!("libvirt {}, {}", after("Running against daemon:"), after("Running hypervisor:"))
    }

    /// A VM, by number from 1 on.
    pub(super) fn vm(&self, number: usize) -> Vm {
        let uuid = format!("{number:08x}-1111-4222-8333-444455556666");
        let options = GuestOptions { uuid: Some(uuid.clone()), ..Default::default() };
        Vm { uuid, xml: self.host.domain_xml(&format!("vm{number}"), &options) }
    }

    /// Defines a VM.
    pub(super) fn define(&self, vm: &Vm) -> Result<(), BenchError> {
        let path = self.root.join("defined.xml");
        fs::write(&path, &vm.xml).map_err(BenchError::file("write", &path))?;
        self.virsh(&["define", &path.display().to_string()]).map(drop)
    }

    /// Runs `virsh`.
    pub(super) fn virsh(&self, arguments: &[&str]) -> Result<String, BenchError> {
        let said = run(Command::new("virsh").args(["-c", &self.uri]).args(arguments))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs `virt-hooks`.
    pub(super) fn virt_hooks(&self, arguments: &[&str]) -> Result<(), BenchError> {
        run(self.command("virt-hooks").args(arguments)).map(drop)
    }

    /// Has three shell hooks note, at each point of a life, that they ran.
    pub(super) fn install_hooks(&self) -> Result<(), BenchError> {
        for point in POINTS {
            let directory = self.root.join("hooks").join(point);
            make(&directory)?;
            for hook in HOOKS {
                let path = directory.join(hook);
                let script = format!("#!/bin/sh\n{}\n", load::noting(hook, &self.notes()));
                fs::write(&path, script)
                    .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
                    .map_err(BenchError::file("write", &path))?;
            }
        }
        Ok(())
    }

    /// Where they note it.
    pub(super) fn notes(&self) -> PathBuf {
        self.root.join("noted")
    }

    /// Where the agent listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.root.join("payloads/agent.sock")
    }

    /// Starts the agent, and waits until it serves.
    pub(super) fn start_agent(&mut self) -> Result<(), BenchError> {
        let log = self.root.join("agent.log");
        let output = fs::File::create(&log).map_err(BenchError::file("make", &log))?;
        let mut command = self.command("virt-hooksd");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn();
        let child = child.map_err(|source| BenchError::Start { program: "virt-hooksd".into(), source })?;
        self.agent = Some(Agent(child));
        let deadline = Instant::now() + PATIENCE;
        while !load::serves(&self.socket()) {
            let ended = self.agent.as_mut().is_some_and(|agent| !matches!(agent.0.try_wait(), Ok(None)));
            if ended || Instant::now() >= deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let said = said.lines().next_back().unwrap_or("nothing").to_owned();
                return Err(BenchError::Failed { program: "virt-hooksd".into(), said });
            }
            thread::sleep(REST);
        }
        Ok(())
    }

    /// The agent's memory, in KiB.
    pub(super) fn agent_memory(&self) -> Result<u64, BenchError> {
        let pid = self.agent.as_ref().map_or(0, |agent| agent.0.id());
        load::resident_kib(pid).map_err(BenchError::file("read the status of", Path::new("virt-hooksd")))
    }

    /// Ends the agent once it has fired all it has to.
    pub(super) fn stop_agent(&mut self) -> Result<(), BenchError> {
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        agent.end().map_err(|source| BenchError::Start { program: "the end of virt-hooksd".into(), source })
    }

    /// Ends the host, and sees that no VM is left.
    pub(super) fn strike(mut self) -> Result<(), BenchError> {
        self.stop_agent()?;
        self.daemon.stop().map_err(BenchError::file("end the daemon in", &self.root))?;
        let left = self.host.cleanup()?.killed.len();
        if left == 0 { Ok(()) } else { Err(BenchError::Unsound(format!("{left} VMs were left over"))) }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        for (name, place) in [
            ("HOOKS_DIR", "hooks"),
            ("RUN_DIR", "payloads"),
            ("CONFIG", "config.toml"),
            ("POINTS_DIR", "points.d"),
            ("PACKAGES_DIR", "packages"),
            ("STATE_DIR", "state"),
            ("LAUNCH_FLAGS_DIR", "flags"),
        ] {
            command.env(format!("VIRT_HOOKS_{name}"), self.root.join(place));
        }
        command.env("LIBVIRT_DEFAULT_URI", &self.uri);
        command
    }
}

fn make(directory: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(directory).map_err(BenchError::file("make", directory))
}

/// The agent while it runs.
struct Agent(Child);

impl Agent {
    fn end(&mut self) -> std::io::Result<()> {
        if self.0.try_wait()?.is_none() {
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&self.0),
                rustix::process::Signal::TERM,
            )?;
        }
        self.0.wait().map(drop)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Whoever wants to know calls `end`.
        let _ = self.end();
    }
}
