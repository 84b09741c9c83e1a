// SPDX-License-Identifier: Apache-2.0
//! What is kept of each VM on disk, so that no end of this process, libvirt's or the host's loses a hook.
//!
//! A record names the phase that hooks know of, the operation under way, and the hooks of it that completed.
//! It is written before the first hook of an operation and after each hook. Who finds the record of an
//! operation whose process is gone knows what to fire, and what not to fire again.
//!
//! So a record that is there and cannot be read stops what needs it: as if it were none, hooks would be told again of
//! what they know, or never of what they missed. One that is damaged is set aside first, and stops nobody twice.

use crate::error::Error;
use crate::life::Phase;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use virt_hooks_engine::{OBSERVE, record_path, records_dir};

/// What is known of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) uuid: String,
    pub(crate) name: String,
    /// Where hooks know it to be: it changes once the points of the change were fired.
    pub(crate) phase: Phase,
    /// Its domain XML as last known, for the hooks of a VM that is gone.
    pub(crate) xml: String,
    /// Operations and events whose hooks did not all complete.
    pub(crate) underway: Vec<Underway>,
}

/// An operation, or an event told by libvirt, while its hooks run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Underway {
    number: u64,
    /// `start`, `restore`.
    pub(crate) operation: String,
    /// The points begun so far, in order.
    pub(crate) points: Vec<Begun>,
}

/// A point that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    point: String,
    device: Option<String>,
    /// The hooks that completed.
    hooks: Vec<PathBuf>,
}

impl Record {
    /// The hooks of a point that completed in operations that did not.
    pub(crate) fn completed(&self, point: &str, device: Option<&str>) -> Vec<PathBuf> {
        let begun = self.underway.iter().flat_map(|u| &u.points);
        begun
            .filter(|b| b.point == point && b.device.as_deref() == device)
            .flat_map(|b| b.hooks.clone())
            .collect()
    }

    /// Whether an operation of this name did not come to its end.
    pub(crate) fn was_at(&self, operation: &str) -> bool {
        self.underway.iter().any(|u| u.operation == operation)
    }
}

/// The records of a host.
#[derive(Clone, Debug)]
pub(crate) struct Records(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state_dir: PathBuf,
    /// The last number given to an operation; whoever holds it may write.
    last: Mutex<u64>,
}

impl Records {
    /// Those below a state directory.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self(Arc::new(Inner { state_dir: state_dir.to_owned(), last: Mutex::new(0) }))
    }

    /// The record of a VM, where there is one.
    ///
    /// # Errors
    /// It cannot be read; or it is damaged, and was set aside, so that there is none from now on.
    pub(crate) fn load(&self, uuid: &str) -> Result<Option<Record>, Error> {
        let path = self.path(uuid);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { doing: "read", path, source }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(e) => {
                let aside = path.with_extension("damaged");
                fs::rename(&path, &aside).map_err(|source| Error::File {
                    doing: "set aside the damaged",
                    path,
                    source,
                })?;
                Err(Error::DamagedRecord { vm: uuid.to_owned(), aside, problem: e.to_string() })
            }
        }
    }

    /// The record of a VM, where there is one that is not damaged; of such a one it says so, and goes on.
    ///
    /// # Errors
    /// It cannot be read, or set aside.
    pub(crate) fn load_or_say(&self, uuid: &str, say: &mut dyn FnMut(&str)) -> Result<Option<Record>, Error> {
        match self.load(uuid) {
            Err(error @ Error::DamagedRecord { .. }) => {
                say(&error.to_string());
                Ok(None)
            }
            other => other,
        }
    }

    /// The UUIDs of the VMs that have a record.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn uuids(&self) -> Result<Vec<String>, Error> {
        let dir = records_dir(&self.0.state_dir);
        let read = || -> io::Result<Vec<String>> {
            let mut uuids = Vec::new();
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                if let Some(uuid) = path.file_stem().and_then(|s| s.to_str())
                    && path.extension().is_some_and(|e| e == "json")
                {
                    uuids.push(uuid.to_owned());
                }
            }
            Ok(uuids)
        };
        match read() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|source| Error::File { doing: "read", path: dir, source }),
        }
    }

    /// Begins an operation: writes its record before any hook runs.
    pub(crate) fn begin(
        &self,
        vm: (&str, &str),
        operation: &str,
        phase: Phase,
        xml: &str,
    ) -> Result<Notes, Error> {
        let mut last = self.lock();
        let (uuid, name) = vm;
        let known = self.load(uuid)?;
        // Those of other processes count too.
        let others = known.iter().flat_map(|record| &record.underway).map(|u| u.number);
        *last = others.max().unwrap_or(0).max(*last) + 1;
        let existed = known.is_some();
        let mut record = known.unwrap_or_else(|| Record {
            uuid: uuid.to_owned(),
            name: String::new(),
            phase,
            xml: String::new(),
            underway: Vec::new(),
        });
        name.clone_into(&mut record.name);
        record.phase = phase;
        xml.clone_into(&mut record.xml);
        record.underway.push(Underway { number: *last, operation: operation.to_owned(), points: Vec::new() });
        let number = *last;
        self.write(&record)?;
        Ok(Notes { records: self.clone(), uuid: uuid.to_owned(), number, existed })
    }

    /// Puts a record in place, for a VM that was found.
    pub(crate) fn put(&self, record: &Record) -> Result<(), Error> {
        let _turn = self.lock();
        self.write(record)
    }

    /// Forgets a VM.
    pub(crate) fn remove(&self, uuid: &str) {
        let _turn = self.lock();
        let _ = fs::remove_file(self.path(uuid));
    }

    /// Forgets a VM with the operation that ended it, and with the after-points before it that were observed, such as
    /// those of a save; unless another operation is at it already, such as its next start while hooks of its end still
    /// run: then the record is that one's.
    fn finish(&self, uuid: &str, number: u64) {
        let _turn = self.lock();
        // One that cannot be read just now may be another operation's; whoever reads it later sees what completed.
        let Ok(known) = self.load(uuid) else { return };
        if let Some(mut record) = known {
            record.underway.retain(|u| u.number > number || (u.number < number && u.operation != OBSERVE));
            if !record.underway.is_empty() && self.write(&record).is_ok() {
                return;
            }
        }
        let _ = fs::remove_file(self.path(uuid));
    }

    fn change(&self, uuid: &str, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let _turn = self.lock();
        let Some(mut record) = self.load(uuid)? else { return Ok(()) };
        change(&mut record);
        self.write(&record)
    }

    /// A record is there whole or not at all. Not flushed: it has to survive this process, and a crash of the
    /// host leaves at worst an older one.
    fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(&record.uuid);
        let write = || -> io::Result<()> {
            let text = serde_json::to_vec(record).map_err(io::Error::other)?;
            let temporary = path.with_extension("new");
            let open = || {
                // Private: the XML may hold secrets.
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)
            };
            let mut file = match open() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    fs::DirBuilder::new()
                        .recursive(true)
                        .mode(0o700)
                        .create(records_dir(&self.0.state_dir))?;
                    open()?
                }
                other => other?,
            };
            file.write_all(&text)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| Error::File { doing: "write", path: path.clone(), source })
    }

    fn path(&self, uuid: &str) -> PathBuf {
        record_path(&self.0.state_dir, uuid)
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operation notes of itself.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    records: Records,
    uuid: String,
    number: u64,
    existed: bool,
}

impl Notes {
    /// Whether the VM had a record before.
    pub(crate) fn existed(&self) -> bool {
        self.existed
    }

    /// A hook completed. A note that cannot be written is no reason to stop what is under way: at worst, a
    /// crash right now repeats this hook.
    pub(crate) fn completed(&self, point: &str, device: Option<&str>, hook: &Path) {
        let number = self.number;
        let _ = self.records.change(&self.uuid, |record| {
            let Some(underway) = record.underway.iter_mut().find(|u| u.number == number) else { return };
            let known =
                underway.points.iter_mut().find(|b| b.point == point && b.device.as_deref() == device);
            match known {
                Some(begun) => begun.hooks.push(hook.to_owned()),
                None => underway.points.push(Begun {
                    point: point.to_owned(),
                    device: device.map(str::to_owned),
                    hooks: vec![hook.to_owned()],
                }),
            }
        });
    }

    /// The VM is somewhere else in its life, though its hooks may not know yet.
    pub(crate) fn phase(&self, phase: Phase, xml: Option<&str>) {
        let _ = self.records.change(&self.uuid, |record| {
            record.phase = phase;
            if let Some(xml) = xml {
                xml.clone_into(&mut record.xml);
            }
        });
    }

    /// All hooks of the operation ran; the VM is where `phase` says.
    pub(crate) fn end(&self, phase: Phase, keep: bool) {
        if phase == Phase::Down || !keep {
            self.records.finish(&self.uuid, self.number);
            return;
        }
        let number = self.number;
        let _ = self.records.change(&self.uuid, |record| {
            record.phase = phase;
            record.underway.retain(|u| u.number != number);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> (tempfile::TempDir, Records) {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path());
        (dir, records)
    }

    #[test]
    fn what_completed_is_known_to_who_comes_after() {
        let (dir, records) = records();
        let notes = records.begin(("u", "web"), "start", Phase::Starting, "<domain/>").unwrap();
        notes.completed("after_vm_start", None, Path::new("/h/10_a"));
        notes.completed("after_device_create", Some("interface x"), Path::new("/h/10_b"));
        drop(notes);
        let record = Records::new(dir.path()).load("u").unwrap().unwrap();
        assert_eq!(
            (record.name.as_str(), record.phase, record.xml.as_str()),
            ("web", Phase::Starting, "<domain/>")
        );
        assert_eq!(record.completed("after_vm_start", None), [PathBuf::from("/h/10_a")]);
        assert_eq!(record.completed("after_vm_start", Some("interface x")), Vec::<PathBuf>::new());
        assert_eq!(record.completed("after_device_create", Some("interface x")), [PathBuf::from("/h/10_b")]);
        assert!(record.was_at("start") && !record.was_at("restore"));
    }

    #[test]
    fn an_end_takes_its_own_operation_and_a_vm_that_is_down_its_record() {
        let (_dir, records) = records();
        let outer = records.begin(("u", "web"), "start", Phase::Starting, "").unwrap();
        let inner = records.begin(("u", "web"), "cont", Phase::Paused, "").unwrap();
        assert!(!outer.existed() && inner.existed());
        inner.end(Phase::Up, true);
        let record = records.load("u").unwrap().unwrap();
        assert!(record.was_at("start") && !record.was_at("cont"));
        outer.end(Phase::Up, true);
        assert_eq!(records.load("u").unwrap().unwrap().underway, []);
        records.begin(("u", "web"), "destroy", Phase::GoingDown, "").unwrap().end(Phase::Down, true);
        assert_eq!(records.load("u").unwrap(), None);
        assert_eq!(records.uuids().unwrap(), [""; 0]);
    }

    #[test]
    fn the_end_of_a_life_leaves_the_record_to_the_next_one() {
        let (_dir, records) = records();
        let end = records.begin(("u", "web"), "observe", Phase::Up, "<old/>").unwrap();
        let start = records.begin(("u", "web"), "start", Phase::Starting, "<new/>").unwrap();
        end.end(Phase::Down, true);
        let record = records.load("u").unwrap().unwrap();
        assert!(record.was_at("start") && !record.was_at("observe"));
        assert_eq!((record.phase, record.xml.as_str()), (Phase::Starting, "<new/>"));
        start.end(Phase::Up, true);
        assert_eq!(records.load("u").unwrap().unwrap().phase, Phase::Up);
    }

    #[test]
    fn what_was_observed_before_the_end_is_known_until_the_end() {
        let (_dir, records) = records();
        let saved = records.begin(("u", "web"), OBSERVE, Phase::Saving, "").unwrap();
        saved.completed("after_vm_hibernate", None, Path::new("/h/10_a"));
        saved.phase(Phase::Saving, None);
        let end = records.begin(("u", "web"), OBSERVE, Phase::Saving, "").unwrap();
        let known = records.load("u").unwrap().unwrap();
        assert_eq!(known.completed("after_vm_hibernate", None), [PathBuf::from("/h/10_a")]);
        end.end(Phase::Down, true);
        assert_eq!(records.load("u").unwrap(), None);
    }

    #[test]
    fn records_are_private_and_a_damaged_one_is_told_and_set_aside() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, records) = records();
        records.begin(("u", "web"), "start", Phase::Starting, "").unwrap();
        let path = dir.path().join("vms/u.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("vms")).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(&path, "{").unwrap();
        let error = records.load("u").unwrap_err();
        assert!(matches!(error, Error::DamagedRecord { .. }), "{error}");
        assert_eq!((records.load("u").unwrap(), records.uuids().unwrap().len()), (None, 0));
        fs::write(&path, "[]").unwrap();
        let mut said = Vec::new();
        assert_eq!(records.load_or_say("u", &mut |line| said.push(line.to_owned())).unwrap(), None);
        assert!(said.len() == 1 && said[0].contains("damaged"), "{said:?}");
        fs::write(&path, "{").unwrap();
        assert!(records.begin(("u", "web"), "start", Phase::Starting, "").is_err(), "it is told here too");
        let aside = dir.path().join("vms/u.damaged");
        assert_eq!(fs::read_to_string(&aside).unwrap(), "{");
        assert!(error.to_string().contains(&aside.display().to_string()), "{error}");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_not_taken_for_none() {
        let (dir, records) = records();
        let notes = records.begin(("u", "web"), "start", Phase::Starting, "").unwrap();
        let path = dir.path().join("vms/u.json");
        // Root reads what anybody may not: something else has to be in the way.
        let away = dir.path().join("away");
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(records.load("u"), Err(Error::File { doing: "read", .. })));
        assert!(records.begin(("u", "web"), "cont", Phase::Paused, "").is_err());
        assert_eq!(records.uuids().unwrap(), ["u"]);
        notes.end(Phase::Down, true);
        fs::remove_dir(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        assert!(records.load("u").unwrap().unwrap().was_at("start"), "nothing of it was lost");
    }
}
