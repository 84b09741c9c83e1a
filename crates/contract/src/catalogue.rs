// SPDX-License-Identifier: Apache-2.0
//! All hook points known on a host: the built-in table and what the host adds.

use crate::entry::{self, Entry};
use crate::point::{Failure, Origin, Output, PayloadKind, Point, Properties, Subject, User, Variable};
use crate::toml_error::{TomlError, nearest};
use std::borrow::Cow;
use std::time::Duration;

static BUILT_IN: &[Point] = include!(concat!(env!("OUT_DIR"), "/points.rs"));

/// The hook points known on a host.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    added: Vec<Point>,
}

impl Catalogue {
    /// VDSM's 58 points and nothing else.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Adds the points of one file of `points.d`.
    ///
    /// `file` only names the file in errors. Fields left out follow the name: a `before_` point can
    /// veto, others cannot; a VM point has the VM's properties.
    ///
    /// # Errors
    /// The file is not such a table, a name cannot be a directory name, or the point exists.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), TomlError> {
        let parsed: entry::File = toml::from_str(text).map_err(|e| TomlError::new(file, text, &e))?;
        for entry in parsed.point {
            if !is_point_name(&entry.name) {
                return Err(TomlError::of_key(
                    file,
                    text,
                    ("name", &entry.name),
                    &format!(
                        "\"{}\" cannot name a hook point: use lower-case letters, digits and \"_\", 64 at most",
                        entry.name.escape_debug()
                    ),
                ));
            }
            if self.get(&entry.name).is_some() {
                let message = format!("hook point \"{}\" exists already: choose another name", entry.name);
                return Err(TomlError::of_key(file, text, ("name", &entry.name), &message));
            }
            self.added.push(entry.into());
        }
        Ok(())
    }

    /// The point of that name.
    pub fn get(&self, name: &str) -> Option<&Point> {
        self.iter().find(|p| p.name == name)
    }

    /// The known name most like `name`, for "did you mean".
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.iter().map(|p| &*p.name))
    }

    /// All points, built-in ones first, in the order of their table.
    pub fn iter(&self) -> impl Iterator<Item = &Point> {
        BUILT_IN.iter().chain(&self.added)
    }
}

/// Whether `name` can be the name of a hook point, and so of a directory: lower-case letters, digits and `_`,
/// 64 at most, a letter first.
pub fn is_point_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl From<Entry> for Point {
    fn from(e: Entry) -> Self {
        let (failure, output, properties) = (e.failure(), e.output(), e.properties());
        Self {
            payload: match e.payload {
                entry::Payload::Xml => PayloadKind::Xml,
                entry::Payload::Json => PayloadKind::Json,
                entry::Payload::None => PayloadKind::None,
            },
            failure: match failure {
                entry::Failure::Veto => Failure::Veto,
                entry::Failure::Advisory => Failure::Advisory,
            },
            output: match output {
                entry::Output::Used => Output::Used,
                entry::Output::Ignored => Output::Ignored,
            },
            user: match e.user {
                entry::User::Agent => User::Agent,
                entry::User::Root => User::Root,
            },
            properties: match properties {
                entry::Properties::None => Properties::None,
                entry::Properties::Vm => Properties::Vm,
                entry::Properties::Device => Properties::Device,
            },
            subject: match e.subject {
                entry::Subject::Vm => Subject::Vm,
                entry::Subject::Device => Subject::Device,
                entry::Subject::Host => Subject::Host,
            },
            name: e.name.into(),
            summary: e.summary.into(),
            operation: e.operation.into(),
            when: e.when.into(),
            content: e.content.into(),
            may_be_empty: e.empty,
            default_payload: e.default.into(),
            same_uuid: e.same_uuid,
            deadline: e.deadline,
            since: e.since.into(),
            variables: e
                .variables
                .into_iter()
                .map(|(name, meaning)| Variable { name: name.into(), meaning: meaning.into() })
                .collect(),
            notes: e.notes.into_iter().map(Cow::Owned).collect(),
            origin: Origin::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(f: impl Fn(&Point) -> bool) -> usize {
        Catalogue::built_in().iter().filter(|p| f(p)).count()
    }

    #[test]
    fn c33_the_table_has_vdsms_points_and_no_more() {
        assert_eq!(count(|_| true), 58);
        assert_eq!(count(|p| p.name.starts_with("before_")), 26);
        assert_eq!(count(|p| p.payload == PayloadKind::Json), 13);
        assert_eq!(count(|p| p.failure == Failure::Veto), 24);
        // VDSM's 13, and before_vm_dehibernate, whose output VDSM ignores (C13).
        assert_eq!(count(|p| p.output == Output::Used), 14);
        assert_eq!(count(|p| p.user == User::Root), 4);
        assert_eq!(count(|p| p.same_uuid), 1);
    }

    #[test]
    fn every_entry_is_filled() {
        for p in Catalogue::built_in().iter() {
            assert!(is_point_name(&p.name), "{}", p.name);
            for (column, text) in
                [("summary", &p.summary), ("operation", &p.operation), ("when", &p.when), ("since", &p.since)]
            {
                assert!(!text.is_empty(), "{}: {column} is empty", p.name);
            }
            assert!(p.summary.len() <= 72, "{}: summary is too long", p.name);
            assert!(p.deadline > Duration::ZERO, "{}: no deadline", p.name);
        }
    }

    #[test]
    fn a_host_adds_a_point_with_two_lines() {
        let mut c = Catalogue::built_in();
        c.add("site.toml", "[[point]]\nname = \"before_backup\"\nsummary = \"Freeze what must not move\"\n")
            .unwrap();
        let p = c.get("before_backup").unwrap();
        assert_eq!((p.failure, p.properties, p.origin), (Failure::Veto, Properties::Vm, Origin::Host));
        assert_eq!(c.nearest("before_bakup"), Some("before_backup"));
    }

    #[test]
    fn a_bad_points_file_is_refused_with_its_place() {
        let add = |text| Catalogue::built_in().add("site.toml", text).unwrap_err().to_string();
        assert_eq!(
            add("[[point]]\nname = \"before_x\"\nsumary = \"x\"\n"),
            "site.toml:3:1: unknown key \"sumary\": did you mean \"summary\"?"
        );
        assert!(
            add("[[point]]\nname = \"../x\"\nsummary = \"x\"\n")
                .starts_with("site.toml:2:1: \"../x\" cannot name")
        );
        assert!(add("[[point]]\nname = \"before_vm_start\"\nsummary = \"x\"\n").contains("exists already"));
        assert!(
            add("[[point]]\nname = \"p\"\nsummary = \"x\"\ndeadline = \"soon\"\n")
                .starts_with("site.toml:4:12: "),
            "{}",
            add("[[point]]\nname = \"p\"\nsummary = \"x\"\ndeadline = \"soon\"\n")
        );
    }

    #[test]
    fn of_many_points_the_bad_one_is_placed() {
        let add = |text: &str| Catalogue::built_in().add("site.toml", text).unwrap_err().to_string();
        let two = |second: &str| {
            format!(
                "[[point]]\nname = \"a\"\nsummary = \"x\"\n\n[[point]]\nname = \"{second}\"\nsummary = \"x\"\n"
            )
        };
        assert!(add(&two("../b")).starts_with("site.toml:6:1: "), "{}", add(&two("../b")));
        assert!(add(&two("a")).starts_with("site.toml:6:1: "), "{}", add(&two("a")));
    }

    #[test]
    fn a_point_gives_its_hooks_some_time() {
        let text = "[[point]]\nname = \"a\"\nsummary = \"x\"\ndeadline = \"0s\"\n";
        let said = Catalogue::built_in().add("site.toml", text).unwrap_err().to_string();
        assert!(said.starts_with("site.toml:4:12: ") && said.contains("no time at all"), "{said}");
    }

    #[test]
    fn nearest_name_is_found() {
        let c = Catalogue::built_in();
        assert_eq!(c.nearest("before_vm_strat"), Some("before_vm_start"));
        assert_eq!(c.nearest("zzz"), None);
    }
}
