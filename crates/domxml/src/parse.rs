// SPDX-License-Identifier: Apache-2.0
//! From bytes to a tree of offsets. roxmltree judges whether the text is XML and says where the
//! elements stand; what it holds in memory is dropped at once.

use crate::ParseError;
use crate::tag;
use crate::tree::{Span, Tree};

/// What a document is, told without keeping it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape<'t> {
    /// Name of the root element without its prefix.
    pub root: &'t str,
    /// Name of the root element as written.
    pub qualified_root: &'t str,
    /// Namespace of the root element.
    pub namespace: Option<String>,
    /// Text of the root's first direct child `uuid`, trimmed.
    pub uuid: Option<String>,
}

/// Checks that `bytes` are a well-formed document and tells its root and uuid.
///
/// # Errors
/// [`ParseError`], as [`Document::parse`](crate::Document::parse).
///
/// # Examples
/// ```
/// let shape = virt_hooks_domxml::check(b"<domain><uuid> 42 </uuid></domain>")?;
/// assert_eq!((shape.root, shape.uuid.as_deref()), ("domain", Some("42")));
/// # Ok::<(), virt_hooks_domxml::ParseError>(())
/// ```
pub fn check(bytes: &[u8]) -> Result<Shape<'_>, ParseError> {
    let text = utf8(bytes)?;
    declared_encoding(text)?;
    let parsed = read(text)?;
    let root = parsed.root_element();
    let uuid = root.children().find(|n| n.is_element() && n.tag_name().name() == "uuid").map(|uuid| {
        let text: String =
            uuid.children().filter(roxmltree::Node::is_text).filter_map(|n| n.text()).collect();
        text.trim().to_owned()
    });
    let qualified_root = text.get(tag::name_range(text, root.range().start)).unwrap_or("");
    Ok(Shape {
        root: qualified_root.split_once(':').map_or(qualified_root, |(_, local)| local),
        qualified_root,
        namespace: root.tag_name().namespace().map(str::to_owned),
        uuid,
    })
}

/// `bytes` as text, with the offset of the fault if they are not.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(bytes).map_err(|e| ParseError::NotUtf8 { offset: e.valid_up_to() })
}

/// The encoding that `text` declares, if that is not UTF-8.
///
/// Pure ASCII is the same in every encoding that occurs, and lxml declares `ASCII` by itself, so
/// only other characters under a foreign declaration are an error: libvirt would misread them.
pub(crate) fn declared_encoding(text: &str) -> Result<Option<&str>, ParseError> {
    let Some(declaration) = declaration(text) else { return Ok(None) };
    let inner = declaration.get(1..).unwrap_or("");
    // `?xml` reads as a tag name, so the declaration scans as a start tag.
    let declared = tag::attributes(inner, 0)
        .find(|a| inner.get(a.name.clone()) == Some("encoding"))
        .and_then(|a| inner.get(a.value));
    match declared {
        Some(name) if !name.eq_ignore_ascii_case("utf-8") && !name.eq_ignore_ascii_case("utf8") => {
            if text.trim_start_matches('\u{FEFF}').is_ascii() {
                Ok(Some(name))
            } else {
                Err(ParseError::Encoding { declared: name.to_owned() })
            }
        }
        _ => Ok(None),
    }
}

/// The `<?xml …?>` at the start of `text`, after a byte order mark if there is one.
pub(crate) fn declaration(text: &str) -> Option<&str> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let rest = text.strip_prefix("<?xml")?;
    if !rest.starts_with([' ', '\t', '\r', '\n']) {
        return None;
    }
    text.get(..text.find("?>")? + 2)
}

/// Namespace declarations accepted in a document. roxmltree lists for each declaring element all
/// that are in scope, so thousands of them take seconds.
const MOST_NAMESPACES: usize = 256;

/// Attributes accepted in one element. roxmltree compares each with all others.
const MOST_ATTRIBUTES: usize = 1024;

/// Refuses what would keep roxmltree busy out of proportion. Tells whether there may be a tag with
/// two namespace declarations.
fn proportionate(text: &str) -> Result<bool, ParseError> {
    let equals = |text: &str| memchr::memchr_iter(b'=', text.as_bytes()).count();
    let declarations = memchr::memmem::find_iter(text.as_bytes(), "xmlns").take(MOST_NAMESPACES + 1).count();
    if declarations > MOST_NAMESPACES {
        return Err(ParseError::TooMany { what: "namespace declarations", limit: MOST_NAMESPACES });
    }
    // Counting all is quick, and enough for nearly every document.
    if equals(text) > MOST_ATTRIBUTES
        && text.split('<').any(|tag| equals(tag.get(..tag::end(tag, 0)).unwrap_or(tag)) > MOST_ATTRIBUTES)
    {
        return Err(ParseError::TooMany { what: "attributes in one element", limit: MOST_ATTRIBUTES });
    }
    Ok(declarations > 1)
}

/// Judges `text`.
pub(crate) fn read(text: &str) -> Result<roxmltree::Document<'_>, ParseError> {
    if u32::try_from(text.len()).is_err() {
        return Err(ParseError::TooLarge { size: text.len() });
    }
    let several_declarations = proportionate(text)?;
    let parsed = match roxmltree::Document::parse(text) {
        Ok(parsed) => parsed,
        Err(_) if text.trim_start_matches('\u{FEFF}').trim().is_empty() => return Err(ParseError::Empty),
        Err(error) => return Err(refusal(text, &error)),
    };
    if several_declarations {
        second_default_namespace(text, &parsed)?;
    }
    Ok(parsed)
}

/// The one rule about duplicates that roxmltree 0.21 does not hold: `xmlns` twice in one tag.
fn second_default_namespace(text: &str, parsed: &roxmltree::Document<'_>) -> Result<(), ParseError> {
    for node in parsed.descendants().filter(roxmltree::Node::is_element) {
        let mut defaults = tag::attributes(text, node.range().start)
            .filter(|a| text.get(a.name.clone()) == Some("xmlns"))
            .skip(1);
        if let Some(second) = defaults.next() {
            let at = parsed.text_pos_at(second.name.start);
            return Err(ParseError::Malformed {
                line: at.row,
                column: at.col,
                reason: "namespace 'xmlns' is already defined".to_owned(),
            });
        }
    }
    Ok(())
}

fn refusal(text: &str, error: &roxmltree::Error) -> ParseError {
    if matches!(error, roxmltree::Error::DtdDetected) {
        let before = text.split_once("<!DOCTYPE").map_or("", |(before, _)| before);
        let (line, column) = position(before);
        return ParseError::DocumentType { line, column };
    }
    let (line, column) = (error.pos().row, error.pos().col);
    if matches!(error, roxmltree::Error::UnknownEntityReference(..)) {
        // Without its name: it may be most of a password that somebody forgot to escape.
        let reason = "unknown entity reference; write & as &amp;".to_owned();
        return ParseError::Malformed { line, column, reason };
    }
    let text = error.to_string();
    let place = format!(" at {line}:{column}");
    let reason = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    ParseError::Malformed { line, column, reason }
}

/// Line and column after `before`, from 1.
fn position(before: &str) -> (u32, u32) {
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// The elements of `top` and below as offsets, less `base`.
pub(crate) fn tree(text: &str, top: roxmltree::Node<'_, '_>, base: usize) -> Tree {
    let mut tree = Tree::default();
    // Elements whose end has not been passed yet, innermost last.
    let mut open: Vec<(u32, usize)> = Vec::with_capacity(16);
    for node in top.descendants().filter(roxmltree::Node::is_element) {
        let range = node.range();
        while open.last().is_some_and(|&(_, end)| end <= range.start) {
            open.pop();
        }
        let from = node.attributes().next_back().map_or(range.start + 1, |a| a.range().end);
        let open_end = tag::end(text, from);
        let bytes = text.as_bytes();
        let close_start = if open_end == range.end && bytes.get(range.end - 2) == Some(&b'/') {
            range.end - 2
        } else {
            bytes.get(..range.end).and_then(|b| b.iter().rposition(|&b| b == b'<')).unwrap_or(open_end)
        };
        let span = Span::new([range.start, open_end, close_start, range.end].map(|at| at - base));
        let index = tree.push_last(open.last().map(|&(parent, _)| parent), span);
        open.push((index, range.end));
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let shape = check(
            b"<d:domain xmlns:d='u'><x><uuid>no</uuid></x><uuid>\n a<![CDATA[b]]>&amp; </uuid></d:domain>",
        );
        let shape = shape.unwrap();
        assert_eq!(
            (shape.root, shape.qualified_root, shape.namespace.as_deref(), shape.uuid.as_deref()),
            ("domain", "d:domain", Some("u"), Some("ab&"))
        );
        assert_eq!(check(b"<interface/>").unwrap().uuid, None);
        assert_eq!(check(b"<d><uuid/></d>").unwrap().uuid.as_deref(), Some(""));
    }

    #[test]
    fn refusals() {
        let reason = |bytes: &[u8]| check(bytes).unwrap_err().to_string();
        assert_eq!(reason(b""), "empty: there is no root element");
        assert_eq!(reason(b"\xEF\xBB\xBF \n"), "empty: there is no root element");
        assert_eq!(check(b"<a>\xE9</a>"), Err(ParseError::NotUtf8 { offset: 3 }));
        assert!(matches!(check(b"<a>\n <b>\n</a>"), Err(ParseError::Malformed { line: 3, column: 1, .. })));
        assert!(matches!(check(b"<!DOCTYPE a><a/>"), Err(ParseError::DocumentType { .. })));
        for bad in
            ["<a b='1' b='2'/>", "<a xmlns='u' xmlns='v'/>", "<p:a/>", "<a/><b/>", "<a>&nope;</a>", "a"]
        {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn encodings() {
        let ascii = b"<?xml version='1.0' encoding='ASCII'?><a/>";
        assert!(check(ascii).is_ok());
        assert_eq!(declared_encoding("<?xml version='1.0' encoding='ASCII'?><a/>"), Ok(Some("ASCII")));
        assert!(check("<?xml version=\"1.0\" encoding=\"Utf-8\"?><a>é</a>".as_bytes()).is_ok());
        assert_eq!(
            check("<?xml version='1.0' encoding='latin-1'?><a>é</a>".as_bytes()),
            Err(ParseError::Encoding { declared: "latin-1".to_owned() })
        );
    }

    #[test]
    fn out_of_proportion() {
        let attributes = |count: usize| (0..count).map(|i| format!(" a{i}='>'")).collect::<String>();
        assert!(check(format!("<a{}/>", attributes(1024)).as_bytes()).is_ok());
        let refused = format!("<a{}/>", attributes(1025));
        assert!(matches!(check(refused.as_bytes()), Err(ParseError::TooMany { limit: 1024, .. })));
        assert!(check(format!("<a>{}</a>", "<b c='=' d=\"\"/> = ".repeat(1000)).as_bytes()).is_ok());
        let nested = |count: usize| {
            (0..count).map(|i| format!("<a xmlns:a{i}='u{i}'>")).collect::<String>() + &"</a>".repeat(count)
        };
        assert!(check(nested(256).as_bytes()).is_ok());
        assert!(matches!(check(nested(257).as_bytes()), Err(ParseError::TooMany { limit: 256, .. })));
    }

    #[test]
    fn deep_nesting_is_no_recursion() {
        let deep = "<a>".repeat(100_000) + &"</a>".repeat(100_000);
        assert!(check(deep.as_bytes()).is_ok());
        let open = "<a>".repeat(100_000);
        assert!(check(open.as_bytes()).is_err());
    }
}
