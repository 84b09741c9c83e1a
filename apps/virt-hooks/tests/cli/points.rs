// SPDX-License-Identifier: Apache-2.0
//! `points`.

use crate::case::Case;
use virt_hooks_contract::{Catalogue, PayloadKind};

#[test]
fn every_point_has_a_line_and_columns_are_aligned() {
    let done = Case::new().says("points").run().ended(0);
    let mut lines = done.stdout.lines();
    let heading = lines.next().unwrap();
    let column = heading.find("SUMMARY").unwrap();
    let mut rows = 0;
    for (line, point) in lines.zip(Catalogue::built_in().iter()) {
        assert!(line.starts_with(&*point.name), "{line}");
        assert_eq!(&line[column..], point.summary);
        rows += 1;
    }
    assert_eq!(rows, 58);
}

#[test]
fn for_programs() {
    let done = Case::new()
        .file("points.d/site.toml", "[[point]]\nname = \"before_backup\"\nsummary = \"Freeze\"\n")
        .says("points --format json")
        .run()
        .ended(0);
    let points: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(points.as_array().unwrap().len(), 59);
    assert_eq!(points[58]["origin"], "host");
    let one = Case::new().says("points before_vm_start --format json").run().ended(0);
    let one: serde_json::Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!(one["name"], "before_vm_start");
    assert_eq!((&one["failure"], &one["same_uuid"]), (&"veto".into(), &true.into()));
    assert_eq!(one["deadline"], "10m");
}

#[test]
fn one_point_in_words() {
    for point in Catalogue::built_in().iter() {
        let done = Case::new().says(&format!("points {}", point.name)).run().ended(0);
        let text = done.stdout;
        let content = if point.payload == PayloadKind::None { "names an empty file" } else { &point.content };
        for column in [&*point.summary, &point.operation, &point.when, content, &point.since] {
            assert!(text.contains(column), "{}: \"{column}\" is missing", point.name);
        }
        for variable in point.variables.iter() {
            assert!(text.contains(&format!("{}: {}", variable.name, variable.meaning)), "{}", point.name);
        }
        for note in point.notes.iter() {
            assert!(text.contains(&**note), "{}: \"{note}\" is missing", point.name);
        }
    }
}
