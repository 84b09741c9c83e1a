// SPDX-License-Identifier: Apache-2.0
//! Aligned columns.

use super::style::{Style, paint};
use crate::streams::Look;

/// Rows of cells; every column as wide as its widest cell, two blanks between them.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(Vec<String>, Option<Style>)>,
}

impl Table {
    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N], style: Option<Style>) {
        self.rows.push((cells.into(), style));
    }

    /// The table with `indent` blanks before each row.
    ///
    /// Where the last column would not fit into the terminal it goes on a line of its own below the rest.
    pub fn render(&self, indent: usize, look: Look) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for (cells, _) in &self.rows {
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let whole = indent + widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let fits = look.columns.is_none_or(|columns| whole <= columns);
        let mut out = String::new();
        for (cells, style) in &self.rows {
            let mut line = " ".repeat(indent);
            for (n, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                if n > 0 && n + 1 == cells.len() && !fits {
                    line.truncate(line.trim_end().len());
                    line.push('\n');
                    line.push_str(&" ".repeat(indent + 4));
                }
                line.push_str(&format!("{cell:<width$}  "));
            }
            let line = line.trim_end();
            match style {
                Some(style) => out.push_str(&paint(line, *style, look).to_string()),
                None => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        table.row(["name".into(), "what".into()], Some(Style::Heading));
        table.row(["long_name".into(), "does things".into()], None);
        table
    }

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        assert_eq!(table().render(2, Look::default()), "  name       what\n  long_name  does things\n");
    }

    #[test]
    fn a_narrow_terminal_gets_the_last_column_below() {
        let look = Look { columns: Some(20), ..Look::default() };
        assert_eq!(table().render(0, look), "name\n    what\nlong_name\n    does things\n");
    }
}
