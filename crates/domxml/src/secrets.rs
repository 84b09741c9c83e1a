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

use crate::escape;
use std::borrow::Cow;
use std::ops::Range;

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

/// How a secret is escaped where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Xml,
    Cdata,
    Json,
    Both,
}

#[derive(Debug)]
struct Secret {
    range: Range<usize>,
    spelling: Spelling,
}

fn find(text: &[u8]) -> Vec<Secret> {
    let mut scanner = Scanner { text, at: 0, found: Vec::new(), endless: Vec::new() };
    scanner.run();
    scanner.found
}

/// A quote as it stands in the text: inside a JSON string it has a backslash in front, inside a
/// string inside a string three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quote {
    byte: u8,
    backslashes: usize,
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    found: Vec<Secret>,
    /// Terminators that are known not to come any more; looking for each only once is what keeps
    /// the scan linear.
    endless: Vec<Terminator>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terminator {
    Quote(Quote),
    PlainQuote(u8),
    Cdata,
    Comment,
    Element(&'static [u8]),
}

/// An element whose text is secret, while the scan is inside it.
#[derive(Debug, Clone, Copy)]
struct Inside {
    name: &'static [u8],
    /// Where content begins, or goes on after a tag.
    content: usize,
    /// Whether an end tag comes.
    closed: bool,
}

const ELEMENTS: [&[u8]; 4] = [b"secret", b"password", b"passwd", b"ticket"];
const ATTRIBUTES: [&[u8]; 2] = [b"password", b"passwd"];
const KEYS: [&[u8]; 5] = [b"password", b"passwd", b"ticket", b"secret", b"token"];

impl Scanner<'_> {
    fn run(&mut self) {
        let mut inside: Option<Inside> = None;
        while let Some(&byte) = self.text.get(self.at) {
            if let Some(element) = inside.take_if(|element| self.at >= element.content) {
                inside = self.content(element);
                continue;
            }
            match byte {
                b'<' if inside.is_none() => {
                    inside = self.secret_element();
                    self.at += 1;
                }
                b'p' | b'P' | b't' | b'T' | b's' | b'S' => self.word(),
                _ => self.at += 1,
            }
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn rest(&self, at: usize) -> &[u8] {
        self.text.get(at..).unwrap_or_default()
    }

    fn hide(&mut self, range: Range<usize>, spelling: Spelling) {
        if !range.is_empty() && self.text.get(range.clone()).is_some_and(|value| value != MASK) {
            self.found.push(Secret { range, spelling });
        }
    }

    /// At a letter: takes the word, and the value after it if the word announces a secret.
    fn word(&mut self) {
        let start = self.at;
        let length = self.rest(start).iter().position(|&b| !is_word(b)).unwrap_or(self.rest(start).len());
        let end = start + length;
        self.at = end;
        let before = start.checked_sub(1).and_then(|at| self.byte(at));
        if before.is_some_and(is_word) {
            return;
        }
        let word = self.text.get(start..end).unwrap_or_default();
        let is_one_of = |names: &[&[u8]]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        let is_key = is_one_of(&KEYS);
        let is_attribute = is_one_of(&ATTRIBUTES);
        if let (true, Some(quote)) = (is_key, before.filter(|b| matches!(b, b'"' | b'\''))) {
            if let Some((_, after)) = self.quote_at(end).filter(|(found, _)| found.byte == quote) {
                self.json_value_after(after);
            }
        } else if is_attribute {
            self.attribute_value_after(end);
        }
    }

    /// A quote at `at`, and where it ends.
    fn quote_at(&self, at: usize) -> Option<(Quote, usize)> {
        let backslashes = self.rest(at).iter().take_while(|&&b| b == b'\\').take(16).count();
        let byte = self.byte(at + backslashes).filter(|b| matches!(b, b'"' | b'\''))?;
        Some((Quote { byte, backslashes }, at + backslashes + 1))
    }

    fn after_space(&self, at: usize) -> usize {
        at + self.rest(at).iter().take_while(|b| b.is_ascii_whitespace()).count()
    }

    fn json_value_after(&mut self, at: usize) {
        let colon = self.after_space(at);
        if self.byte(colon) != Some(b':') {
            return;
        }
        if let Some((quote, start)) = self.quote_at(self.after_space(colon + 1)) {
            self.quoted(start, Terminator::Quote(quote), Spelling::Json);
        }
    }

    fn attribute_value_after(&mut self, at: usize) {
        let equals = self.after_space(at);
        if self.byte(equals) != Some(b'=') {
            return;
        }
        match self.quote_at(self.after_space(equals + 1)) {
            // In XML a backslash is a character like any other.
            Some((quote, start)) if quote.backslashes == 0 => {
                self.quoted(start, Terminator::PlainQuote(quote.byte), Spelling::Xml);
            }
            Some((quote, start)) => self.quoted(start, Terminator::Quote(quote), Spelling::Both),
            None => {}
        }
    }

    fn quoted(&mut self, start: usize, terminator: Terminator, spelling: Spelling) {
        let (end, next) = self.until(start, terminator).unwrap_or_else(|| {
            let end = self.line_end(start);
            (end, end)
        });
        self.hide(start..end, spelling);
        self.at = next;
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.rest(from);
        from + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
    }

    /// Where the value that starts at `from` ends, and where its terminator does.
    fn until(&mut self, from: usize, terminator: Terminator) -> Option<(usize, usize)> {
        if self.endless.contains(&terminator) {
            return None;
        }
        let rest = self.rest(from);
        let found = match terminator {
            Terminator::PlainQuote(byte) => rest.iter().position(|&b| b == byte).map(|i| (i, i + 1)),
            Terminator::Quote(quote) => closing_quote(rest, quote),
            Terminator::Cdata => position(rest, b"]]>").map(|i| (i, i + 3)),
            Terminator::Comment => position(rest, b"-->").map(|i| (i, i + 3)),
            Terminator::Element(name) => end_tag(rest, name).map(|i| (i, i)),
        };
        if found.is_none() {
            self.endless.push(terminator);
        }
        found.map(|(end, next)| (from + end, from + next))
    }

    /// At `<`: whether this is the start tag, whole and not self-closed, of a secret element.
    fn secret_element(&mut self) -> Option<Inside> {
        let name = tag_name(self.rest(self.at + 1));
        let local = name.rsplit(|&b| b == b':').next().unwrap_or_default();
        let name = *ELEMENTS.iter().find(|known| local.eq_ignore_ascii_case(known))?;
        let content = self.tag_end(self.at + 1)?;
        if self.byte(content - 2) == Some(b'/') {
            return None;
        }
        let closed = self.until(content, Terminator::Element(name)).is_some();
        Some(Inside { name, content, closed })
    }

    /// Offset after the `>` of the tag around `from`; none if the tag is cut off.
    fn tag_end(&self, from: usize) -> Option<usize> {
        let mut quote = None;
        for (i, &b) in self.rest(from).iter().enumerate() {
            match (quote, b) {
                // Not allowed in a tag, quoted or not; stopping here keeps the scan linear.
                (_, b'<') => return None,
                (Some(q), b) if b == q => quote = None,
                (None, b'"' | b'\'') => quote = Some(b),
                (None, b'>') => return Some(from + i + 1),
                _ => {}
            }
        }
        None
    }

    /// Inside a secret element, not inside a tag: takes one piece of content.
    fn content(&mut self, element: Inside) -> Option<Inside> {
        let start = self.at;
        let rest = self.rest(start);
        if !rest.starts_with(b"<") {
            let end = rest.iter().position(|&b| b == b'<').map_or(self.text.len(), |i| start + i);
            let end = if element.closed { end } else { end.min(self.line_end(start)) };
            let run = self.text.get(start..end).unwrap_or_default();
            let blank = run.len() - run.trim_ascii_start().len();
            self.hide(start + blank..start + blank + run.trim_ascii().len(), Spelling::Xml);
            self.at = end;
            // What follows an end tag that never comes is not content for sure.
            let goes_on = element.closed || self.byte(end) == Some(b'<');
            return goes_on.then_some(Inside { content: end, ..element });
        }
        if rest.starts_with(b"<![CDATA[") {
            let from = start + b"<![CDATA[".len();
            self.quoted(from, Terminator::Cdata, Spelling::Cdata);
            return Some(Inside { content: self.at, ..element });
        }
        if rest.starts_with(b"<!--") {
            self.at = self.until(start + 4, Terminator::Comment).map_or(start + 4, |(_, next)| next);
            return Some(Inside { content: self.at, ..element });
        }
        let ends = !element.closed || is_end_tag(rest, element.name);
        self.at = start + 1;
        if ends {
            return None;
        }
        // The tag of a child: its attributes are scanned as any others.
        let content = self.tag_end(start + 1).unwrap_or(start + 1);
        Some(Inside { content, ..element })
    }
}

const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.') || b >= 0x80
}

/// Name of a tag, prefix included, from the text after its `<`.
fn tag_name(text: &[u8]) -> &[u8] {
    let length = text.iter().position(|&b| !is_word(b) && b != b':').unwrap_or(text.len());
    let ends = text.get(length).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
    text.get(..length).filter(|_| ends).unwrap_or_default()
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn is_end_tag(text: &[u8], name: &[u8]) -> bool {
    text.strip_prefix(b"</").is_some_and(|rest| {
        tag_name(rest).rsplit(|&b| b == b':').next().is_some_and(|local| local.eq_ignore_ascii_case(name))
    })
}

/// Offset of the next end tag named `name`, with or without prefix.
fn end_tag(text: &[u8], name: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = position(text.get(at..)?, b"</") {
        let start = at + found;
        if is_end_tag(text.get(start..)?, name) {
            return Some(start);
        }
        at = start + 2;
    }
    None
}

/// The quote that ends a string opened by `quote`: one with as many backslashes, where each pair
/// of them beyond that spells a backslash of the value.
fn closing_quote(text: &[u8], quote: Quote) -> Option<(usize, usize)> {
    let period = 2 * (quote.backslashes + 1);
    let mut run = 0;
    for (i, &b) in text.iter().enumerate() {
        if b == b'\\' {
            run += 1;
        } else {
            if b == quote.byte && run % period == quote.backslashes {
                return Some((i - quote.backslashes, i + 1));
            }
            run = 0;
        }
    }
    None
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
