// SPDX-License-Identifier: Apache-2.0
//! Text for man pages.

/// Text as roff shows it literally: back quotes make bold, hyphens stay hyphens, and no line is a request.
pub(crate) fn text(text: &str) -> String {
    let mut roff = String::with_capacity(text.len() + 16);
    let mut bold = false;
    for c in text.chars() {
        match c {
            '`' => {
                bold = !bold;
                roff.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            '\\' => roff.push_str("\\e"),
            '-' => roff.push_str("\\-"),
            '\n' => roff.push(' '),
            // At the start of a line these would begin a request.
            '.' | '\'' if roff.is_empty() => {
                roff.push_str("\\&");
                roff.push(c);
            }
            '"' => roff.push_str("\\(dq"),
            _ => roff.push(c),
        }
    }
    if bold {
        roff.push_str("\\fR");
    }
    roff
}

/// A line of an example: as [`text`], but back quotes are back quotes.
pub(crate) fn literal(line: &str) -> String {
    line.split('`').map(text).collect::<Vec<_>>().join("\\(ga")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_request() {
        assert_eq!(text(".TH `a-b` \\n"), "\\&.TH \\fBa\\-b\\fR \\en");
        assert_eq!(text("'x"), "\\&'x");
        assert_eq!(literal("a `b`"), "a \\(gab\\(ga");
    }
}
