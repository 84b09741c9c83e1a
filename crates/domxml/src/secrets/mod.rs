// SPDX-License-Identifier: Apache-2.0
//! Passwords out of texts that people will read: payloads, differences, what a hook wrote to
//! standard error.
//!
//! This is a scanner, not a parser: it takes any bytes, also pieces of XML or JSON that were cut
//! anywhere, and reads them once. What it looks for:
//! - the values of `passwd=` and `password=`, in quotes of either kind;
//! - the text, CDATA included, of the elements `secret`, `password`, `passwd` and `ticket`, with
//!   or without prefix; an empty `<secret uuid='…'/>` is a reference and no secret;
//! - string values of the JSON keys `passwd`, `password`, `ticket`, `secret` and `token`, also
//!   where the JSON (or the attribute) is itself inside a JSON string.
//!
//! Letter case does not matter. A value whose end is missing is taken to reach to the end of its
//! line.

mod scan;

use crate::escape;
use scan::{Spelling, find};
use std::borrow::Cow;

/// What stands in the place of a secret.
pub const MASK: &[u8] = b"***";

/// Shorter values are not worth looking for elsewhere: they would blank half a text.
const SHORTEST_VALUE: usize = 4;

/// `text` with `***` for each secret; borrowed if there is none.
///
/// # Examples
/// ```
/// use virt_hooks_domxml::secrets::mask;
/// let line = mask(b"refused: <graphics type='spice' passwd='hunter2'/>");
/// assert_eq!(&line[..], b"refused: <graphics type='spice' passwd='***'/>");
/// ```
pub fn mask(text: &[u8]) -> Cow<'_, [u8]> {
    let found = find(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for secret in found {
        out.extend_from_slice(text.get(at..secret.range.start).unwrap_or_default());
        out.extend_from_slice(MASK);
        at = secret.range.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// The values that [`mask`] would blank, as written and with escapes resolved, each once, longest
/// first; values below four bytes are left out. For [`mask_values`].
pub fn secret_values(text: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for secret in find(text) {
        let raw = text.get(secret.range).unwrap_or_default();
        values.push(raw.to_vec());
        let Ok(raw) = std::str::from_utf8(raw) else { continue };
        let plain = match secret.spelling {
            Spelling::Cdata => continue,
            Spelling::Xml => escape::text_value(raw).into_owned(),
            Spelling::Json => json_value(raw),
            // XML in a JSON string.
            Spelling::Both => escape::text_value(&json_value(raw)).into_owned(),
        };
        values.push(plain.into_bytes());
    }
    values.retain(|value| value.len() >= SHORTEST_VALUE);
    values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    values.dedup();
    values
}

/// `text` with `***` wherever one of `values` stands; borrowed if none does. Where several
/// would match, the longest counts.
///
/// # Examples
/// ```
/// use virt_hooks_domxml::secrets::{mask_values, secret_values};
/// let values = secret_values(b"<password>p&amp;ss</password>");
/// assert_eq!(&mask_values(b"cannot log in with p&ss", &values)[..], b"cannot log in with ***");
/// ```
pub fn mask_values<'t>(text: &'t [u8], values: &[Vec<u8>]) -> Cow<'t, [u8]> {
    let mut starts = [false; 256];
    for first in values.iter().filter_map(|value| value.first()) {
        if let Some(start) = starts.get_mut(usize::from(*first)) {
            *start = true;
        }
    }
    let mut out: Option<Vec<u8>> = None;
    let (mut at, mut kept) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let may = rest.first().is_some_and(|b| starts.get(usize::from(*b)).copied().unwrap_or(false));
        let hits = values.iter().filter(|value| may && !value.is_empty() && rest.starts_with(value));
        match hits.map(Vec::len).max() {
            Some(length) => {
                let out = out.get_or_insert_with(|| Vec::with_capacity(text.len()));
                out.extend_from_slice(text.get(kept..at).unwrap_or_default());
                out.extend_from_slice(MASK);
                at += length;
                kept = at;
            }
            None => at += 1,
        }
    }
    match out {
        Some(mut out) => {
            out.extend_from_slice(text.get(kept..).unwrap_or_default());
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// The value of a JSON string spelled `raw`; what is no valid escape is left as it is.
fn json_value(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = raw;
    loop {
        if let Some(unit) =
            rest.strip_prefix("\\u").and_then(|hex| u16::from_str_radix(hex.get(..4)?, 16).ok())
        {
            // Kept until the run of them ends: two may make one character.
            units.push(unit);
            rest = rest.get(6..).unwrap_or("");
            continue;
        }
        out.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        let mut chars = rest.chars();
        let Some(first) = chars.next() else { return out };
        rest = chars.as_str();
        let escaped = match (first, chars.next()) {
            ('\\', Some(c @ ('"' | '\\' | '/' | '\''))) => c,
            ('\\', Some('n')) => '\n',
            ('\\', Some('r')) => '\r',
            ('\\', Some('t')) => '\t',
            ('\\', Some('b')) => '\u{8}',
            ('\\', Some('f')) => '\u{C}',
            _ => {
                out.push(first);
                continue;
            }
        };
        out.push(escaped);
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn masks(text: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&mask(text.as_bytes())), expected);
    }

    #[test]
    fn attributes() {
        masks(
            "<graphics passwd='a>b' x='1' password = \"c'd\"/>",
            "<graphics passwd='***' x='1' password = \"***\"/>",
        );
        masks(
            "<g passwdValidTo='2020' passwd='' mypasswd='x' passwd=open/>",
            "<g passwdValidTo='2020' passwd='' mypasswd='x' passwd=open/>",
        );
        masks("cut off passwd='abc def\nnext", "cut off passwd='***\nnext");
        masks(r#"{"xml": "<g passwd=\"a\\\"b\" n=\"1\"/>"}"#, r#"{"xml": "<g passwd=\"***\" n=\"1\"/>"}"#);
        masks("PASSWD=\"back\\\" x", "PASSWD=\"***\" x");
    }

    #[test]
    fn elements() {
        masks("<password>a</password><p>b</p>", "<password>***</password><p>b</p>");
        masks("<x:secret a='>'>\n a b \n</x:secret>", "<x:secret a='>'>\n *** \n</x:secret>");
        masks("<secret type='ceph' uuid='u'/>text<secret/>", "<secret type='ceph' uuid='u'/>text<secret/>");
        masks("<secret a='/'>x</secret>", "<secret a='/'>***</secret>");
        masks(
            "<ticket><![CDATA[a<b]]>c<!-- d -->e</ticket>f",
            "<ticket><![CDATA[***]]>***<!-- d -->***</ticket>f",
        );
        masks(
            "<passwd>a<b password='c'>d</b>e</passwd>f",
            "<passwd>***<b password='***'>***</b>***</passwd>f",
        );
        masks("no <password> in line 1\nline 2", "no <password> ***\nline 2");
        masks("<secrets>a</secrets>", "<secrets>a</secrets>");
        masks("</password>a<password", "</password>a<password");
    }

    #[test]
    fn json() {
        masks(
            r#"{"Password": "a\"b\\", "token" : "t", "tokens": "x"}"#,
            r#"{"Password": "***", "token" : "***", "tokens": "x"}"#,
        );
        masks(
            r#"{"secret": 12, "ticket": null, "password":"open"#,
            r#"{"secret": 12, "ticket": null, "password":"***"#,
        );
        masks("{'ticket': 'abc'}", "{'ticket': '***'}");
        masks(r#""{\"password\": \"a\\\"b\\\\\", \"x\": 1}""#, r#""{\"password\": \"***\", \"x\": 1}""#);
    }

    #[test]
    fn masked_is_left_alone() {
        let once = mask(b"<password>abc</password> passwd='x' {\"token\": \"t\"}").into_owned();
        assert!(matches!(mask(&once), Cow::Borrowed(_)));
    }

    #[test]
    fn values() {
        let values =
            secret_values(br#"<g passwd='a&lt;bcd'/>{"token": "\u00e9\ud83e\udd80xy"}<secret>abc</secret>"#);
        let expected: [&[u8]; 4] = [br"\u00e9\ud83e\udd80xy", b"a&lt;bcd", "é🦀xy".as_bytes(), b"a<bcd"];
        assert_eq!(values, expected);
        let both = secret_values(br#""<g passwd=\"a&amp;b\\\\c\"/>""#);
        assert!(both.contains(&br"a&b\\c".to_vec()), "{both:?}");
        assert_eq!(&mask_values(b"xx a<bcd a&lt;bcd a<bc", &values)[..], b"xx *** *** a<bc");
        assert!(matches!(mask_values(b"nothing", &values), Cow::Borrowed(_)));
    }

    #[test]
    fn worst_cases_are_linear() {
        for piece in [
            "<password>",
            "passwd='",
            "\"token\":\"",
            "<password ",
            "<secret><![CDATA[",
            "<ticket><!--",
            "passwd=\\\"",
            "password",
            "</",
            "</secret",
            "\\",
            "<secret>x</secret>",
        ] {
            let text = piece.repeat(1_000_000 / piece.len());
            let start = std::time::Instant::now();
            let _ = mask(text.as_bytes());
            assert!(start.elapsed().as_secs() < 10, "{piece}: {:?}", start.elapsed());
        }
    }
}
