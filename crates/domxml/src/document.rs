// SPDX-License-Identifier: Apache-2.0
//! The document and how it is read.

use crate::tag::{self, Piece};
use crate::tree::{Span, Tree};
use crate::{ParseError, escape, parse};
use std::borrow::Cow;
use std::ops::Range;

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// An element of a [`Document`]: a small, copyable name for it, not a borrow.
///
/// It means the same element until that element is removed or replaced, whatever else is edited.
/// After that, reading answers with nothing and editing with [`EditError::Gone`](crate::EditError).
/// It means something only to the document that it came from, and to clones of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Element(pub(crate) u32);

/// An XML document as its source text, with an index of where its elements stand.
///
/// Each edit replaces a few bytes of the text and nothing else; see the crate documentation.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) text: String,
    pub(crate) tree: Tree,
    pub(crate) root: u32,
    pub(crate) changed: bool,
}

impl Document {
    /// Parses a document.
    ///
    /// # Errors
    /// [`ParseError`] if it is not UTF-8, not well-formed XML 1.0 with namespaces, or has a
    /// document type declaration.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, ParseError> {
        let text = String::from_utf8(bytes.into())
            .map_err(|e| ParseError::NotUtf8 { offset: e.utf8_error().valid_up_to() })?;
        parse::declared_encoding(&text)?;
        let parsed = parse::read(&text)?;
        let tree = parse::tree(&text, parsed.root_element(), 0);
        drop(parsed);
        Ok(Self { text, tree, root: 0, changed: false })
    }

    /// The document as it stands, edits included.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The document as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The document as it stands, edits included, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// Whether an edit has changed any byte since the parse.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The root element.
    pub fn root(&self) -> Element {
        Element(self.root)
    }

    /// Whether the element is (still) in the document.
    pub fn contains(&self, element: Element) -> bool {
        self.span(element).is_some()
    }

    pub(crate) fn span(&self, element: Element) -> Option<Span> {
        self.tree.span(element.0)
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or("")
    }

    /// Source text of the element, tags included; empty if it is gone.
    pub fn source(&self, element: Element) -> &str {
        self.span(element).map_or("", |span| self.slice(span.range()))
    }

    /// Name as written, prefix included; empty if the element is gone.
    pub fn name(&self, element: Element) -> &str {
        self.span(element).map_or("", |span| self.slice(tag::name_range(&self.text, span.start as usize)))
    }

    /// Name without its prefix.
    pub fn local_name(&self, element: Element) -> &str {
        let name = self.name(element);
        name.split_once(':').map_or(name, |(_, local)| local)
    }

    /// Namespace of the element.
    pub fn namespace(&self, element: Element) -> Option<Cow<'_, str>> {
        let prefix = self.name(element).split_once(':').map_or("", |(prefix, _)| prefix);
        self.lookup_prefix(element, prefix)
    }

    /// Whether the element is named `local` in the namespace `uri`, whatever the prefix.
    pub fn is_in(&self, element: Element, uri: &str, local: &str) -> bool {
        self.local_name(element) == local && self.namespace(element).is_some_and(|found| found == uri)
    }

    fn is_named(&self, element: Element, name: &str) -> bool {
        self.span(element).is_some_and(|span| tag::is_named(&self.text, span.start as usize, name))
    }

    /// The namespace that `prefix` (empty: the default) is bound to at `element`.
    pub fn lookup_prefix(&self, element: Element, prefix: &str) -> Option<Cow<'_, str>> {
        if prefix == "xml" {
            return Some(Cow::Borrowed(XML_NAMESPACE));
        }
        let mut at = Some(element.0);
        while let Some(index) = at {
            let start = self.tree.span(index)?.start as usize;
            let declaration = tag::attributes(&self.text, start)
                .find(|a| declared_prefix(self.slice(a.name.clone())) == Some(prefix));
            if let Some(found) = declaration {
                return Some(escape::attribute_value(self.slice(found.value))).filter(|uri| !uri.is_empty());
            }
            at = self.tree.parent(index);
        }
        None
    }

    /// Value of the attribute with this name as written.
    pub fn attribute(&self, element: Element, name: &str) -> Option<Cow<'_, str>> {
        self.raw_attribute(element, name).map(|a| escape::attribute_value(self.slice(a.value)))
    }

    pub(crate) fn raw_attribute(&self, element: Element, name: &str) -> Option<tag::RawAttribute> {
        let start = self.span(element)?.start as usize;
        tag::attributes(&self.text, start).find(|a| self.slice(a.name.clone()) == name)
    }

    /// Whether the element has this attribute with this value.
    pub fn has(&self, element: Element, name: &str, value: &str) -> bool {
        self.attribute(element, name).is_some_and(|found| found == value)
    }

    /// Names (as written) and values of the attributes, namespace declarations left out.
    pub fn attributes(&self, element: Element) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let start = self.span(element).map_or(self.text.len(), |span| span.start as usize);
        tag::attributes(&self.text, start)
            .map(|a| (self.slice(a.name), escape::attribute_value(self.slice(a.value))))
            .filter(|(name, _)| declared_prefix(name).is_none())
    }

    /// Text of the element: its own character data and CDATA, not that of its children.
    pub fn text(&self, element: Element) -> Cow<'_, str> {
        let mut text = Cow::Borrowed("");
        for gap in self.gaps(element) {
            for piece in tag::pieces(self.slice(gap)) {
                let value = match piece {
                    Piece::Text(raw) => escape::text_value(raw),
                    Piece::Cdata(raw) => escape::cdata_value(raw),
                    Piece::Aside => continue,
                };
                if text.is_empty() {
                    text = value;
                } else {
                    text.to_mut().push_str(&value);
                }
            }
        }
        text
    }

    /// What stands between the tags of the element and of its children.
    fn gaps(&self, element: Element) -> impl Iterator<Item = Range<usize>> {
        let content = self.span(element).map(Span::content);
        let mut at = content.as_ref().map_or(0, |c| c.start);
        let mut next = content.as_ref().and_then(|_| self.tree.first_child(element.0));
        let mut left = content;
        std::iter::from_fn(move || {
            let end = left.as_ref()?.end;
            match next.and_then(|child| Some((child, self.tree.span(child)?))) {
                Some((child, span)) => {
                    let gap = at..span.start as usize;
                    at = span.end as usize;
                    next = self.tree.next(child);
                    Some(gap)
                }
                None => {
                    left = None;
                    Some(at..end)
                }
            }
        })
    }

    /// The element around this one.
    pub fn parent(&self, element: Element) -> Option<Element> {
        self.tree.parent(element.0).map(Element)
    }

    /// The next element with the same parent.
    pub fn next_sibling(&self, element: Element) -> Option<Element> {
        self.tree.next(element.0).map(Element)
    }

    /// The child elements in order.
    pub fn children(&self, element: Element) -> impl Iterator<Item = Element> {
        std::iter::successors(self.tree.first_child(element.0), |&child| self.tree.next(child)).map(Element)
    }

    /// The first child element with this name as written.
    pub fn child(&self, element: Element, name: &str) -> Option<Element> {
        self.children(element).find(|&child| self.is_named(child, name))
    }

    /// The first child element named `local` in the namespace `uri`.
    pub fn child_in(&self, element: Element, uri: &str, local: &str) -> Option<Element> {
        self.children(element).find(|&child| self.is_in(child, uri, local))
    }

    /// The element itself and everything below it, in document order.
    pub fn descendants(&self, element: Element) -> impl Iterator<Item = Element> {
        let top = element.0;
        let first = self.contains(element).then_some(top);
        std::iter::successors(first, move |&at| self.tree.following(at, top)).map(Element)
    }

    /// The first element of the document with this name as written (`qemu:arg`), at any depth:
    /// what VDSM's hooks mean by "the first X".
    pub fn first_named(&self, name: &str) -> Option<Element> {
        self.descendants(self.root()).find(|&e| self.is_named(e, name))
    }

    /// All elements with this name as written, at any depth, in document order.
    pub fn all_named(&self, name: &str) -> Vec<Element> {
        self.all_named_below(self.root(), name)
    }

    /// All elements with this name as written below `top`, itself included.
    pub fn all_named_below(&self, top: Element, name: &str) -> Vec<Element> {
        self.descendants(top).filter(|&e| self.is_named(e, name)).collect()
    }

    /// All elements named `local` in the namespace `uri`, at any depth, in document order.
    pub fn all_in(&self, uri: &str, local: &str) -> Vec<Element> {
        self.descendants(self.root()).filter(|&e| self.is_in(e, uri, local)).collect()
    }

    /// The first element at `path` below the root: `devices/interface`. Names are as written.
    pub fn find(&self, path: &str) -> Option<Element> {
        self.find_below(self.root(), path)
    }

    /// The first element at `path` below `top`.
    pub fn find_below(&self, top: Element, path: &str) -> Option<Element> {
        self.find_all_below(top, path).first().copied()
    }

    /// All elements at `path` below the root, in document order.
    pub fn find_all(&self, path: &str) -> Vec<Element> {
        self.find_all_below(self.root(), path)
    }

    /// All elements at `path` below `top`, in document order.
    pub fn find_all_below(&self, top: Element, path: &str) -> Vec<Element> {
        let mut found = vec![top];
        for name in path.split('/').filter(|name| !name.is_empty()) {
            found = found
                .iter()
                .flat_map(|&e| self.children(e))
                .filter(|&child| self.is_named(child, name))
                .collect();
        }
        found
    }

    /// The element as a document of its own: its source, with the prefixes it takes from around it declared.
    pub fn standalone(&self, element: Element) -> String {
        let source = self.source(element);
        let mut prefixes: Vec<&str> = self
            .descendants(element)
            .flat_map(|e| self.attributes(e).map(|(n, _)| n).chain(std::iter::once(self.name(e))))
            .filter_map(|name| name.split_once(':').map(|(prefix, _)| prefix))
            .filter(|p| *p != "xml" && !source.contains(&format!("xmlns:{p}=")))
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut declarations = String::new();
        for prefix in prefixes {
            if let Some(uri) = self.lookup_prefix(element, prefix) {
                declarations.push_str(" xmlns:");
                declarations.push_str(prefix);
                declarations.push_str("=\"");
                escape::attribute_into(&mut declarations, &uri, b'"');
                declarations.push('"');
            }
        }
        let (tag, rest) = source.split_at((1 + self.name(element).len()).min(source.len()));
        format!("{tag}{declarations}{rest}")
    }

    /// All prefixes bound at `element` with their declarations as written (`xmlns:q='u'`).
    pub(crate) fn declarations_in_scope(&self, element: Element) -> String {
        let mut seen: Vec<&str> = Vec::new();
        let mut out = String::new();
        let mut at = Some(element.0);
        while let Some((index, span)) = at.and_then(|index| Some((index, self.tree.span(index)?))) {
            for attribute in tag::attributes(&self.text, span.start as usize) {
                let Some(prefix) = declared_prefix(self.slice(attribute.name)) else { continue };
                if !seen.contains(&prefix) {
                    seen.push(prefix);
                    out.push(' ');
                    out.push_str(self.slice(attribute.whole).trim_start());
                }
            }
            at = self.tree.parent(index);
        }
        out
    }
}

impl AsRef<[u8]> for Document {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The prefix that the attribute `name` declares, if it is a declaration; empty for `xmlns`.
pub(crate) fn declared_prefix(name: &str) -> Option<&str> {
    match name.strip_prefix("xmlns")? {
        "" => Some(""),
        rest => rest.strip_prefix(':'),
    }
}
