// SPDX-License-Identifier: Apache-2.0
//! Results for programs that collect the results of tests.

use super::run::{CaseResult, Status};
use std::fmt::Write;

/// The results as a JUnit document.
pub fn junit(results: &[CaseResult]) -> String {
    let mut packages: Vec<&str> = results.iter().map(|r| r.package.as_str()).collect();
    packages.dedup();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = |of: &[&CaseResult]| {
        let failed = of.iter().filter(|r| matches!(r.status, Status::Failed(_))).count();
        let skipped = of.iter().filter(|r| matches!(r.status, Status::Skipped(_))).count();
        let time: f64 = of.iter().map(|r| r.duration.as_secs_f64()).sum();
        format!("tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{time:.3}\"", of.len())
    };
    let all: Vec<&CaseResult> = results.iter().collect();
    let _ = writeln!(out, "<testsuites name=\"virt-hooks\" {}>", counts(&all));
    for package in packages {
        let of: Vec<&CaseResult> = results.iter().filter(|r| r.package == package).collect();
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", escaped(package), counts(&of));
        for result in of {
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escaped(package),
                escaped(&result.name),
                result.duration.as_secs_f64()
            );
            match &result.status {
                Status::Passed | Status::Blessed => out.push_str("/>\n"),
                Status::Skipped(reason) => {
                    let _ = writeln!(out, "><skipped message=\"{}\"/></testcase>", escaped(reason));
                }
                Status::Failed(wrong) => {
                    let first = wrong.first().and_then(|w| w.lines().next()).unwrap_or_default();
                    let _ = writeln!(
                        out,
                        "><failure message=\"{}\">{}</failure></testcase>",
                        escaped(first),
                        escaped(&wrong.join("\n"))
                    );
                }
            }
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Text for XML; what XML cannot hold at all is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_well_formed_whatever_hooks_say() {
        let result = |name: &str, status| CaseResult {
            package: "a".to_owned(),
            name: name.to_owned(),
            status,
            duration: Duration::from_millis(1500),
        };
        let text = junit(&[
            result("one", Status::Passed),
            result("two", Status::Failed(vec!["<bad> & \"x\"\x1b[m\nmore ]]>".to_owned()])),
            result("three", Status::Skipped("because".to_owned())),
        ]);
        let doc = roxmltree::Document::parse(&text).unwrap();
        let suite = doc.descendants().find(|n| n.has_tag_name("testsuite")).unwrap();
        assert_eq!(
            ["tests", "failures", "skipped", "time"].map(|a| suite.attribute(a).unwrap()),
            ["3", "1", "1", "4.500"]
        );
        let failure = doc.descendants().find(|n| n.has_tag_name("failure")).unwrap();
        assert_eq!(failure.attribute("message"), Some("<bad> & \"x\"\u{fffd}[m"));
        assert_eq!(failure.text(), Some("<bad> & \"x\"\u{fffd}[m\nmore ]]>"));
    }
}
