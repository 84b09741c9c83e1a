// SPDX-License-Identifier: Apache-2.0
//! A worker process, seen from the one that measures.

use crate::error::BenchError;
use crate::stats::Spread;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What is to be measured in one slice.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Directories with one directory per hook point, with `:` between them.
    pub(crate) layers: String,
    pub(crate) payload: String,
    pub(crate) threads: usize,
}

/// What a slice gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    /// The median time of one event.
    pub(crate) event_ns: f64,
    pub(crate) events_per_second: f64,
    /// What was read per event, by the worker and its hooks.
    pub(crate) read_bytes: f64,
}

/// A worker process.
pub(crate) struct Participant {
    pub(crate) name: &'static str,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Participant {
    /// Starts a worker. `shield` is what its command line is prefixed with.
    pub(crate) fn start(
        name: &'static str,
        shield: &[String],
        program: &Path,
        arguments: &[String],
        run_dir: &Path,
    ) -> Result<Self, BenchError> {
        let mut words = shield.iter().map(AsRef::as_ref).chain([program.as_os_str()]);
        let first = words.next().unwrap_or_default();
        let mut child = Command::new(first)
            .args(words)
            .args(arguments)
            .env("RUN_DIR", run_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| BenchError::Start { program: first.to_string_lossy().into_owned(), source })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Worker { worker: name.into(), said: String::new() });
        };
        Ok(Self { name, child, to: Some(to), from: BufReader::new(from) })
    }

    /// Measures one slice of `events` events.
    pub(crate) fn run(&mut self, work: &Work, events: usize) -> Result<Slice, BenchError> {
        let mut said = String::new();
        let command =
            format!("run {} before_vm_start {} {events} {}\n", work.layers, work.payload, work.threads);
        let answered = self
            .to
            .as_mut()
            .is_some_and(|to| to.write_all(command.as_bytes()).and_then(|()| to.flush()).is_ok())
            && self.from.read_line(&mut said).is_ok();
        parse(&said)
            .filter(|_| answered)
            .ok_or_else(|| BenchError::Worker { worker: self.name.into(), said: said.trim().to_owned() })
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        // The end of its standard input is its end.
        self.to.take();
        let _ = self.child.wait();
    }
}

fn parse(answer: &str) -> Option<Slice> {
    let mut words = answer.split_whitespace();
    if words.next()? != "ok" {
        return None;
    }
    let wall: f64 = words.next()?.parse().ok()?;
    let read: f64 = words.next()?.parse().ok()?;
    let times: Vec<f64> = words.map(|w| w.parse().ok()).collect::<Option<_>>()?;
    let events = times.len() as f64;
    Some(Slice {
        event_ns: Spread::of(times)?.median,
        events_per_second: events * 1e9 / wall,
        read_bytes: read / events,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let s = parse("ok 4000 32 1000 3000 1100 900\n").unwrap();
        assert_eq!((s.event_ns, s.events_per_second, s.read_bytes), (1050.0, 1e6, 8.0));
        assert!(parse("ok 1 2").is_none());
        assert!(parse("").is_none());
        assert!(parse("ok 1 2 x").is_none());
    }
}
