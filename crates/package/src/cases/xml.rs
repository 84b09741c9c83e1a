// SPDX-License-Identifier: Apache-2.0
//! XML by what it says: two documents are the same whatever way they are written.
//!
//! The rules are those of the recorded cases: comments, processing instructions, the order of attributes, white space
//! between elements and the way characters are written do not count; namespaces do, and so does their prefix on an
//! element.

use roxmltree::{Document, Node, ParsingOptions};
use std::fmt::Write;

/// An element, or text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Element(Element),
    Text(String),
}

/// An element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    name: String,
    namespace: String,
    attributes: Vec<(String, String)>,
    items: Vec<Item>,
    /// Prefixes it declares; they count for the root only.
    declared: Vec<(String, String)>,
}

/// Reads a document.
///
/// # Errors
/// It is not well-formed: in one line.
pub(super) fn read(bytes: &[u8]) -> Result<Element, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8: {e}"))?;
    let options = ParsingOptions { allow_dtd: false, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text.trim_start_matches('\u{feff}'), options)
        .map_err(|e| format!("not well-formed XML: {e}"))?;
    Ok(element(document.root_element()))
}

fn element(node: Node<'_, '_>) -> Element {
    let source = &node.document().input_text()[node.range()];
    let end =
        source.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(source.len());
    let name = source.get(1..end).unwrap_or_default().to_owned();
    let mut attributes: Vec<(String, String)> = node
        .attributes()
        .map(|a| {
            let name = match a.namespace() {
                Some(uri) => format!("{{{uri}}}{}", a.name()),
                None => a.name().to_owned(),
            };
            (name, a.value().replace(['\t', '\r', '\n'], " "))
        })
        .collect();
    attributes.sort();
    let outer: Vec<_> = node.parent_element().map(|p| p.namespaces().collect()).unwrap_or_default();
    let declared = node
        .namespaces()
        .filter(|n| !outer.contains(n) && n.name() != Some("xml"))
        .map(|n| (n.name().unwrap_or_default().to_owned(), n.uri().to_owned()))
        .collect();
    let has_elements = node.children().any(|n| n.is_element());
    let mut items: Vec<Item> = Vec::new();
    for child in node.children() {
        if child.is_element() {
            items.push(Item::Element(element(child)));
        } else if child.is_text() {
            // A comment in the middle of a text does not part it.
            let text = child.text().unwrap_or_default();
            match items.last_mut() {
                Some(Item::Text(before)) => before.push_str(text),
                _ => items.push(Item::Text(text.to_owned())),
            }
        }
    }
    items.retain_mut(|item| {
        let Item::Text(text) = item else { return true };
        *text = text.replace("\r\n", "\n").replace('\r', "\n");
        let blank = text.chars().all(|c| matches!(c, ' ' | '\t' | '\n'));
        !(text.is_empty() || blank && (has_elements || text.contains('\n')))
    });
    let namespace = node.tag_name().namespace().unwrap_or_default().to_owned();
    Element { name, namespace, attributes, items, declared }
}

impl Element {
    /// Whether it says what another says, whose root declares no prefix that this one lacks.
    pub(super) fn says(&self, expected: &Self) -> bool {
        self.same(expected) && expected.declared.iter().all(|d| self.declared.contains(d))
    }

    fn same(&self, other: &Self) -> bool {
        let same_item = |(a, b): (&Item, &Item)| match (a, b) {
            (Item::Element(a), Item::Element(b)) => a.same(b),
            (Item::Text(a), Item::Text(b)) => a == b,
            _ => false,
        };
        self.name == other.name
            && self.namespace == other.namespace
            && self.attributes == other.attributes
            && self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(same_item)
    }

    /// Puts what was appended to the first element of a name, beyond the `kept` children it had, into one order.
    pub(super) fn order_tail(&mut self, name: &str, kept: usize) {
        if let Some(found) = self.first_mut(name)
            && found.items.len() > kept
        {
            found.items[kept..].sort();
        }
    }

    /// How many children the first element of a name has.
    pub(super) fn children_of(&self, name: &str) -> Option<usize> {
        if self.local_name() == name {
            return Some(self.items.len());
        }
        self.items.iter().find_map(|item| match item {
            Item::Element(e) => e.children_of(name),
            Item::Text(_) => None,
        })
    }

    fn first_mut(&mut self, name: &str) -> Option<&mut Self> {
        if self.local_name() == name {
            return Some(self);
        }
        self.items.iter_mut().find_map(|item| match item {
            Item::Element(e) => e.first_mut(name),
            Item::Text(_) => None,
        })
    }

    fn local_name(&self) -> &str {
        self.name.split_once(':').map_or(&self.name, |(_, local)| local)
    }

    /// It in lines, for a diff.
    pub(super) fn lines(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    fn write(&self, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        let _ = write!(out, "{indent}<{}", self.name);
        for (prefix, uri) in &self.declared {
            let colon = if prefix.is_empty() { "" } else { ":" };
            let _ = write!(out, " xmlns{colon}{prefix}={uri:?}");
        }
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}={value:?}");
        }
        match self.items.as_slice() {
            [] => out.push_str("/>\n"),
            [Item::Text(text)] => {
                let _ = writeln!(out, ">{text}</{}>", self.name);
            }
            items => {
                out.push_str(">\n");
                for item in items {
                    match item {
                        Item::Element(e) => e.write(depth + 1, out),
                        Item::Text(text) => {
                            let _ = writeln!(out, "{indent}  {}", text.trim());
                        }
                    }
                }
                let _ = writeln!(out, "{indent}</{}>", self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        read(a.as_bytes()).unwrap().says(&read(b.as_bytes()).unwrap())
    }

    #[test]
    fn the_way_it_is_written_does_not_count() {
        let plain = "<a b=\"1\" c=\"2\"><d>x&amp;y</d><e/></a>";
        for other in [
            "<?xml version='1.0'?>\n<a c='2'\n b='1'>\n  <d>x<![CDATA[&]]>y</d>\n  <!-- no -->\n  <e></e>\n</a>\n",
            "\u{feff}<a b='&#49;' c='2'><d>x&#38;y</d>\r\n<e  /></a >",
        ] {
            assert!(same(plain, other), "{other}");
            assert!(same(other, plain), "{other}");
        }
        assert!(same("<a b='x y'/>", "<a b='x\ny'/>"));
        assert!(same("<a/>", "<a><![CDATA[]]></a>"));
        assert!(same("<a>x \ny</a>", "<a>x<!-- no --> \n<!-- no -->y</a>"));
    }

    #[test]
    fn what_it_says_does() {
        for (a, b) in [
            ("<a/>", "<b/>"),
            ("<a b='1'/>", "<a b='2'/>"),
            ("<a b='1'/>", "<a/>"),
            ("<a>x</a>", "<a>x </a>"),
            ("<a> </a>", "<a/>"),
            ("<a><b/><c/></a>", "<a><c/><b/></a>"),
            ("<a><b/></a>", "<a><b/><b/></a>"),
            ("<q:a xmlns:q='urn:1'/>", "<q:a xmlns:q='urn:2'/>"),
            ("<q:a xmlns:q='urn:1'/>", "<r:a xmlns:r='urn:1'/>"),
            ("<a/>", "<a xmlns:q='urn:1'/>"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
        assert!(read(b"<a>").is_err() && read(b"\xff").is_err());
    }

    #[test]
    fn a_tail_may_come_in_any_order() {
        let tail = |xml: &str| {
            let mut e = read(xml.as_bytes()).unwrap();
            e.order_tail("d", 1);
            e
        };
        assert!(tail("<a><d><z/><x/><y/></d></a>").says(&tail("<a><d><z/><y/><x/></d></a>")));
        assert!(!tail("<a><d><z/><x/></d></a>").says(&tail("<a><d><x/><z/></d></a>")));
        assert_eq!(tail("<a><d><z/></d></a>").children_of("d"), Some(1));
    }
}
