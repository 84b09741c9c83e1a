// SPDX-License-Identifier: Apache-2.0
//! Custom properties that hold a mapping, written as Python or JSON: `{'serial': '42'}`.
//!
//! VDSM's hooks evaluate such a property as a Python literal. What is accepted here is the part
//! of that which hooks use: a mapping in braces from strings to strings or to further mappings,
//! strings in single or double quotes with Python's escapes, a comma after the last pair allowed.
//! A JSON object of strings is within it. Of a repeated key the last value counts.

use std::fmt;

/// Deepest nesting accepted; one level more than any hook needs.
const DEEPEST: usize = 3;

/// Why a property is not a mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: expected {expected}")]
pub struct LiteralError {
    /// Where, in characters from 1.
    pub at: usize,
    /// What should stand there.
    pub expected: &'static str,
}

/// A value of a [`Mapping`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A string.
    Text(String),
    /// A mapping.
    Mapping(Mapping),
}

impl Literal {
    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Mapping(_) => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match self {
            Self::Text(_) => None,
            Self::Mapping(mapping) => Some(mapping),
        }
    }
}

/// Pairs in the order in which their keys first stood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping(Vec<(String, Literal)>);

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// [`LiteralError`] for anything else than one mapping with white space around it.
    ///
    /// # Examples
    /// ```
    /// use virt_hooks_sdk::Mapping;
    /// let options = Mapping::parse(r#"{'image': {"compression": 'auto\x5fglz'},}"#)?;
    /// let image = options.get("image").and_then(|v| v.as_mapping()).unwrap();
    /// assert_eq!(image.text("compression"), Some("auto_glz"));
    /// # Ok::<(), virt_hooks_sdk::LiteralError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, LiteralError> {
        let mut reader = Reader { text, at: 0 };
        reader.space();
        let mapping = reader.mapping(1)?;
        reader.space();
        if reader.peek().is_some() { Err(reader.expected("the end")) } else { Ok(mapping) }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Literal> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The value of a key, if it is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Literal::as_text)
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Literal)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, key: String, value: Literal) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }
}

impl std::str::FromStr for Mapping {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        Self::parse(text)
    }
}

/// As a Python literal, for messages.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (key, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match value {
                Literal::Text(text) => write!(f, "{comma}{key:?}: {text:?}")?,
                Literal::Mapping(mapping) => write!(f, "{comma}{key:?}: {mapping}")?,
            }
        }
        f.write_str("}")
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{C}']).len();
    }

    fn expected(&self, expected: &'static str) -> LiteralError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        LiteralError { at: before.chars().count() + 1, expected }
    }

    fn mapping(&mut self, depth: usize) -> Result<Mapping, LiteralError> {
        if !self.take('{') {
            return Err(self.expected("{"));
        }
        let mut mapping = Mapping::default();
        loop {
            self.space();
            if self.take('}') {
                return Ok(mapping);
            }
            let key = self.string()?;
            self.space();
            if !self.take(':') {
                return Err(self.expected(":"));
            }
            self.space();
            let value = match self.peek() {
                Some('{') if depth < DEEPEST => Literal::Mapping(self.mapping(depth + 1)?),
                Some('{') => return Err(self.expected("a string, as mappings nest no deeper")),
                _ => Literal::Text(self.string()?),
            };
            mapping.insert(key, value);
            self.space();
            if !self.take(',') && self.peek() != Some('}') {
                return Err(self.expected(", or }"));
            }
        }
    }

    fn string(&mut self) -> Result<String, LiteralError> {
        let Some(quote @ ('\'' | '"')) = self.peek() else {
            return Err(self.expected("a string in quotes"));
        };
        self.take(quote);
        let mut out = String::new();
        loop {
            let start = self.at;
            match self.next() {
                Some(c) if c == quote => return Ok(out),
                Some('\\') => self.escape(&mut out)?,
                None | Some('\n' | '\r') => {
                    self.at = start;
                    return Err(self.expected("the closing quote"));
                }
                Some(c) => out.push(c),
            }
        }
    }

    /// After a backslash.
    fn escape(&mut self, out: &mut String) -> Result<(), LiteralError> {
        let start = self.at;
        let c = match self.next() {
            Some(c @ ('\\' | '\'' | '"')) => c,
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{C}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{B}',
            Some('\n') => return Ok(()),
            Some('0'..='7') => {
                self.at = start;
                let length = self.rest().bytes().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
                self.number(length, 8)?
            }
            Some('x') => self.number(2, 16)?,
            Some('u') => self.utf16()?,
            Some('U') => self.number(8, 16)?,
            Some('N') => return Err(self.expected("an escape other than \\N")),
            // Python leaves what it does not know as it is.
            Some(c) => {
                out.push('\\');
                c
            }
            None => return Err(self.expected("the closing quote")),
        };
        out.push(c);
        Ok(())
    }

    fn digits(&mut self, length: usize, radix: u32) -> Result<u32, LiteralError> {
        let digits = self.rest().get(..length).filter(|d| d.bytes().all(|b| char::from(b).is_digit(radix)));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok());
        let value = value.ok_or_else(|| self.expected("the digits of an escape"))?;
        self.at += length;
        Ok(value)
    }

    fn number(&mut self, length: usize, radix: u32) -> Result<char, LiteralError> {
        let code = self.digits(length, radix)?;
        char::from_u32(code).ok_or_else(|| self.expected("an escape of a character that exists"))
    }

    /// After `\u`. JSON writes one character as two of these where needed.
    fn utf16(&mut self) -> Result<char, LiteralError> {
        let code = self.digits(4, 16)?;
        if !(0xD800..0xDC00).contains(&code) || !self.rest().starts_with("\\u") {
            return char::from_u32(code).ok_or_else(|| self.expected("an escape of a character that exists"));
        }
        self.at += 2;
        let low = self.digits(4, 16)?;
        let pair = [code, low].map(|unit| u16::try_from(unit).unwrap_or(0));
        let c = char::decode_utf16(pair).next().and_then(Result::ok);
        c.ok_or_else(|| self.expected("the second half of a character"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn pairs(text: &str) -> Vec<(String, String)> {
        let mapping = Mapping::parse(text).unwrap();
        mapping.iter().map(|(k, v)| (k.to_owned(), v.as_text().unwrap().to_owned())).collect()
    }

    #[track_caller]
    fn is(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn mappings() {
        is("{}", &[]);
        is(" { 'a' : \"b\" ,\n'c':'d' , } ", &[("a", "b"), ("c", "d")]);
        is("{'a':'1','b':'2','a':'3'}", &[("a", "3"), ("b", "2")]);
        is(
            r#"{'a': 'it\'s \"x\" \\ \n\t\x41\101\0\u00e9\U0001F980\q'}"#,
            &[("a", "it's \"x\" \\ \n\tAA\0é🦀\\q")],
        );
        is(r#"{"a": "\ud83e\udd80 é"}"#, &[("a", "🦀 é")]);
        is("{'a': 'b\\\nc'}", &[("a", "bc")]);
    }

    #[test]
    fn nested() {
        let mapping = Mapping::parse("{'image': {'compression': 'lz'}, 'x': 'y'}").unwrap();
        let image = mapping.get("image").unwrap();
        assert_eq!((image.as_text(), image.as_mapping().unwrap().text("compression")), (None, Some("lz")));
        assert_eq!(mapping.text("image"), None);
        assert_eq!(mapping.to_string(), r#"{"image": {"compression": "lz"}, "x": "y"}"#);
        assert_eq!(mapping.to_string().parse(), Ok(mapping));
    }

    #[test]
    fn refused() {
        for (text, at, expected) in [
            ("", 1, "{"),
            ("[]", 1, "{"),
            ("{'a'}", 5, ":"),
            ("{'a': 1}", 7, "a string in quotes"),
            ("{1: 'a'}", 2, "a string in quotes"),
            ("{'a': 'b'} x", 12, "the end"),
            ("{'a': 'b' 'c'}", 11, ", or }"),
            ("{'a': 'b'", 10, ", or }"),
            ("{'é': 'b", 9, "the closing quote"),
            ("{'a': 'b\n'}", 9, "the closing quote"),
            ("{,}", 2, "a string in quotes"),
            (r"{'a': '\xg'}", 10, "the digits of an escape"),
            (r"{'a': '\x+1'}", 10, "the digits of an escape"),
            (r"{'a': '\ud800'}", 14, "an escape of a character that exists"),
            (r"{'a': '\ud800\u0041'}", 20, "the second half of a character"),
            ("{'a':{'b':{'c':{}}}}", 16, "a string, as mappings nest no deeper"),
        ] {
            assert_eq!(Mapping::parse(text), Err(LiteralError { at, expected }), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[{}'\":,\\\\xuUN0-9a é\n]{0,30}") {
            let _ = Mapping::parse(&text);
        }

        #[test]
        fn any_json_object_of_strings_is_one(pairs in proptest::collection::vec((".{0,6}", ".{0,6}"), 0..4)) {
            // `\/` and friends aside, which serde_json does not write.
            let object: serde_json::Map<_, _> = pairs.into_iter().map(|(k, v)| (k, serde_json::Value::String(v))).collect();
            let mapping = Mapping::parse(&serde_json::Value::Object(object.clone()).to_string()).unwrap();
            proptest::prop_assert_eq!(mapping.len(), object.len());
            for (key, value) in &object {
                proptest::prop_assert_eq!(mapping.text(key), value.as_str());
            }
        }
    }
}
