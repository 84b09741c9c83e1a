// SPDX-License-Identifier: Apache-2.0
//! Findings for people.

use super::finding::{Finding, Severity};
use anstyle::{AnsiColor, Style};
use std::fmt::Write;

/// The findings as text, with a last line that counts them; `colour`: for a terminal.
pub fn render(findings: &[Finding], colour: bool) -> String {
    let mut text = String::new();
    let bold = paint(Style::new().bold(), colour);
    let faint = paint(Style::new().dimmed(), colour);
    for f in findings {
        let style = paint(
            match f.severity {
                Severity::Broken => AnsiColor::Red.on_default().bold(),
                Severity::Warning => AnsiColor::Yellow.on_default().bold(),
                Severity::Hint => AnsiColor::Cyan.on_default(),
            },
            colour,
        );
        let path = f.path.to_string_lossy();
        let path = path.escape_debug();
        let _ = writeln!(text, "{style}{:<8}{style:#} {bold}{path}{bold:#}", f.severity.word());
        for (label, line) in [("what", &f.what), ("why", &f.why), ("mend", &f.mend)] {
            if !line.is_empty() {
                let _ = writeln!(text, "         {faint}{label:<5}{faint:#} {}", one_line(line));
            }
        }
        text.push('\n');
    }
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let counts: Vec<String> = [
        (count(Severity::Broken), "broken", "broken"),
        (count(Severity::Warning), "warning", "warnings"),
        (count(Severity::Hint), "hint", "hints"),
    ]
    .into_iter()
    .filter(|(n, _, _)| *n > 0)
    .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
    .collect();
    let _ = writeln!(
        text,
        "{}",
        if counts.is_empty() { "nothing wrong was found".to_owned() } else { counts.join(", ") }
    );
    text
}

fn paint(style: Style, colour: bool) -> Style {
    if colour { style } else { Style::new() }
}

/// Names of files are somebody else's: no control character of theirs reaches a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
