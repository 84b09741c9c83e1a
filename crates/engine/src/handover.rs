// SPDX-License-Identifier: Apache-2.0
//! Who tells hooks of a VM that others start and end: libvirt's hook script, or an agent.
//!
//! Either can see a start, and hooks are to be told once. The script decides, under libvirt's lock on the VM and so
//! before anybody else finds it there or hears of it, and leaves a note:
//!
//! * An agent watches ([`agent_watching`](crate::agent_watching)): the script leaves the VM to it. The agent hears of
//!   it, or finds it after its connection or its process was lost, and removes the note with the record it writes.
//! * None does: the script notes that it told, and fires. An agent that comes meanwhile, or hears of that start all
//!   the same, takes the VM over in silence.
//!
//! A note is good for one life of a VM: it names libvirt's id of that. The end goes the same way by the agent's record
//! of the VM, which the script removes where it tells of the end itself: no record, nothing left to tell. Where a
//! driver was broken off while it brought the VM, the script tells of all that the driver would have told.

use crate::held;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The operation on record of after-points that nobody's operation fires.
pub const OBSERVE: &str = "observe";

/// Where the agent's records of VMs are, below a state directory.
pub fn records_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("vms")
}

/// The agent's record of a VM.
pub fn record_path(state_dir: &Path, uuid: &str) -> PathBuf {
    records_dir(state_dir).join(format!("{uuid}.json"))
}

/// Who is to tell of a start by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The script; it has begun to.
    Script,
    /// An agent.
    Agent,
}

impl Teller {
    fn word(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Agent => "agent",
        }
    }
}

/// The note about one VM.
#[derive(Clone, Debug)]
pub struct Handover {
    run_dir: PathBuf,
    note: PathBuf,
    record: PathBuf,
}

impl Handover {
    /// That of a VM, by its canonical UUID.
    pub fn of(run_dir: &Path, state_dir: &Path, uuid: &str) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
            note: held::dir(run_dir).join(format!("{uuid}.start")),
            record: record_path(state_dir, uuid),
        }
    }

    /// Notes who tells of the life with this id of libvirt's. Where the script does, what an agent knew is of a life
    /// before.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn note(&self, teller: Teller, life: &str) -> io::Result<()> {
        held::make_dir(&self.run_dir)?;
        let new = self.note.with_extension("start-new");
        fs::write(&new, format!("{} {life}\n", teller.word()))?;
        fs::rename(&new, &self.note)?;
        if teller == Teller::Script {
            let _ = fs::remove_file(&self.record);
        }
        Ok(())
    }

    /// Who tells of the life with this id, where the script said.
    pub fn teller(&self, life: &str) -> Option<Teller> {
        let text = fs::read_to_string(&self.note).ok()?;
        let (word, of) = text.trim_end().split_once(' ')?;
        let teller = [Teller::Script, Teller::Agent].into_iter().find(|teller| teller.word() == word);
        teller.filter(|_| of == life)
    }

    /// Why the VM ends, where a driver that was to bring it is gone: hooks know that it was to come, and not that it
    /// was there.
    pub fn broken_off(&self) -> Option<&'static str> {
        let record: Value = serde_json::from_slice(&fs::read(&self.record).ok()?).ok()?;
        let observed = |u: &Value| u.get("operation").and_then(Value::as_str) == Some(OBSERVE);
        if record
            .get("underway")
            .and_then(Value::as_array)
            .is_some_and(|u| !u.is_empty() && u.iter().all(observed))
        {
            // An agent was telling that the VM is there.
            return None;
        }
        match record.get("phase")?.as_str()? {
            "starting" => Some("start-failed"),
            "migrating-in" => Some("migrate-failed"),
            _ => None,
        }
    }

    /// The VM is taken over, or its life is over.
    pub fn clear(&self) {
        // One that stays is about a life that is over.
        let _ = fs::remove_file(&self.note);
    }

    /// The script tells of the end: nothing is left to tell for an agent.
    pub fn ended(&self) {
        self.clear();
        let _ = fs::remove_file(&self.record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_good_for_one_life() {
        let dir = tempfile::tempdir().unwrap();
        let (run, state) = (dir.path().join("run"), dir.path().join("state"));
        let handover = Handover::of(&run, &state, "u");
        assert_eq!(handover.teller("1"), None);
        handover.note(Teller::Agent, "1").unwrap();
        assert_eq!((handover.teller("1"), handover.teller("2")), (Some(Teller::Agent), None));
        handover.note(Teller::Script, "2").unwrap();
        assert_eq!((handover.teller("1"), handover.teller("2")), (None, Some(Teller::Script)));
        handover.clear();
        assert_eq!(handover.teller("2"), None);
        assert_eq!(fs::read_dir(run.join("vm")).unwrap().count(), 0);
    }

    #[test]
    fn a_driver_that_was_broken_off_left_word_of_what_it_was_at() {
        let dir = tempfile::tempdir().unwrap();
        let handover = Handover::of(dir.path(), dir.path(), "u");
        assert_eq!(handover.broken_off(), None);
        fs::create_dir(dir.path().join("vms")).unwrap();
        for (phase, reason) in
            [("starting", Some("start-failed")), ("migrating-in", Some("migrate-failed")), ("up", None)]
        {
            fs::write(record_path(dir.path(), "u"), format!("{{\"phase\":\"{phase}\"}}")).unwrap();
            assert_eq!(handover.broken_off(), reason, "{phase}");
        }
        for (underway, reason) in [("start", Some("start-failed")), ("observe", None)] {
            let record =
                format!("{{\"phase\":\"starting\",\"underway\":[{{\"operation\":\"{underway}\"}}]}}");
            fs::write(record_path(dir.path(), "u"), record).unwrap();
            assert_eq!(handover.broken_off(), reason, "{underway}");
        }
    }

    #[test]
    fn what_the_script_tells_an_agent_does_not_tell_again() {
        let dir = tempfile::tempdir().unwrap();
        let handover = Handover::of(dir.path(), dir.path(), "u");
        let record = record_path(dir.path(), "u");
        fs::create_dir(dir.path().join("vms")).unwrap();
        let known = || fs::write(&record, "{}").unwrap();
        known();
        handover.note(Teller::Agent, "1").unwrap();
        assert!(record.exists());
        handover.note(Teller::Script, "1").unwrap();
        assert!(!record.exists(), "it is of a life before");
        known();
        handover.ended();
        assert!(!record.exists() && handover.teller("1").is_none());
    }
}
