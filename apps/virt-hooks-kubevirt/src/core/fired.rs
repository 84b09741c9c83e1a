// SPDX-License-Identifier: Apache-2.0
//! Which node points were fired to the end: a controller that retries must not fire them again.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::repeat::write_whole;

/// How many are remembered: the oldest are forgotten first.
const REMEMBERED: usize = 16 << 10;

/// Completed events, in memory and in a file.
#[derive(Debug)]
pub(crate) struct Fired {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashSet<String>,
    order: VecDeque<String>,
    /// Lines in the file.
    lines: usize,
}

impl State {
    fn add(&mut self, key: &str) -> bool {
        if !self.known.insert(key.to_owned()) {
            return false;
        }
        self.order.push_back(key.to_owned());
        while self.order.len() > REMEMBERED {
            if let Some(old) = self.order.pop_front() {
                self.known.remove(&old);
            }
        }
        true
    }
}

impl Fired {
    /// What the file in `dir` says, or nothing.
    ///
    /// # Errors
    /// There is a file, which cannot be read.
    pub(crate) fn open(dir: Option<PathBuf>) -> io::Result<Self> {
        let file = dir.map(|d| d.join("fired"));
        let mut state = State::default();
        match file.as_ref().map(fs::read_to_string) {
            Some(Ok(text)) => {
                // A line that was cut off by a crash has no end.
                for line in text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')) {
                    state.lines += 1;
                    state.add(line);
                }
                if !text.is_empty() && !text.ends_with('\n') {
                    // The next line must not be joined to it: write the file anew.
                    state.lines = usize::MAX;
                }
            }
            Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        Ok(Self { file, state: Mutex::new(state) })
    }

    /// Whether it was fired to the end.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).known.contains(key)
    }

    /// It was fired to the end.
    ///
    /// # Errors
    /// It cannot be written down; it is remembered all the same, until this process ends.
    pub(crate) fn add(&self, key: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.add(key) {
            return Ok(());
        }
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(dir) = file.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        if state.lines >= 2 * REMEMBERED {
            let all: String = state.order.iter().map(|k| format!("{k}\n")).collect();
            write_whole(file, all.as_bytes())?;
            state.lines = state.order.len();
            return Ok(());
        }
        let mut open = File::options().append(true).create(true).mode(0o600).open(file)?;
        open.write_all(format!("{key}\n").as_bytes())?;
        state.lines += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fired_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let fired = Fired::open(Some(state.clone())).unwrap();
        assert!(!fired.has("a"));
        fired.add("a").unwrap();
        fired.add("a").unwrap();
        assert!(fired.has("a"));
        assert_eq!(fs::read_to_string(state.join("fired")).unwrap(), "a\n");
        fs::write(state.join("fired"), "a\nb\ncut").unwrap();
        let fired = Fired::open(Some(state)).unwrap();
        assert!(fired.has("a") && fired.has("b") && !fired.has("cut"));
        fired.add("c").unwrap();
        assert_eq!(fs::read_to_string(fired.file.as_ref().unwrap()).unwrap(), "a\nb\nc\n");
    }

    #[test]
    fn memory_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let lines: String = (0..2 * REMEMBERED).map(|n| format!("{n}\n")).collect();
        fs::write(dir.path().join("fired"), lines).unwrap();
        let fired = Fired::open(Some(dir.path().to_owned())).unwrap();
        assert!(!fired.has("0") && fired.has(&(2 * REMEMBERED - 1).to_string()));
        fired.add("new").unwrap();
        let text = fs::read_to_string(dir.path().join("fired")).unwrap();
        assert_eq!(text.lines().count(), REMEMBERED);
        assert!(Fired::open(Some(dir.path().to_owned())).unwrap().has("new"));
    }
}
