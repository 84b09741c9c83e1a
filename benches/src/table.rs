// SPDX-License-Identifier: Apache-2.0
//! Tables, for a terminal and for a document.

use crate::stats::Spread;

/// A table with a title.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(title: impl Into<String>, head: [&str; N]) -> Self {
        Self { title: title.into(), rows: vec![head.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(Vec::from(cells));
    }

    /// Aligned with blanks.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = format!("{}\n", self.title);
        for row in &self.rows {
            let line: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(&format!("  {}\n", line.join("  ").trim_end()));
        }
        text
    }

    /// As a chapter with a table.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n", self.title);
        for (number, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if number == 0 {
                text.push_str(&format!("|{}\n", "---|".repeat(row.len())));
            }
        }
        text
    }
}

/// Not measured, in a table.
pub(crate) const NONE: &str = "-";

/// A time, in the unit that suits it.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e5 => format!("{:.2} µs", n / 1e3),
        n if n < 1e6 => format!("{:.0} µs", n / 1e3),
        n if n < 1e8 => format!("{:.2} ms", n / 1e6),
        n => format!("{:.0} ms", n / 1e6),
    }
}

/// A ratio with its spread.
pub(crate) fn ratio(spread: Option<Spread>) -> String {
    spread.map_or(NONE.into(), |s| format!("{:.2}x ({:.2}-{:.2})", s.median, s.p10, s.p90))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let mut t = Table::new("Title", ["a", "µ"]);
        t.row(["1".into(), "long".into()]);
        t.row(["123".into(), "x".into()]);
        assert_eq!(t.text(), "Title\n  a    µ\n  1    long\n  123  x\n");
        assert_eq!(t.markdown(), "### Title\n\n| a | µ |\n|---|---|\n| 1 | long |\n| 123 | x |\n");
    }

    #[test]
    fn times() {
        let shown: Vec<String> = [999.0, 4_321.0, 123_456.0, 1_234_567.0, 123_456_789.0].map(time).into();
        assert_eq!(shown, ["999 ns", "4.32 µs", "123 µs", "1.23 ms", "123 ms"]);
    }
}
