// SPDX-License-Identifier: Apache-2.0
//! What came of a chain.

use super::style::{Style, paint};
use super::text::{count, printable};
use crate::streams::Look;
use std::fmt::Write;
use virt_hooks_contract::Verdict;
use virt_hooks_engine::{Outcome, Run, SkipReason};

/// The end of an event in some lines: warnings, files that look like hooks but were not run, the verdict, and
/// each failing hook with its own words.
pub fn verdict(outcome: &Outcome, look: Look) -> String {
    let mut out = String::new();
    for warning in &outcome.warnings {
        let _ = writeln!(out, "{}: {}", paint("warning", Style::Odd, look), printable(warning));
    }
    for skipped in &outcome.skipped {
        // Overriding, masking and modules beside a hook are on purpose.
        if matches!(skipped.reason, SkipReason::Backup | SkipReason::Dangling) {
            let path = skipped.path.to_string_lossy();
            let _ = writeln!(
                out,
                "{}: {}: {}",
                paint("not run", Style::Odd, look),
                printable(&path),
                printable(&skipped.reason.to_string())
            );
        }
    }
    let failed: Vec<&Run> = outcome.runs.iter().filter(|r| r.failed()).collect();
    let (word, style) = match outcome.verdict {
        Verdict::Veto => ("veto", Style::Bad),
        Verdict::Proceed if failed.is_empty() && outcome.trouble.is_none() => ("proceed", Style::Good),
        Verdict::Proceed => ("proceed", Style::Odd),
    };
    let _ = writeln!(out, "{}: {}", paint(word, style, look), summary(outcome, failed.len()));
    for objection in &outcome.objections {
        let _ = writeln!(out, "  {}", printable(objection));
    }
    for run in failed {
        let name = run.hook.name().to_string_lossy();
        let words = run.stderr.trim_end().lines().last().unwrap_or_default().trim();
        let colon = if words.is_empty() { "" } else { ": " };
        let _ =
            writeln!(out, "  {}: {}{colon}{}", printable(&name), printable(&run.ended()), printable(words));
    }
    if !outcome.not_run.is_empty() {
        let names: Vec<_> = outcome.not_run.iter().map(|h| h.name().to_string_lossy()).collect();
        let _ = writeln!(out, "  not run after that: {}", printable(&names.join(", ")));
    }
    out
}

fn summary(outcome: &Outcome, failed: usize) -> String {
    let ran = outcome.runs.len();
    let point = &outcome.point;
    if ran == 0 {
        let stopped = outcome.trouble.is_some() || !outcome.objections.is_empty();
        return format!("{point}: {}", if stopped { "no hook was run" } else { "no hooks to run" });
    }
    let hooks = match failed {
        0 => count(ran, "hook"),
        _ => format!("{failed} of {} failed", count(ran, "hook")),
    };
    // A vetoed payload is discarded.
    let payload = match (outcome.verdict, outcome.changed) {
        (Verdict::Veto, _) => "",
        (Verdict::Proceed, true) => ", payload changed",
        (Verdict::Proceed, false) => ", payload unchanged",
    };
    format!("{point}: {hooks}, {:.1} ms{payload}", outcome.duration.as_secs_f64() * 1e3)
}
