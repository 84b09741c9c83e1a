// SPDX-License-Identifier: Apache-2.0
//! What an edit puts in: an element made of names and values, or a piece of XML.

use crate::document::{Document, Element};
use crate::layout::Layout;
use crate::tree::Tree;
use crate::{EditError, escape, parse};

/// An element to be put into a document, made of names and values; escaping is done here.
///
/// # Examples
/// ```
/// use virt_hooks_domxml::{Document, NewElement};
/// let mut domain = Document::parse("<domain>\n  <os/>\n</domain>")?;
/// let smbios = NewElement::new("smbios").attribute("mode", "sysinfo");
/// domain.append(domain.find("os").unwrap(), smbios)?;
/// assert_eq!(
///     domain.as_str(),
///     "<domain>\n  <os>\n    <smbios mode=\"sysinfo\"/>\n  </os>\n</domain>"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct NewElement {
    name: String,
    attributes: Vec<(String, String)>,
    content: Vec<Content>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Element(NewElement),
    Text(String),
}

impl NewElement {
    /// An empty element. A prefix in the name must be bound where the element is put.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), attributes: Vec::new(), content: Vec::new() }
    }

    /// With one more attribute.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// With one more piece of text.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.content.push(Content::Text(text.into()));
        self
    }

    /// With one more child element.
    pub fn child(mut self, child: Self) -> Self {
        self.content.push(Content::Element(child));
        self
    }

    fn render(&self, out: &mut String, layout: Option<&Layout<'_>>) -> Result<(), EditError> {
        if !escape::is_qualified_name(&self.name) {
            return Err(EditError::Name { name: self.name.clone() });
        }
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            if !escape::is_qualified_name(name) {
                return Err(EditError::Name { name: name.clone() });
            }
            check_characters(name, value)?;
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape::attribute_into(out, value, b'"');
            out.push('"');
        }
        if self.content.iter().all(|c| matches!(c, Content::Text(text) if text.is_empty())) {
            out.push_str("/>");
            return Ok(());
        }
        out.push('>');
        // White space may only be added where no text is.
        let elements_only = self.content.iter().all(|c| matches!(c, Content::Element(_)));
        let layout = layout.filter(|_| elements_only);
        let inner = layout.map(Layout::deeper);
        for content in &self.content {
            match content {
                Content::Element(child) => {
                    if let Some(inner) = &inner {
                        inner.start_line(out);
                    }
                    child.render(out, inner.as_ref())?;
                }
                Content::Text(text) => {
                    check_characters(&self.name, text)?;
                    escape::text_into(out, text);
                }
            }
        }
        if let Some(layout) = layout {
            layout.start_line(out);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
        Ok(())
    }
}

pub(crate) fn check_characters(name: &str, value: &str) -> Result<(), EditError> {
    match escape::forbidden(value) {
        Some(c) => Err(EditError::Character { name: name.to_owned(), code: u32::from(c) }),
        None => Ok(()),
    }
}

/// What an edit puts in: a [`NewElement`], or one element written as XML, which is put in byte by
/// byte. A byte order mark and XML declaration in front are left out, so that a whole document can
/// be put into another; comments around the element are kept.
#[derive(Debug, Clone)]
pub struct Fragment<'f>(Kind<'f>);

#[derive(Debug, Clone)]
enum Kind<'f> {
    Built(NewElement),
    Xml(&'f str),
}

impl From<NewElement> for Fragment<'_> {
    fn from(element: NewElement) -> Self {
        Self(Kind::Built(element))
    }
}

impl<'f> From<&'f str> for Fragment<'f> {
    fn from(xml: &'f str) -> Self {
        Self(Kind::Xml(xml))
    }
}

impl<'f> From<&'f String> for Fragment<'f> {
    fn from(xml: &'f String) -> Self {
        Self(Kind::Xml(xml))
    }
}

impl<'f> From<&'f Document> for Fragment<'f> {
    fn from(document: &'f Document) -> Self {
        Self(Kind::Xml(document.as_str()))
    }
}

/// A fragment that was found to be well-formed where it is to be put.
pub(crate) struct Checked {
    pub(crate) text: String,
    pub(crate) tree: Tree,
}

impl Fragment<'_> {
    /// Renders and parses the fragment with the namespaces that are in scope at `parent`.
    pub(crate) fn check(
        self,
        document: &Document,
        parent: Option<Element>,
        layout: Option<&Layout<'_>>,
    ) -> Result<Checked, EditError> {
        let text = match self.0 {
            Kind::Built(element) => {
                let mut out = String::new();
                element.render(&mut out, layout)?;
                out
            }
            Kind::Xml(xml) => {
                parse::declared_encoding(xml).map_err(EditError::Fragment)?;
                let after = xml.strip_prefix('\u{FEFF}').unwrap_or(xml);
                let declaration = parse::declaration(after).unwrap_or("");
                after.strip_prefix(declaration).unwrap_or(after).trim().to_owned()
            }
        };
        let scope = parent.map(|parent| document.declarations_in_scope(parent)).unwrap_or_default();
        // The line end in front keeps the lines of an error those of the fragment, less one.
        let head = format!("<w{scope}>\n");
        let wrapped = format!("{head}{text}\n</w>");
        let parsed = parse::read(&wrapped).map_err(|e| EditError::Fragment(one_line_up(e)))?;
        let mut elements = parsed.root_element().children().filter(roxmltree::Node::is_element);
        let (first, second) = (elements.next(), elements.next());
        let top = match (first, second) {
            (Some(top), None) => top,
            (None, _) => return Err(EditError::FragmentShape { found: "no element" }),
            (Some(_), Some(_)) => return Err(EditError::FragmentShape { found: "more than one element" }),
        };
        let stray = parsed.root_element().children().filter(roxmltree::Node::is_text);
        if stray.filter_map(|n| n.text()).any(|text| !text.trim().is_empty()) {
            return Err(EditError::FragmentShape { found: "text beside the element" });
        }
        let tree = parse::tree(&wrapped, top, head.len());
        drop(parsed);
        Ok(Checked { text, tree })
    }
}

fn one_line_up(error: crate::ParseError) -> crate::ParseError {
    use crate::ParseError::{DocumentType, Malformed};
    match error {
        Malformed { line, column, reason } => {
            Malformed { line: line.saturating_sub(1).max(1), column, reason }
        }
        DocumentType { line, column } => DocumentType { line: line.saturating_sub(1).max(1), column },
        other => other,
    }
}
