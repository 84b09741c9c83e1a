// SPDX-License-Identifier: Apache-2.0
//! The generated parts of `docs/performance.md`.

use crate::error::BenchError;
use crate::machine::{Machine, Shield};
use crate::table::Table;
use std::path::{Path, PathBuf};

/// A generated part: the lines it lies between.
pub(crate) struct Part {
    begin: &'static str,
    end: &'static str,
}

/// The engine and the command.
pub(crate) const FIGURES: Part = Part {
    begin: "<!-- figures: begin (written by `make bench BENCH_ARGS=--markdown`) -->",
    end: "<!-- figures: end -->",
};
/// The agent under load.
pub(crate) const LOAD: Part = Part {
    begin: "<!-- load: begin (written by `cargo run --release -p virt-hooks-bench -- load --markdown`) -->",
    end: "<!-- load: end -->",
};

/// Where the figures belong.
pub(crate) fn default_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md")
}

/// What the figures were taken on, and how to take them again.
pub(crate) fn head(machine: &Machine, shield: &Shield, libc: &str, quick: bool) -> String {
    let command = if quick { "make bench BENCH_ARGS=--quick" } else { "make bench" };
    format!(
        "{}; {}; static C programs with {libc} libc. To repeat: `{command}`. In brackets: 10th to 90th percentile \
         over the rounds.",
        machine.describe(),
        shield.describe(),
    )
}

/// Puts the figures between the marks.
pub(crate) fn write(path: &Path, part: &Part, head: &str, tables: &[Table]) -> Result<(), BenchError> {
    let old = std::fs::read_to_string(path).map_err(BenchError::file("read", path))?;
    let new = replace(&old, part, head, tables).ok_or_else(|| {
        BenchError::Usage(format!(
            "{} has no place for figures: lines \"{}\" and \"{}\"",
            path.display(),
            part.begin,
            part.end
        ))
    })?;
    std::fs::write(path, new).map_err(BenchError::file("write", path))
}

fn replace(old: &str, part: &Part, head: &str, tables: &[Table]) -> Option<String> {
    let Part { begin, end } = part;
    let (before, rest) = old.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    let tables: Vec<String> = tables.iter().map(Table::markdown).collect();
    Some(format!("{before}{begin}\n\n{head}\n\n{}\n{end}{after}", tables.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_marks_changes() {
        let mut table = Table::new("T", ["a"]);
        table.row(["1".into()]);
        let Part { begin, end } = FIGURES;
        let other = format!("{}\nother\n{}", LOAD.begin, LOAD.end);
        let old = format!("before\n{begin}\nold\n{end}\nafter\n{other}\n");
        let new = replace(&old, &FIGURES, "head", &[table]).unwrap();
        let figures = "head\n\n### T\n\n| a |\n|---|\n| 1 |\n";
        assert_eq!(new, format!("before\n{begin}\n\n{figures}\n{end}\nafter\n{other}\n"));
        assert_eq!(replace("nothing", &LOAD, "", &[]), None);
    }

    #[test]
    fn the_book_has_a_place_for_each_part() {
        let book = std::fs::read_to_string(default_path()).unwrap();
        for part in [FIGURES, LOAD] {
            assert!(replace(&book, &part, "", &[]).is_some(), "{}", part.begin);
        }
    }
}
