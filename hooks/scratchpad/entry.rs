// SPDX-License-Identifier: Apache-2.0
//! The property: `SIZE,PATH[,ignored]`, separated by colons.

use crate::shared::messages::shown;
use virt_hooks_sdk::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) size: &'a str,
    pub(crate) path: &'a str,
}

/// All entries, each of them good.
pub(crate) fn strict(value: &str) -> Result<Vec<Entry<'_>>, Failure> {
    value.split(':').map(|text| entry(text).and_then(checked)).collect()
}

/// The entries, whatever their sizes; one that cannot be told apart is an error of its own.
pub(crate) fn lenient(value: &str) -> impl Iterator<Item = Result<Entry<'_>, Failure>> {
    value.split(':').map(|text| entry(text).and_then(absolute))
}

fn entry(text: &str) -> Result<Entry<'_>, Failure> {
    let mut fields = text.split(',');
    match (fields.next(), fields.next()) {
        (Some(size), Some(path)) => Ok(Entry { size, path }),
        _ => Err(wrong("expected SIZE,PATH, found", text)),
    }
}

fn checked(entry: Entry<'_>) -> Result<Entry<'_>, Failure> {
    let digits = entry.size.strip_suffix(['k', 'K', 'M', 'G', 'T', 'b']).unwrap_or(entry.size);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("expected a size such as 512M or 20G, found", entry.size));
    }
    absolute(entry)
}

fn absolute(entry: Entry<'_>) -> Result<Entry<'_>, Failure> {
    if !entry.path.starts_with('/') || entry.path.split('/').any(|part| part == "..") {
        return Err(wrong("expected an absolute path without \"..\", found", entry.path));
    }
    Ok(entry)
}

fn wrong(expected: &str, found: &str) -> Failure {
    Failure::stop(format!("scratchpad: {expected} {}", shown(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones() {
        let entries = strict("20G,/tmp/a:1,/tmp/b c,more,fields:5b,/-rf").unwrap();
        let parts: Vec<_> = entries.iter().map(|e| (e.size, e.path)).collect();
        assert_eq!(parts, [("20G", "/tmp/a"), ("1", "/tmp/b c"), ("5b", "/-rf")]);
    }

    #[test]
    fn bad_ones() {
        let long = "9".repeat(1 << 20);
        for bad in [
            "",
            ":",
            "1G",
            "1G,/a:",
            "/a,1G",
            "1G,a",
            "1G,",
            "1G,../a",
            "1G,/a/../b",
            "20GB,/a",
            "G,/a",
            ",/a",
            "-1,/a",
            "1 G,/a",
            "1g,/a",
            "٣,/a",
            "1G;rm,/a",
            &long,
        ] {
            let failure = strict(bad).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with("scratchpad: expected"), "{bad}");
            assert!(failure.message().len() < 500);
        }
    }

    #[test]
    fn at_the_end_sizes_do_not_matter() {
        let all: Vec<_> = lenient(",/a:junk:1X,/b").map(|e| e.map(|e| e.path).ok()).collect();
        assert_eq!(all, [Some("/a"), None, Some("/b")]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        /// Values of the grammar are taken apart as they were put together.
        #[test]
        fn entries_are_what_was_given(given in proptest::collection::vec(("[0-9]{1,12}[kKMGTb]?", "/[^,:\\p{C}./][^,:\\p{C}/]{0,20}", "(,[^,:]{0,4}){0,2}"), 1..6)) {
            let value: Vec<String> = given.iter().map(|(size, path, more)| format!("{size},{path}{more}")).collect();
            let value = value.join(":");
            let entries = strict(&value).unwrap();
            let found: Vec<_> = entries.iter().map(|e| (e.size, e.path)).collect();
            let wanted: Vec<_> = given.iter().map(|(size, path, _)| (size.as_str(), path.as_str())).collect();
            proptest::prop_assert_eq!(found, wanted);
        }
    }
}
