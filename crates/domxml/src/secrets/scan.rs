// SPDX-License-Identifier: Apache-2.0
//! Where secrets stand in a text.

use super::MASK;
use std::ops::Range;

/// How a secret is escaped where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Xml,
    Cdata,
    Json,
    Both,
}

#[derive(Debug)]
pub(super) struct Secret {
    pub(super) range: Range<usize>,
    pub(super) spelling: Spelling,
}

pub(super) fn find(text: &[u8]) -> Vec<Secret> {
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
    memchr::memmem::find(text, wanted)
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
