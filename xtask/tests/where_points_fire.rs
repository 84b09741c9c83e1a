// SPDX-License-Identifier: Apache-2.0
//! `docs/where-points-fire.md` is about every point, and about tests that exist and are real; every entry of the defect
//! register has a test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use virt_hooks_contract::Catalogue;

/// The beginnings of the names of files, and what they stand for.
const SHORT: [(&str, &str); 2] =
    [("e2e/", "apps/virt-hooks-vm/tests/e2e/"), ("networks/", "apps/virt-hooks/tests/networks/")];

struct Row {
    point: String,
    operation: String,
    /// File and function.
    tests: Vec<(String, String)>,
}

fn rows() -> Vec<Row> {
    let page = fs::read_to_string(xtask::root().join("docs/where-points-fire.md")).unwrap();
    let table = page.lines().skip_while(|line| !line.starts_with("| Point |")).skip(2);
    table
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [point, operation, tests] = cells[..] else { panic!("not three cells: {line}") };
            let named = tests.split('`').filter_map(|part| part.split_once("::"));
            let tests = named.map(|(file, name)| (file.to_owned(), name.to_owned())).collect();
            Row { point: point.to_owned(), operation: operation.to_owned(), tests }
        })
        .collect()
}

#[test]
fn every_point_has_a_row_and_a_test() {
    let rows = rows();
    let catalogue = Catalogue::built_in();
    let known: BTreeSet<&str> = catalogue.iter().map(|point| &*point.name).collect();
    let named: BTreeSet<&str> = rows.iter().map(|row| row.point.as_str()).collect();
    assert_eq!(named, known);
    assert_eq!(rows.len(), 58, "one row for each");
    for row in &rows {
        assert!(!row.operation.is_empty(), "{}", row.point);
        assert!(!row.tests.is_empty(), "{}", row.point);
    }
}

#[test]
fn every_test_exists_and_is_about_something_real() {
    for Row { point, tests, .. } in rows() {
        for (file, name) in tests {
            let (short, long) = SHORT.iter().find(|(short, _)| file.starts_with(short)).unwrap();
            let source = fs::read_to_string(xtask::root().join(file.replacen(short, long, 1))).unwrap();
            assert!(source.contains(&format!("fn {name}(")), "{point}: {file} has no {name}");
            // libvirt's test driver has no VMs.
            assert!(
                !source.contains(&format!("    Library {name},")),
                "{point}: {file}::{name} is about a fake"
            );
        }
    }
}

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// `fn c12_c13_what_hooks_make_of_the_xml_is_restored` is for two.
fn entries(line: &str) -> impl Iterator<Item = u32> {
    let name = line.trim_start().strip_prefix("fn ").unwrap_or_default();
    name.split('_').map_while(|part| part.strip_prefix('c').filter(|n| n.len() == 2)?.parse().ok())
}

#[test]
fn every_entry_of_the_register_has_a_test_named_after_it() {
    let mut found = Vec::new();
    for directory in ["apps", "crates", "xtask/tests"] {
        sources(&xtask::root().join(directory), &mut found);
    }
    let shown: BTreeSet<u32> = found.iter().flat_map(|text| text.lines()).flat_map(entries).collect();
    let missing: Vec<u32> = (1..=35).filter(|n| !shown.contains(n)).collect();
    assert_eq!(missing, [0; 0]);
}
