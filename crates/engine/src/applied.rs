// SPDX-License-Identifier: Apache-2.0
//! What was done to a stored definition when hooks were applied to it, so that it can be undone.
//!
//! A file per VM in the state directory, for its owner only: a definition may hold secrets.

use serde::{Deserialize, Serialize};
use similar::{DiffOp, TextDiff};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One definition that hooks were applied to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The VM's name.
    pub name: String,
    /// The mark in the definition, [`Engine::fingerprint`](crate::Engine::fingerprint) of what was applied.
    pub mark: String,
    /// The definition before.
    pub former: String,
    /// What hooks made of it.
    pub edited: String,
    /// The definition after, as libvirt wrote it; missing where nobody came to ask.
    pub applied: Option<String>,
}

/// The name and the mark: definitions may hold secrets.
impl std::fmt::Debug for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applied").field("name", &self.name).field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// The records of a state directory.
#[derive(Clone, Debug)]
pub struct AppliedRecords {
    dir: PathBuf,
}

impl AppliedRecords {
    /// Those in `state_dir`.
    pub fn of(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("applied") }
    }

    /// The file of a VM; for errors.
    pub fn path(&self, uuid: &str) -> PathBuf {
        self.dir.join(format!("{uuid}.json"))
    }

    /// The record of a VM.
    ///
    /// # Errors
    /// It is there but cannot be read.
    pub fn load(&self, uuid: &str) -> io::Result<Option<Applied>> {
        match fs::read(self.path(uuid)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Keeps the record of a VM, in place of an earlier one. It is on the disk when this returns: what is done next
    /// cannot be undone without it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, uuid: &str, record: &Applied) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let (path, new) = (self.path(uuid), self.dir.join(format!("{uuid}.new")));
        let bytes = serde_json::to_vec(record).map_err(io::Error::other)?;
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Forgets a VM.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self, uuid: &str) -> io::Result<()> {
        match fs::remove_file(self.path(uuid)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

impl Applied {
    /// The definition without what hooks did to it, and with what others did to it since; `None` where both changed the
    /// same lines, or lines side by side.
    pub fn undone(&self, current: &str) -> Option<String> {
        match &self.applied {
            // Nobody but us knew the mark, and nobody had the time.
            None => Some(self.former.clone()),
            Some(applied) if applied == current => Some(self.former.clone()),
            Some(applied) => merged(applied, &self.former, current),
        }
    }
}

/// A run of lines of the old text and what stands in their place.
struct Change<'a> {
    lines: Range<usize>,
    new: Vec<&'a str>,
}

/// `base` with the changes that lead to `a` and those that lead to `b`.
fn merged(base: &str, a: &str, b: &str) -> Option<String> {
    let mut changes = changes(base, a);
    for theirs in self::changes(base, b) {
        let same = |ours: &Change<'_>| ours.lines == theirs.lines && ours.new == theirs.new;
        if changes.iter().any(same) {
            continue;
        }
        // Side by side is too close: what belongs together may end up torn apart.
        let close =
            |ours: &Change<'_>| ours.lines.start <= theirs.lines.end && theirs.lines.start <= ours.lines.end;
        if changes.iter().any(close) {
            return None;
        }
        changes.push(theirs);
    }
    changes.sort_by_key(|change| change.lines.start);
    let old: Vec<&str> = base.split_inclusive('\n').collect();
    let mut text = String::new();
    let mut done = 0;
    for change in changes {
        text.extend(old.get(done..change.lines.start)?.iter().copied());
        text.extend(change.new);
        done = change.lines.end;
    }
    text.extend(old.get(done..)?.iter().copied());
    Some(text)
}

fn changes<'a>(old: &str, new: &'a str) -> Vec<Change<'a>> {
    let lines: Vec<&str> = new.split_inclusive('\n').collect();
    let mut config = TextDiff::configure();
    // Two unlike documents of megabytes would take minutes.
    config.timeout(Duration::from_secs(2));
    let diff = config.diff_lines(old, new);
    let ops = diff.ops().iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
    ops.map(|op| Change {
        lines: op.old_range(),
        new: lines.get(op.new_range()).unwrap_or_default().to_vec(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn record(former: &str, applied: Option<&str>) -> Applied {
        Applied {
            name: "web".into(),
            mark: "m".into(),
            former: former.into(),
            edited: "e".into(),
            applied: applied.map(Into::into),
        }
    }

    #[test]
    fn a_record_is_private_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let records = AppliedRecords::of(&dir.path().join("state"));
        assert_eq!(records.load("u").unwrap(), None);
        let r = record("<s3cret/>", Some("b"));
        records.save("u", &r).unwrap();
        assert_eq!(records.load("u").unwrap().as_ref(), Some(&r));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&records.path("u")), mode(&records.dir)), (0o600, 0o700));
        assert!(!format!("{r:?}").contains("s3cret"));
        fs::write(records.path("u"), "{").unwrap();
        assert!(records.load("u").is_err());
        records.remove("u").unwrap();
        records.remove("u").unwrap();
        assert_eq!(records.load("u").unwrap(), None);
    }

    #[test]
    fn what_others_changed_elsewhere_stays() {
        let former = "<d>\n <a/>\n <b/>\n <c/>\n <e/>\n</d>\n";
        let applied = "<d>\n <a by='hook'/>\n <b/>\n <c/>\n <e/>\n <new/>\n</d>\n";
        let r = record(former, Some(applied));
        assert_eq!(r.undone(applied).as_deref(), Some(former));
        assert_eq!(record(former, None).undone(applied).as_deref(), Some(former));
        let edited = applied.replace("<c/>", "<c by='admin'/>");
        assert_eq!(r.undone(&edited).unwrap(), former.replace("<c/>", "<c by='admin'/>"));
        for close in [
            applied.replace("hook", "admin"),
            applied.replace("<b/>", "<b by='admin'/>"),
            applied.replace(" <new/>\n", " <new/>\n <mine/>\n"),
        ] {
            assert_eq!(r.undone(&close), None, "{close}");
        }
        // Somebody took a change of the hooks back by hand.
        let half = applied.replace(" <new/>\n", "");
        assert_eq!(r.undone(&half).as_deref(), Some(former));
    }
}
