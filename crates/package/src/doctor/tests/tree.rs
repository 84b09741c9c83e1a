// SPDX-License-Identifier: Apache-2.0
//! A host in a temporary directory.

use crate::doctor::machine::Machine;
use crate::doctor::{Finding, Kind, Severity, examine_on};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use virt_hooks_engine::{Host, HostError, Overrides};
use virt_hooks_spawn::Credentials;

pub(super) const POINT: &str = "before_vm_start";
pub(super) const SH: &str = "#!/bin/sh\nexit 0\n";

/// Two layers, `vendor` and `admin`, a run directory, a configuration, and a user for hooks.
pub(super) struct Tree {
    root: tempfile::TempDir,
    pub(super) user: Option<Credentials>,
    pub(super) path: Option<String>,
    pub(super) machine: Machine,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |p: &str| root.path().join(p);
        let machine = Machine {
            selinux_enforce: at("selinux"),
            apparmor_profiles: at("apparmor"),
            binfmt: at("binfmt"),
            root: Some(root.path().to_owned()),
        };
        let tree = Self { root, user: None, path: None, machine };
        tree.mode("", 0o755);
        for dir in ["vendor", "admin", "points.d", "python"] {
            tree.dir(dir);
        }
        tree.file("python/hooking.py", "", 0o644);
        tree.file("config.toml", "", 0o644);
        tree
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(super) fn dir(&self, path: &str) {
        fs::create_dir_all(self.at(path)).unwrap();
        // The umask of whoever runs the tests is not under test.
        for dir in self.at(path).ancestors().take_while(|d| *d != self.root.path()) {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    pub(super) fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(super) fn file(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) {
        fs::write(self.at(path), content).unwrap();
        self.mode(path, mode);
    }

    /// As [`Self::file`], with the directories that lead there.
    pub(super) fn file_in(&self, path: &str, content: impl AsRef<[u8]>) {
        self.dir(Path::new(path).parent().unwrap().to_str().unwrap());
        self.file(path, content, 0o755);
    }

    /// An executable at [`POINT`] of the lowest layer.
    pub(super) fn hook(&self, name: &str, content: impl AsRef<[u8]>) {
        self.hook_at(POINT, name, content, 0o755);
    }

    pub(super) fn hook_at(&self, point: &str, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        self.dir(&format!("vendor/{point}"));
        self.file(&format!("vendor/{point}/{name}"), content, mode);
    }

    pub(super) fn link(&self, target: &str, path: &str) {
        self.dir(Path::new(path).parent().unwrap().to_str().unwrap());
        symlink(target, self.at(path)).unwrap();
    }

    pub(super) fn as_nobody(&mut self) {
        self.user = Some(Credentials { uid: 65534, gid: 65534, groups: vec![] });
    }

    pub(super) fn load(&self) -> Result<Host, HostError> {
        let overrides = Overrides {
            hooks_dirs: vec![self.at("vendor"), self.at("admin")],
            config: Some(self.at("config.toml")),
            run_dir: Some(self.at("run")),
            state_dir: Some(self.at("var/lib/virt-hooks")),
            root: None,
        };
        let mut host = Host::load(overrides, &|name| match name {
            "VIRT_HOOKS_POINTS_DIR" => Some(self.at("points.d").into()),
            "VIRT_HOOKS_PACKAGES_DIR" => Some(self.at("packages").into()),
            "VIRT_HOOKS_PYTHON_DIR" => Some(self.at("python").into()),
            _ => None,
        })?;
        let path = self.path.clone().unwrap_or_else(|| "/usr/bin:/bin".into());
        host.settings.environment = vec![(b"PATH".to_vec(), path.into_bytes())];
        host.settings.hook_user = self.user.clone();
        Ok(host)
    }

    pub(super) fn examine(&self) -> Vec<Finding> {
        examine_on(&self.load().unwrap(), &[], &self.machine)
    }

    /// The one finding there is, if it is of this kind and about this path.
    #[track_caller]
    pub(super) fn only(&self, kind: Kind, severity: Severity, path: &str) -> Finding {
        let findings = self.examine();
        assert_eq!(
            findings.iter().map(|f| (f.kind, f.severity, f.path.clone())).collect::<Vec<_>>(),
            [(kind, severity, self.at(path))],
            "{findings:#?}"
        );
        let finding = findings.into_iter().next().unwrap();
        for line in [&finding.what, &finding.why, &finding.mend] {
            assert!(!line.is_empty() && !line.contains('\n') && !line.ends_with('.'), "{line:?}");
        }
        finding
    }

    /// The one finding there is, whose command mends it: it is run, and nothing is left to find.
    #[track_caller]
    pub(super) fn mended(&self, kind: Kind, severity: Severity, path: &str) -> Finding {
        let finding = self.only(kind, severity, path);
        let done = Command::new("bash").args(["-c", &finding.mend]).current_dir("/").output().unwrap();
        assert!(done.status.success(), "{}: {done:?}", finding.mend);
        assert_eq!(self.examine(), [], "after {}", finding.mend);
        finding
    }
}

/// Whether the test can change owners; if not, says that it is skipped.
pub(super) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("{test}: skipped, only root can give files to other users");
    }
    root
}
