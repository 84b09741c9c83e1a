// SPDX-License-Identifier: Apache-2.0
//! The generated part of `docs/performance.md`.

use crate::error::BenchError;
use crate::machine::{Machine, Shield};
use crate::table::Table;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- figures: begin (written by `make bench BENCH_ARGS=--markdown`) -->";
const END: &str = "<!-- figures: end -->";

/// Where the figures belong.
pub(crate) fn default_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md")
}

/// What the figures were taken on, and how to take them again.
pub(crate) fn head(machine: &Machine, shield: &Shield, libc: &str, quick: bool) -> String {
    let command = if quick { "make bench BENCH_ARGS=--quick" } else { "make bench" };
    format!(
        "{}, {} on {} CPUs of {}, load average at the end {:.1}; {}; static C programs with {libc} libc. \
         To repeat: `{command}`. In brackets: 10th to 90th percentile over the rounds.",
        machine.date,
        machine.kernel,
        machine.cpus,
        machine.cpu,
        machine.load,
        shield.describe(),
    )
}

/// Puts the figures between the marks.
pub(crate) fn write(path: &Path, head: &str, tables: &[Table]) -> Result<(), BenchError> {
    let old = std::fs::read_to_string(path).map_err(BenchError::file("read", path))?;
    let new = replace(&old, head, tables).ok_or_else(|| {
        BenchError::Usage(format!(
            "{} has no place for figures: lines \"{BEGIN}\" and \"{END}\"",
            path.display()
        ))
    })?;
    std::fs::write(path, new).map_err(BenchError::file("write", path))
}

fn replace(old: &str, head: &str, tables: &[Table]) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let tables: Vec<String> = tables.iter().map(Table::markdown).collect();
    Some(format!("{before}{BEGIN}\n\n{head}\n\n{}\n{END}{after}", tables.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_marks_changes() {
        let mut table = Table::new("T", ["a"]);
        table.row(["1".into()]);
        let old = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replace(&old, "head", &[table]).unwrap();
        let figures = "head\n\n### T\n\n| a |\n|---|\n| 1 |\n";
        assert_eq!(new, format!("before\n{BEGIN}\n\n{figures}\n{END}\nafter\n"));
        assert_eq!(replace("nothing", "", &[]), None);
    }
}
