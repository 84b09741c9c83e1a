// SPDX-License-Identifier: Apache-2.0
//! The link in a driver's directory.

use super::{DRIVERS, FILE_NAME, Places, ScriptError};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What there is under our name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Missing,
    /// A link to `virt-hooks`.
    Installed(PathBuf),
    /// A link to `virt-hooks`, where there is none.
    Dangling(PathBuf),
    /// Something of somebody else's.
    Foreign,
}

/// What was done to one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The link.
    pub path: PathBuf,
    /// `made`, `replaced`, `removed`, `unchanged`, `not there`.
    pub done: &'static str,
}

impl Places {
    /// What there is for a driver.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn entry(&self, driver: &str) -> Result<Entry, ScriptError> {
        let path = self.link(driver);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Entry::Missing);
            }
            Err(e) => return Err(ScriptError::file("look at", &path)(e)),
        };
        if !meta.is_symlink() {
            return Ok(Entry::Foreign);
        }
        let target = fs::read_link(&path).map_err(ScriptError::file("read", &path))?;
        if target.file_name() != Some("virt-hooks".as_ref()) {
            return Ok(Entry::Foreign);
        }
        Ok(if path.exists() { Entry::Installed(target) } else { Entry::Dangling(target) })
    }

    /// Makes the links, where they are not there already.
    ///
    /// # Errors
    /// Something else has one of the names, before anything was done; or a link cannot be made.
    pub fn install(&self) -> Result<Vec<Change>, ScriptError> {
        let entries = self.entries()?;
        entries.into_iter().map(|(driver, entry)| self.install_one(driver, &entry)).collect()
    }

    fn install_one(&self, driver: &str, entry: &Entry) -> Result<Change, ScriptError> {
        let path = self.link(driver);
        let done = match entry {
            Entry::Installed(target) | Entry::Dangling(target) if *target == self.command => "unchanged",
            Entry::Missing => "made",
            _ => "replaced",
        };
        if done != "unchanged" {
            let dir = path.parent().unwrap_or(&self.hooks);
            fs::create_dir_all(dir).map_err(ScriptError::file("make", dir))?;
            // Not in that directory: libvirt would run it there, and not over the old one, which may be running.
            let new = self.hooks.join(format!(".{FILE_NAME}.new"));
            remove(&new)?;
            symlink(&self.command, &new).map_err(ScriptError::file("make", &new))?;
            fs::rename(&new, &path).map_err(ScriptError::file("make", &path))?;
        }
        Ok(Change { path, done })
    }

    /// Removes the links. Directories stay: others may have things in them.
    ///
    /// # Errors
    /// Something else has one of the names, before anything was done; or a link cannot be removed.
    pub fn remove(&self) -> Result<Vec<Change>, ScriptError> {
        let entries = self.entries()?;
        let mut changes = Vec::new();
        for (driver, entry) in entries {
            let path = self.link(driver);
            if entry != Entry::Missing {
                remove(&path)?;
            }
            let done = if entry == Entry::Missing { "not there" } else { "removed" };
            changes.push(Change { path, done });
        }
        Ok(changes)
    }

    /// What there is for each driver, if all is ours.
    fn entries(&self) -> Result<Vec<(&'static str, Entry)>, ScriptError> {
        let mut entries = Vec::new();
        for driver in DRIVERS {
            match self.entry(driver)? {
                Entry::Foreign => return Err(ScriptError::Foreign(self.link(driver))),
                entry => entries.push((driver, entry)),
            }
        }
        Ok(entries)
    }
}

fn remove(path: &Path) -> Result<(), ScriptError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(ScriptError::file("remove", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn places(dir: &Path) -> Places {
        let command = dir.join("usr/bin/virt-hooks");
        fs::create_dir_all(dir.join("usr/bin")).unwrap();
        fs::write(&command, "").unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
        Places::below(Some(dir), command, dir.join("state"))
    }

    fn done(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|c| c.done).collect()
    }

    #[test]
    fn twice_is_as_good_as_once_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        fs::create_dir_all(places.hooks.join("qemu.d/web1/prepare/begin")).unwrap();
        fs::write(places.hooks.join("qemu"), "theirs").unwrap();
        assert_eq!(done(&places.install().unwrap()), ["made"; 2]);
        assert_eq!(done(&places.install().unwrap()), ["unchanged"; 2]);
        assert_eq!(places.entry("qemu").unwrap(), Entry::Installed(places.command.clone()));
        let elsewhere = Places { command: "/opt/virt-hooks".into(), ..places.clone() };
        assert_eq!(done(&elsewhere.install().unwrap()), ["replaced"; 2]);
        assert_eq!(places.entry("network").unwrap(), Entry::Dangling("/opt/virt-hooks".into()));
        assert_eq!(done(&places.remove().unwrap()), ["removed"; 2]);
        assert_eq!(done(&places.remove().unwrap()), ["not there"; 2]);
        assert_eq!(fs::read_to_string(places.hooks.join("qemu")).unwrap(), "theirs");
        assert!(places.hooks.join("qemu.d/web1/prepare/begin").is_dir());
        assert_eq!(fs::read_dir(places.hooks.join("qemu.d")).unwrap().count(), 1);
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        fs::create_dir_all(places.hooks.join("network.d")).unwrap();
        fs::write(places.link("network"), "#!/bin/sh\n").unwrap();
        for refused in [places.install(), places.remove()] {
            assert!(matches!(refused, Err(ScriptError::Foreign(_))));
        }
        assert_eq!(places.entry("qemu").unwrap(), Entry::Missing, "nothing was done");
    }
}
