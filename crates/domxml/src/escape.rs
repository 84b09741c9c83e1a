// SPDX-License-Identifier: Apache-2.0
//! Between values and their spelling in XML 1.0.

use std::borrow::Cow;

/// The first character of `value` that XML 1.0 cannot hold even as a reference.
pub(crate) fn forbidden(value: &str) -> Option<char> {
    value.chars().find(|&c| !is_xml_char(c))
}

const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Appends `value` as it has to stand between two `quote` characters so that a parser reads
/// back exactly `value`: white space other than the blank would be normalised away.
pub(crate) fn attribute_into(out: &mut String, value: &str, quote: u8) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' if quote == b'"' => out.push_str("&quot;"),
            '\'' if quote == b'\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

/// Appends `value` as element content.
pub(crate) fn text_into(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

/// The value of an attribute spelled `raw`: references resolved, white space normalised.
pub(crate) fn attribute_value(raw: &str) -> Cow<'_, str> {
    if raw.bytes().any(|b| matches!(b, b'&' | b'\t' | b'\n' | b'\r')) {
        Cow::Owned(resolve(raw, true))
    } else {
        Cow::Borrowed(raw)
    }
}

/// The value of character data spelled `raw`: references resolved, line ends made `\n`.
pub(crate) fn text_value(raw: &str) -> Cow<'_, str> {
    if raw.bytes().any(|b| matches!(b, b'&' | b'\r')) {
        Cow::Owned(resolve(raw, false))
    } else {
        Cow::Borrowed(raw)
    }
}

/// CDATA: only line ends are touched.
pub(crate) fn cdata_value(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}

fn resolve(raw: &str, attribute: bool) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        match c {
            '&' => match reference(rest) {
                Some((value, length)) => {
                    out.push(value);
                    used = length;
                }
                None => out.push('&'),
            },
            '\r' => {
                if rest.as_bytes().get(1) == Some(&b'\n') {
                    used = 2;
                }
                out.push(if attribute { ' ' } else { '\n' });
            }
            '\t' | '\n' if attribute => out.push(' '),
            c => out.push(c),
        }
        rest = rest.get(used..).unwrap_or("");
    }
    out
}

/// The character that the reference at the start of `text` stands for, and its length.
fn reference(text: &str) -> Option<(char, usize)> {
    // The longest reference worth resolving is far shorter; the bound keeps stray `&` cheap.
    let end = text.bytes().take(64).position(|b| b == b';')?;
    let name = text.get(1..end)?;
    let value = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((value, end + 1))
}

/// Whether `name` is a name with at most one prefix, as namespaces want it.
pub(crate) fn is_qualified_name(name: &str) -> bool {
    match name.split_once(':') {
        Some((prefix, local)) => is_plain_name(prefix) && is_plain_name(local),
        None => is_plain_name(name),
    }
}

/// Whether `name` is a name without a colon.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_part)
}

const fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

const fn is_name_part(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_white_space() {
        assert_eq!(attribute_value("a&#10;b\tc\r\nd&amp;lt;&lt;"), "a\nb c d&lt;<");
        assert_eq!(text_value("a\r\nb\rc&#13;&#x41;&quot;"), "a\nb\nc\rA\"");
        assert_eq!(cdata_value("&amp;\r\n"), "&amp;\n");
        assert_eq!(text_value("& &nope; &#xD800; &"), "& &nope; &#xD800; &");
    }

    #[test]
    fn names() {
        for good in ["a", "qemu:arg", "_x-1.é", "ovirt-vm:vm"] {
            assert!(is_qualified_name(good), "{good}");
        }
        for bad in ["", ":a", "a:", "a:b:c", "1a", "a b", "a=", "-a", "a>", "a/"] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
    }

    #[test]
    fn characters() {
        assert_eq!(forbidden("ok \t\n\r é 🦀"), None);
        assert_eq!(forbidden("a\0"), Some('\0'));
        assert_eq!(forbidden("\u{FFFF}"), Some('\u{FFFF}'));
    }
}
