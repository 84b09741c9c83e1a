// SPDX-License-Identifier: Apache-2.0
//! What people are told: `README.md`.

use super::edit;
use crate::author::PackageDir;
use crate::doctor::{Finding, Kind, Severity, quote};
use std::io;

/// What a reader looks for: headings, one of which is enough, and the question that stays open without it.
const HEADINGS: &[(&[&str], &str)] = &[
    (&["Properties", "Property", "Custom properties"], "which custom properties the hook reads"),
    (&["What changes", "What it does", "XML changes", "Changes"], "what it changes"),
    (&["Gotchas", "Limits", "Limitations", "Caveats"], "what to take care of"),
];

pub(super) fn check(package: &PackageDir, out: &mut Vec<Finding>) {
    let path = package.dir.join("README.md");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) => {
            let what = match e.kind() {
                io::ErrorKind::NotFound => "is missing".to_owned(),
                _ => format!("cannot be read: {e}"),
            };
            out.push(
                Finding::new(Severity::Warning, Kind::ReadmeMissing, &path)
                    .what(what)
                    .why("who installs the package cannot know what it does to their VMs")
                    .mend(format!("printf '# %s\\n' {} >{}", package.manifest.name, quote::path(&path))),
            );
            return;
        }
    };
    let mut lacks = |what: String| {
        out.push(
            Finding::new(Severity::Warning, Kind::ReadmeIncomplete, &path)
                .what(what)
                .why("who installs the package looks for it there")
                .mend(edit(&path)),
        );
    };
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let begins = lines.next().is_some_and(|l| l.starts_with("# "));
    if !begins || lines.next().is_none_or(|l| l.starts_with('#')) {
        lacks("does not begin with a title and what the package is for".to_owned());
    }
    let headings: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("##")).map(|l| l.trim_matches(['#', ' '])).collect();
    for (wanted, question) in HEADINGS {
        if !headings.iter().any(|h| wanted.iter().any(|w| h.eq_ignore_ascii_case(w))) {
            lacks(format!("has no heading \"{}\": it does not say {question}", wanted[0]));
        }
    }
    for property in package.manifest.property.iter().filter(|p| !text.contains(&p.name)) {
        lacks(format!("does not mention the property {}", property.name));
    }
}
