// SPDX-License-Identifier: Apache-2.0
//! Directories of a pod, and the server in it.

use crate::launcher::{Collected, collect};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time limits are those of KubeVirt times this: tests share their machine.
pub const PATIENCE: u32 = 20;
/// KubeVirt runs sidecars as this user (`qemu`).
pub const USER: u32 = 107;

/// The directories of a pod. All belong to the user the server runs as.
pub struct Bed {
    dir: TempDir,
}

impl Bed {
    pub fn new() -> Self {
        let bed = Self { dir: tempfile::tempdir().unwrap() };
        fs::set_permissions(bed.dir.path(), Permissions::from_mode(0o755)).unwrap();
        for dir in ["hooks", "packages", "sockets", "run", "out"] {
            bed.make(dir);
        }
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn make(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        if is_root() {
            chown(&path, Some(USER), Some(USER)).unwrap();
        }
        path
    }

    /// Installs a hook; `OUT` in it stands for a directory it may write to.
    pub fn hook(&self, point: &str, name: &str, script: &str) {
        self.script(&format!("hooks/{point}/{name}"), script);
    }

    pub fn script(&self, path: &str, script: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let out = self.path("out");
        let text = format!("#!/bin/sh\n{}\n", script.replace("OUT", out.to_str().unwrap()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// Installs a package that declares these properties: name, scope, pattern, example.
    pub fn package(&self, properties: &[(&str, &str, &str, &str)]) {
        let mut text =
            "manifest = 1\nname = \"p\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
            [[point]]\nname = \"before_vm_start\"\nfile = \"50_p\"\n"
                .to_owned();
        for (name, scope, pattern, example) in properties {
            text += &format!(
                "[[property]]\nname = \"{name}\"\nscope = \"{scope}\"\npattern = '{pattern}'\nexample = '{example}'\ndescription = 'd'\n"
            );
        }
        fs::create_dir_all(self.path("packages/p")).unwrap();
        fs::write(self.path("packages/p/hook.toml"), text).unwrap();
    }

    /// What a hook wrote.
    pub fn out(&self, name: &str) -> String {
        fs::read_to_string(self.path("out").join(name)).unwrap_or_default()
    }

    /// Waits until a hook wrote something.
    pub fn wait_for(&self, name: &str) -> String {
        let mut text = String::new();
        until(&format!("{name} is written"), || {
            text = self.out(name);
            text.ends_with('\n')
        });
        text
    }

    /// The sidecar of the first container, with `--hooks-dir` and the like.
    pub fn sidecar(&self, arguments: &[&str]) -> Server {
        self.sidecar_in("sockets/hook-sidecar-0", arguments)
    }

    pub fn sidecar_in(&self, dir: &str, arguments: &[&str]) -> Server {
        let dir = self.make(dir);
        let mut all = vec!["sidecar", "--socket-dir", dir.to_str().unwrap()];
        all.extend(arguments);
        self.server(&all)
    }

    pub fn server(&self, arguments: &[&str]) -> Server {
        self.serve(self.command(arguments))
    }

    pub fn serve(&self, mut command: Command) -> Server {
        let log = self.path(&format!("log-{}", rand()));
        command.stderr(File::create(&log).unwrap());
        Server { child: command.spawn().unwrap(), log }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virt-hooks-kubevirt"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("VIRT_HOOKS_RUN_DIR", self.path("run"))
            .env("VIRT_HOOKS_CONFIG", self.config())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if !arguments.contains(&"--hooks-dir") {
            command.env("VIRT_HOOKS_HOOKS_DIR", self.path("hooks"));
        }
        if !arguments.contains(&"--packages-dir") {
            command.arg("--packages-dir").arg(self.path("packages"));
        }
        // As in a pod: not root, no capabilities.
        if is_root() {
            command.uid(USER).gid(USER);
        }
        command
    }

    fn config(&self) -> PathBuf {
        let path = self.path("config.toml");
        if !path.exists() {
            fs::write(&path, "").unwrap();
        }
        path
    }

    /// What virt-launcher finds when there is one sidecar.
    pub fn collect(&self) -> Collected {
        self.collect_all(1).remove(0)
    }

    pub fn collect_all(&self, count: usize) -> Vec<Collected> {
        collect(&self.path("sockets"), count, Duration::from_secs(6 * u64::from(PATIENCE))).unwrap()
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn rand() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:x}", RandomState::new().hash_one(0))
}

/// A server. Ended with the test.
pub struct Server {
    pub child: Child,
    log: PathBuf,
}

impl Server {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end, which is to be a good one.
    pub fn ended(&mut self) {
        let mut status = None;
        until("the server ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}: {}", self.log());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server said:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something to become true.
pub fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5 * u64::from(PATIENCE));
    while !is_true() {
        assert!(Instant::now() < end, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is gone, or as good as that: a zombie nobody has reaped yet.
pub fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.map_or(true, |s| s.rsplit(')').next().unwrap().starts_with(" Z"))
}
