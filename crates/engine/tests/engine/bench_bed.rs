// SPDX-License-Identifier: Apache-2.0
//! A host in a directory: two layers, a run directory, an engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use virt_hooks_contract::{Catalogue, Point};
use virt_hooks_engine::{Engine, Event, Outcome, Settings};

pub(crate) const DOMAIN: &str = "<domain type='kvm'>\n  <name>web</name>\n  <uuid>6f0c2a3e-1111-4222-8333-444455556666</uuid>\n  <devices/>\n</domain>\n";
pub(crate) const UUID: &str = "6f0c2a3e-1111-4222-8333-444455556666";

pub(crate) struct Bed {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) settings: Settings,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layers = vec![dir.path().join("vendor"), dir.path().join("admin")];
        let mut settings = Settings::new(layers, dir.path().join("run"));
        settings.environment = vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec())];
        Self { dir, settings }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file in the vendor layer.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path("vendor").join(name);
        let dir = path.parent().unwrap();
        if !dir.is_dir() {
            fs::create_dir_all(dir).unwrap();
            // Whatever the umask: what others can write to is warned of.
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A shell hook in the vendor layer.
    pub(crate) fn hook(&self, name: &str, body: &str) -> PathBuf {
        self.file(name, format!("#!/bin/sh\n{body}\n"), 0o755)
    }

    pub(crate) fn admin(&self, name: &str, body: &str) -> PathBuf {
        self.hook(&format!("../admin/{name}"), body)
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(self.settings.clone())
    }

    pub(crate) fn fire(&self, name: &str, payload: &str) -> Outcome {
        let outcome = self.engine().fire(&Event::new(&point(name), payload));
        self.assert_clean();
        outcome
    }

    /// Nothing of an event stays behind.
    pub(crate) fn assert_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.path("run"))
            .map(|d| d.flatten().map(|e| e.path()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "left in the run directory: {left:?}");
    }

    /// What hooks wrote to the file `log`, line by line.
    pub(crate) fn log(&self) -> Vec<String> {
        fs::read_to_string(self.path("log")).unwrap_or_default().lines().map(String::from).collect()
    }

    /// The shell words that append to `log`.
    pub(crate) fn say(&self, what: &str) -> String {
        format!("printf '%s\\n' \"{what}\" >> '{}'", self.path("log").display())
    }
}

pub(crate) fn point(name: &str) -> Point {
    Catalogue::built_in().get(name).unwrap().clone()
}

pub(crate) fn names(outcome: &Outcome) -> Vec<String> {
    outcome.runs.iter().map(|r| r.hook.name().to_string_lossy().into_owned()).collect()
}

pub(crate) fn text(outcome: &Outcome) -> String {
    String::from_utf8(outcome.payload.bytes().to_vec()).unwrap()
}

pub(crate) fn is_root(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).unwrap().uid() == 0
}
