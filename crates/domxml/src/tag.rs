// SPDX-License-Identifier: Apache-2.0
//! Where the parts of a start tag stand. Works on text that a parser has accepted, and gives
//! up quietly (no attribute, offset of the end) on anything else.

use std::ops::Range;

/// One attribute or namespace declaration of a start tag, as offsets into the document.
#[derive(Debug, Clone)]
pub(crate) struct RawAttribute {
    /// From the white space before the name to the closing quote.
    pub(crate) whole: Range<usize>,
    /// The name as written.
    pub(crate) name: Range<usize>,
    /// The value without its quotes.
    pub(crate) value: Range<usize>,
    /// `"` or `'`.
    pub(crate) quote: u8,
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

const fn ends_name(b: u8) -> bool {
    is_space(b) || matches!(b, b'>' | b'/' | b'=')
}

/// The name of the tag that starts (with `<`) at `start`.
pub(crate) fn name_range(text: &str, start: usize) -> Range<usize> {
    let from = start + 1;
    let bytes = text.as_bytes().get(from..).unwrap_or_default();
    from..from + bytes.iter().position(|&b| ends_name(b)).unwrap_or(bytes.len())
}

/// Whether the tag at `start` is named `name`, prefix included.
pub(crate) fn is_named(text: &str, start: usize, name: &str) -> bool {
    let rest = text.as_bytes().get(start + 1..).unwrap_or_default();
    rest.starts_with(name.as_bytes()) && rest.get(name.len()).is_some_and(|&b| ends_name(b))
}

/// The attributes of the tag that starts at `start`, in order.
pub(crate) fn attributes(text: &str, start: usize) -> Attributes<'_> {
    Attributes { bytes: text.as_bytes(), at: name_range(text, start).end }
}

pub(crate) struct Attributes<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Attributes<'_> {
    fn after_space(&self, mut at: usize) -> usize {
        while self.bytes.get(at).is_some_and(|&b| is_space(b)) {
            at += 1;
        }
        at
    }
}

impl Iterator for Attributes<'_> {
    type Item = RawAttribute;

    fn next(&mut self) -> Option<RawAttribute> {
        let name_start = self.after_space(self.at);
        let mut name_end = name_start;
        while !ends_name(*self.bytes.get(name_end)?) {
            name_end += 1;
        }
        if name_end == name_start {
            return None;
        }
        let equals = self.after_space(name_end);
        if *self.bytes.get(equals)? != b'=' {
            return None;
        }
        let open = self.after_space(equals + 1);
        let quote = *self.bytes.get(open)?;
        if !matches!(quote, b'"' | b'\'') {
            return None;
        }
        let value_start = open + 1;
        let length = self.bytes.get(value_start..)?.iter().position(|&b| b == quote)?;
        let value_end = value_start + length;
        let whole = self.at..value_end + 1;
        self.at = whole.end;
        Some(RawAttribute { whole, name: name_start..name_end, value: value_start..value_end, quote })
    }
}

/// Offset after the `>` of a start tag, given an offset in it that is not inside a value.
pub(crate) fn end(text: &str, from: usize) -> usize {
    let mut quote = None;
    for (i, &b) in text.as_bytes().iter().enumerate().skip(from) {
        match quote {
            Some(q) if b == q => quote = None,
            Some(_) => {}
            None => match b {
                b'>' => return i + 1,
                b'"' | b'\'' => quote = Some(b),
                _ => {}
            },
        }
    }
    text.len()
}

/// A piece of element content between child elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Character data, references unresolved.
    Text(&'t str),
    /// The inside of a CDATA section.
    Cdata(&'t str),
    /// A comment or processing instruction.
    Aside,
}

/// Splits text that holds no elements into its pieces.
pub(crate) fn pieces(mut gap: &str) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        if gap.is_empty() {
            return None;
        }
        let (piece, rest) = if let Some(body) = gap.strip_prefix("<![CDATA[") {
            let (inner, rest) = body.split_once("]]>").unwrap_or((body, ""));
            (Piece::Cdata(inner), rest)
        } else if let Some(body) = gap.strip_prefix("<!--") {
            (Piece::Aside, body.split_once("-->").map_or("", |(_, rest)| rest))
        } else if let Some(body) = gap.strip_prefix("<?") {
            (Piece::Aside, body.split_once("?>").map_or("", |(_, rest)| rest))
        } else {
            // A `<` that starts none of these cannot stand in a gap; taking it as text keeps
            // the walk moving forward.
            let end = gap.bytes().skip(1).position(|b| b == b'<').map_or(gap.len(), |i| i + 1);
            (Piece::Text(gap.get(..end).unwrap_or(gap)), gap.get(end..).unwrap_or(""))
        };
        gap = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_tag_parts() {
        let text = "<a:b  x = '1>2'\n\ty=\"/\" xmlns:q='u' />";
        let all: Vec<_> = attributes(text, 0)
            .map(|a| (&text[a.whole.clone()], &text[a.name.clone()], &text[a.value.clone()], a.quote))
            .collect();
        assert_eq!(
            all,
            [
                ("  x = '1>2'", "x", "1>2", b'\''),
                ("\n\ty=\"/\"", "y", "/", b'"'),
                (" xmlns:q='u'", "xmlns:q", "u", b'\'')
            ]
        );
        assert_eq!(end(text, 4), text.len());
        assert!(is_named(text, 0, "a:b") && !is_named(text, 0, "a") && !is_named(text, 0, "a:bc"));
    }

    #[test]
    fn broken_tags_end_quietly() {
        for text in ["<", "<a", "<a x", "<a x=", "<a x=1>", "<a x='", ""] {
            assert_eq!(attributes(text, 0).count(), 0, "{text}");
        }
    }

    #[test]
    fn gap_pieces() {
        let all: Vec<_> = pieces("a<!--<b>--><?p <?>c<![CDATA[<d>]]>").collect();
        assert_eq!(
            all,
            [Piece::Text("a"), Piece::Aside, Piece::Aside, Piece::Text("c"), Piece::Cdata("<d>")]
        );
    }
}
