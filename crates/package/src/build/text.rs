// SPDX-License-Identifier: Apache-2.0
//! Words of packages: descriptions in lines, dates, maintainers.

use super::layout::RustHooks;

/// Who looks after what comes with virt-hooks.
pub const PROJECT: &str = "virt-hooks project <virt-hooks@users.noreply.github.com>";
/// Who looks after a package that does not say: both formats want a name and an address.
const NOBODY: &str = "Unknown maintainer <root@localhost>";
/// Wider lines of a description are cut by package managers.
const WIDTH: usize = 75;

/// Whom a package names as its maintainer.
pub(super) fn maintainer(named: Option<&str>, rust: RustHooks) -> String {
    let unnamed = if rust == RustHooks::Bundled { PROJECT } else { NOBODY };
    match named {
        None => unnamed.to_owned(),
        Some(named) if named.contains('<') => named.to_owned(),
        Some(named) => format!("{named} <root@localhost>"),
    }
}

/// Paragraphs in lines of at most 75 characters; lines that are indented stay as they are.
pub(super) fn wrap(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut begins = true;
    for line in text.trim().lines() {
        if line.starts_with(char::is_whitespace) || line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            begins = true;
            continue;
        }
        for word in line.split_whitespace() {
            match lines.last_mut() {
                Some(last) if !begins && last.chars().count() + 1 + word.chars().count() <= WIDTH => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
            begins = false;
        }
    }
    lines.join("\n")
}

/// Day of the year, from 0, and the year.
fn day_and_year(time: u32) -> (u32, u32) {
    let (mut day, mut year) = (time / 86_400, 1970);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            return (day, year);
        }
        day -= length;
        year += 1;
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

pub(super) fn year(time: u32) -> u32 {
    day_and_year(time).1
}

/// A date as mail has it, in UTC.
pub(super) fn date(time: u32) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (mut day, year) = day_and_year(time);
    let second = time % 86_400;
    let weekday = DAYS[(time / 86_400 % 7) as usize];
    let months = [
        ("Jan", 31),
        ("Feb", if is_leap(year) { 29 } else { 28 }),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
    ];
    let mut month = "Dec";
    for (name, length) in months {
        if day < length {
            month = name;
            break;
        }
        day -= length;
    }
    format!(
        "{weekday}, {:02} {month} {year} {:02}:{:02}:{:02} +0000",
        day + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(date(951_782_399), "Mon, 28 Feb 2000 23:59:59 +0000");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(date(1_793_621_096), "Mon, 02 Nov 2026 12:04:56 +0000");
        assert_eq!(date(u32::MAX), "Sun, 07 Feb 2106 06:28:15 +0000");
    }

    #[test]
    fn lines_are_filled_and_indented_ones_kept() {
        assert_eq!(wrap("\none\ntwo\n\nthree\n  <a/>\nfour"), "one two\n\nthree\n  <a/>\nfour");
        let long = wrap(&"word ".repeat(50));
        assert!(long.lines().all(|l| l.len() <= WIDTH && l.len() > 70 || l == long.lines().last().unwrap()));
        assert_eq!(wrap(&"x".repeat(200)).len(), 200);
    }

    #[test]
    fn a_maintainer_always_has_an_address() {
        assert_eq!(maintainer(Some("A <a@b.c>"), RustHooks::Refused), "A <a@b.c>");
        assert_eq!(maintainer(Some("A"), RustHooks::Refused), "A <root@localhost>");
        assert_eq!(maintainer(None, RustHooks::Bundled), PROJECT);
    }
}
