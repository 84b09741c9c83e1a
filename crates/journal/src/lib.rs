// SPDX-License-Identifier: Apache-2.0
//! The record of past events: who ran, how it ended, what it changed.
//!
//! One JSON line for each event, the report as programs know it, in `journal.jsonl` of the state directory. A
//! line is written by one `write` to a file opened for appending, so that events of many processes do not
//! mix. A file that has grown beyond its limit becomes `journal.1.jsonl` and takes the place of the one before: the
//! journal is bounded at twice the limit. Reports hold no secrets; the directory is its owner's all the same.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use virt_hooks_contract::Report;

/// How large `journal.jsonl` may grow, in bytes.
const LIMIT: u64 = 16 << 20;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{doing} the journal {}: {source}", path.display())]
pub struct JournalError {
    /// What was being done.
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// The journal in a state directory.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
    limit: u64,
}

impl Journal {
    /// The journal in `state_dir`, which is made when the first event is recorded.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self { dir: state_dir.into(), limit: LIMIT }
    }

    /// The file new records go to.
    pub fn path(&self) -> PathBuf {
        self.dir.join("journal.jsonl")
    }

    fn older(&self) -> PathBuf {
        self.dir.join("journal.1.jsonl")
    }

    /// Records events. Those where no hook ran are not worth a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&self, reports: &[Report]) -> Result<(), JournalError> {
        let mut lines = Vec::new();
        for report in reports.iter().filter(|r| !r.runs.is_empty() || !r.error.is_empty()) {
            let line = serde_json::to_vec(report)
                .map_err(|e| self.failed("write", io::Error::other(e.to_string())))?;
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.append(&lines).map_err(|e| self.failed("write", e))
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let open = || File::options().append(true).create(true).mode(0o600).open(self.path());
        let mut file = match open() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
                open()?
            }
            other => other?,
        };
        if file.metadata()?.len() > self.limit {
            // Another process may be faster: then this moves a young file, and a few lines are lost sooner.
            fs::rename(self.path(), self.older())?;
            file = open()?;
        }
        file.write_all(lines)
    }

    /// The records, oldest first, as JSON. A line that was cut off by a crash is left out.
    ///
    /// # Errors
    /// A file is there but cannot be read.
    pub fn read(&self) -> Result<Vec<serde_json::Value>, JournalError> {
        let mut records = Vec::new();
        for path in [self.older(), self.path()] {
            read_lines(&path, &mut records).map_err(|source| JournalError { doing: "read", path, source })?;
        }
        Ok(records)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> JournalError {
        JournalError { doing, path: self.path(), source }
    }
}

fn read_lines(path: &Path, into: &mut Vec<serde_json::Value>) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for line in BufReader::new(file).split(b'\n') {
        into.extend(serde_json::from_slice::<serde_json::Value>(&line?).ok());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use virt_hooks_contract::Verdict;

    fn report(point: &str, error: &str) -> Report {
        Report {
            point: point.into(),
            event_id: String::new(),
            time: "2026-01-01T00:00:00Z".into(),
            verdict: Verdict::Proceed,
            changed: false,
            vm_id: None,
            vm_name: None,
            duration_ms: 1.0,
            runs: vec![],
            not_run: vec![],
            skipped: vec![],
            warnings: vec![],
            error: error.into(),
        }
    }

    fn points(journal: &Journal) -> Vec<String> {
        journal.read().unwrap().iter().map(|r| r["point"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_was_recorded_is_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::new(dir.path().join("new/state"));
        assert!(points(&journal).is_empty(), "none yet");
        journal.record(&[report("a", "x"), report("quiet", ""), report("b", "x")]).unwrap();
        journal.record(&[report("c", "x")]).unwrap();
        assert_eq!(points(&journal), ["a", "b", "c"]);
        assert_eq!(fs::metadata(journal.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("new/state")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_cut_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::new(dir.path());
        fs::write(journal.path(), "{\"point\": \"cut of\n").unwrap();
        journal.record(&[report("a", "x")]).unwrap();
        assert_eq!(points(&journal), ["a"]);
    }

    #[test]
    fn it_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal { dir: dir.path().to_owned(), limit: 2000 };
        for _ in 0..100 {
            journal.record(&[report("a", "x")]).unwrap();
        }
        let size = |p: PathBuf| fs::metadata(p).unwrap().len();
        assert!(size(journal.path()) <= 2300 && size(journal.older()) <= 2300);
        assert!(points(&journal).len() > 5);
    }

    #[test]
    fn many_at_once_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::new(dir.path());
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for _ in 0..25 {
                        journal.record(&[report("a", &"x".repeat(5000))]).unwrap();
                    }
                });
            }
        });
        assert_eq!(points(&journal).len(), 200);
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let journal = Journal::new(dir.path().join("file/state"));
        let error = journal.record(&[report("a", "x")]).unwrap_err().to_string();
        assert!(error.starts_with("write the journal") && error.contains("Not a directory"), "{error}");
    }
}
