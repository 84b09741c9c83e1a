// SPDX-License-Identifier: Apache-2.0
//! One run of the command in a directory of its own.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) const UUID: &str = "5d0c6a2e-7a1b-4000-8000-000000000001";
pub(crate) const DOMAIN: &str = "<domain type='kvm'>\n  <name>web1</name>\n  \
    <uuid>5d0c6a2e-7a1b-4000-8000-000000000001</uuid>\n  <devices/>\n</domain>\n";

/// A directory with `hooks/`, an empty configuration and a domain in `dom.xml`; and arguments.
pub(crate) struct Case {
    dir: TempDir,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
}

/// What came of it.
pub(crate) struct Done {
    dir: TempDir,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Case {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("hooks")).unwrap();
        fs::create_dir(dir.path().join("points.d")).unwrap();
        let case = Self {
            dir,
            program: env!("CARGO_BIN_EXE_virt-hooks").into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: Vec::new(),
        };
        case.file("config.toml", "").file("dom.xml", DOMAIN)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// An executable script below `hooks/`.
    pub(crate) fn hook(self, name: &str, body: &str) -> Self {
        self.executable(&format!("hooks/{name}"), body)
    }

    pub(crate) fn executable(self, name: &str, body: &str) -> Self {
        let case = self.file(name, format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(case.path(name), Permissions::from_mode(0o755)).unwrap();
        case
    }

    pub(crate) fn link(self, name: &str, target: impl AsRef<Path>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    pub(crate) fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Arguments in one string, without blanks in them.
    pub(crate) fn says(self, arguments: &str) -> Self {
        self.arguments(arguments.split_whitespace())
    }

    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.input = bytes.as_ref().to_vec();
        self
    }

    pub(crate) fn program(mut self, name: &str) -> Self {
        self.program = self.path(name);
        self
    }

    /// The command as it would be run, in the case's directory, with nothing of the host in its environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("VIRT_HOOKS_CONFIG", self.path("config.toml"))
            .env("VIRT_HOOKS_POINTS_DIR", self.path("points.d"))
            .env("VIRT_HOOKS_PACKAGES_DIR", self.path("packages"))
            .env("VIRT_HOOKS_HOOKS_DIR", self.path("hooks"))
            .env("VIRT_HOOKS_RUN_DIR", self.path("run"))
            .env("VIRT_HOOKS_STATE_DIR", self.path("state"))
            .envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
    }

    pub(crate) fn run(self) -> Done {
        let command = self.command();
        self.run_as(command)
    }

    pub(crate) fn run_as(self, mut command: Command) -> Done {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It need not read what it is given.
        let _ = child.stdin.take().unwrap().write_all(&self.input);
        let output = child.wait_with_output().unwrap();
        Done {
            dir: self.dir,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Done {
    /// Another command in the same directory.
    pub(crate) fn again(self) -> Case {
        Case {
            dir: self.dir,
            program: env!("CARGO_BIN_EXE_virt-hooks").into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        self.left_nothing();
        self
    }

    /// It ended with this code and said why in one line, without having done anything.
    #[track_caller]
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        assert_eq!(self.stdout, "");
        self.left_nothing();
        let line = self.stderr.strip_prefix("virt-hooks: ").expect("says who speaks").to_owned();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "not one line: {line}");
        // Where the case lies is of no interest.
        line.trim_end().replace(&format!("{}/", self.dir.path().display()), "")
    }

    #[track_caller]
    fn left_nothing(&self) {
        if let Ok(entries) = fs::read_dir(self.path("run")) {
            let left: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
            assert!(left.is_empty(), "left in the run directory: {left:?}");
        }
    }
}

/// Where `hooking` is, in the checkout.
pub(crate) fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python")
}

/// A case that runs one more command in the directory of the one before.
pub(crate) fn then(done: Done, arguments: &[&str]) -> Done {
    done.again().variable("VIRT_HOOKS_PYTHON_DIR", python()).arguments(arguments).run()
}
