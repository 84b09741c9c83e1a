// SPDX-License-Identifier: Apache-2.0
//! A chain while it runs: one line for each hook.

use super::diff::coloured;
use super::style::{Style, paint};
use super::text::{duration, printable};
use crate::streams::Look;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;
use virt_hooks_engine::{Ending, Hook, Observer, Run};

/// How many lines of what a hook said are shown; the report has more.
const SAID: usize = 10;
/// When the first line about a hook that takes its time is due.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often another is due where lines cannot be overwritten.
const PLAIN: Duration = Duration::from_secs(10);

/// Writes what happens to an event as it happens.
pub struct Chain<'a> {
    point: String,
    to: Box<dyn Write + 'a>,
    look: Look,
    deadline: Option<&'a dyn Fn(&Hook) -> Duration>,
    with_diffs: bool,
    begun: bool,
    progress: Progress,
}

/// What was said about the hook that runs.
#[derive(Default)]
struct Progress {
    in_place: bool,
    next: Duration,
}

impl<'a> Chain<'a> {
    /// Writes about an event at `point`.
    pub fn new(point: &str, to: Box<dyn Write + 'a>, look: Look) -> Self {
        Self {
            point: point.to_owned(),
            to,
            look,
            deadline: None,
            with_diffs: false,
            begun: false,
            progress: Progress::default(),
        }
    }

    /// Also says how long a slow hook may take.
    #[must_use]
    pub fn with_deadlines(mut self, deadline: &'a dyn Fn(&Hook) -> Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Also shows what each hook changed.
    #[must_use]
    pub fn with_diffs(mut self, yes: bool) -> Self {
        self.with_diffs = yes;
        self
    }

    fn write(&mut self, text: &str) {
        // What runs is more important than who watches it.
        let _ = self.to.write_all(text.as_bytes());
    }
}

impl Observer for Chain<'_> {
    fn every(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    fn started(&mut self, _: &Hook) {
        self.progress = Progress { in_place: false, next: PATIENCE };
        if !self.begun {
            self.begun = true;
            let heading = format!("{}\n", paint(&self.point, Style::Heading, self.look));
            self.write(&heading);
        }
    }

    fn running(&mut self, hook: &Hook, elapsed: Duration) {
        if !self.look.in_place {
            if elapsed < self.progress.next {
                return;
            }
            self.progress.next =
                Duration::from_secs((elapsed.as_secs() / PLAIN.as_secs() + 1) * PLAIN.as_secs());
        }
        let limit = self.deadline.map(|d| format!(" (at most {})", duration(d(hook)))).unwrap_or_default();
        let name = hook.name().to_string_lossy();
        let line = format!("{:>8} s   {:<12}  {}{limit}", elapsed.as_secs(), "running", printable(&name));
        if self.look.in_place {
            // One that wraps could not be overwritten.
            let width = self.look.columns.unwrap_or(80).saturating_sub(1);
            let line: String = line.chars().take(width).collect();
            self.progress.in_place = true;
            self.write(&format!("\r{line}\x1b[K"));
        } else {
            self.write(&format!("{line}\n"));
        }
    }

    fn finished(&mut self, run: &Run) {
        let mut out = String::new();
        if self.progress.in_place {
            out.push_str("\r\x1b[K");
        }
        let state = state(run);
        let style = if run.failed() { Style::Bad } else { Style::Good };
        let name = run.hook.name().to_string_lossy();
        let _ = write!(
            out,
            "{:>8.1} ms  {}  {}",
            run.duration.as_secs_f64() * 1e3,
            format_args!("{:<12}", paint(&state, style, self.look)),
            printable(&name)
        );
        for note in notes(run) {
            let _ = write!(out, ", {}", printable(&note));
        }
        out.push('\n');
        out.push_str(&said(&run.stderr, self.look));
        if self.with_diffs
            && let Some(diff) = run.diff()
        {
            out.push_str(&coloured(&diff, "    ", self.look));
        }
        self.write(&out);
    }
}

/// How a hook ended, in as few words as there are.
fn state(run: &Run) -> String {
    match run.ending {
        _ if run.timed_out => "timed out".to_owned(),
        Ending::Exited(0) if run.failed() => "bad result".to_owned(),
        Ending::Exited(0) => "fine".to_owned(),
        Ending::Exited(n) => format!("exit code {n}"),
        // Only the engine knows the names of signals.
        Ending::Signaled(_) => run.ended().split(": ").next().unwrap_or_default().to_owned(),
        Ending::NotStarted => "not started".to_owned(),
        Ending::Lost => "end unknown".to_owned(),
    }
}

fn notes(run: &Run) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(run.problem.clone());
    if run.changed() {
        notes.push("changed the payload".to_owned());
    }
    if run.left_background {
        notes.push("left processes behind".to_owned());
    }
    notes
}

/// The last lines a hook wrote, marked as its own.
fn said(stderr: &str, look: Look) -> String {
    let lines: Vec<&str> = stderr.trim_end().lines().collect();
    let mut out = String::new();
    let hidden = lines.len().saturating_sub(SAID);
    if hidden > 0 {
        let _ =
            writeln!(out, "    {}", paint(&format!("| [{hidden} lines before these]"), Style::Aside, look));
    }
    for line in &lines[hidden..] {
        let _ = writeln!(out, "    {} {}", paint("|", Style::Aside, look), printable(line));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(look: Look, seconds: &[u64]) -> String {
        let hook = Hook {
            path: "/hooks/before_vm_start/10_slow".into(),
            layer: 0,
            writable_by_others: false,
            package: None,
        };
        let mut out = Vec::new();
        let mut chain = Chain::new("before_vm_start", Box::new(&mut out), look);
        chain.started(&hook);
        out_of(&mut chain, &hook, seconds);
        drop(chain);
        String::from_utf8(out).unwrap()
    }

    fn out_of(chain: &mut Chain<'_>, hook: &Hook, seconds: &[u64]) {
        for s in seconds {
            chain.running(hook, Duration::from_secs(*s));
        }
    }

    #[test]
    fn lines_come_every_ten_seconds_where_they_stay() {
        let all: Vec<u64> = (1..=21).collect();
        assert_eq!(
            progress(Look::default(), &all),
            "before_vm_start\n       1 s   running       10_slow\n      10 s   running       10_slow\n      \
             20 s   running       10_slow\n"
        );
    }

    #[test]
    fn one_line_is_overwritten_on_a_terminal_and_does_not_wrap() {
        let look = Look { in_place: true, columns: Some(20), ..Look::default() };
        assert_eq!(
            progress(look, &[1, 2]),
            "before_vm_start\n\r       1 s   runnin\x1b[K\r       2 s   runnin\x1b[K"
        );
    }
}
