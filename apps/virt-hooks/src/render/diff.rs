// SPDX-License-Identifier: Apache-2.0
//! Diffs.

use super::style::{Style, paint};
use super::text::printable;
use crate::streams::Look;
use std::fmt::Write;

/// A unified diff with `indent` before each line, in colours where there are any.
pub fn coloured(diff: &str, indent: &str, look: Look) -> String {
    let mut out = String::with_capacity(diff.len() * 2);
    for line in diff.lines() {
        let style = match line.as_bytes().first() {
            Some(b'+') if !line.starts_with("+++ ") => Some(Style::Good),
            Some(b'-') if !line.starts_with("--- ") => Some(Style::Bad),
            Some(b'@') => Some(Style::Aside),
            _ => None,
        };
        let shown = printable(line);
        let _ = match style {
            Some(style) => writeln!(out, "{indent}{}", paint(&shown, style, look)),
            None => writeln!(out, "{indent}{shown}"),
        };
    }
    out
}
