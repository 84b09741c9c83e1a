// SPDX-License-Identifier: Apache-2.0
//! Edits. Each is checked in full, then made as one replacement of text.

use crate::document::{Document, Element, declared_prefix};
use crate::fragment::{Checked, Fragment, check_characters};
use crate::tag::{self, Piece};
use crate::tree::Span;
use crate::{EditError, NewElement, escape, parse};
use std::ops::Range;

impl Document {
    /// Sets an attribute. One that exists keeps its place and its quotes, and its bytes if it has
    /// this value already; a new one is added as the last.
    ///
    /// # Errors
    /// [`EditError`] if the name or a character of the value cannot be written, or the prefix of
    /// the name is not bound.
    pub fn set_attribute(&mut self, element: Element, name: &str, value: &str) -> Result<(), EditError> {
        let span = self.live(element, "set attribute")?;
        self.check_attribute_name(element, name)?;
        check_characters(name, value)?;
        self.put_attribute(element, span, name, value)
    }

    fn put_attribute(
        &mut self,
        element: Element,
        span: Span,
        name: &str,
        value: &str,
    ) -> Result<(), EditError> {
        let mut new = String::with_capacity(value.len() + 16);
        if let Some(old) = self.same_attribute(element, name) {
            if escape::attribute_value(self.slice(old.value.clone())) == value {
                return Ok(());
            }
            escape::attribute_into(&mut new, value, old.quote);
            return self.splice(old.value, &new);
        }
        let start = span.start as usize;
        let last = tag::attributes(&self.text, start).last();
        let at = last.as_ref().map_or_else(|| tag::name_range(&self.text, start).end, |a| a.whole.end);
        let quote = last.as_ref().map_or(b'"', |a| a.quote);
        let gap = last.as_ref().map_or(" ", |a| self.slice(a.whole.start..a.name.start));
        new.push_str(gap);
        new.push_str(name);
        new.push('=');
        new.push(char::from(quote));
        escape::attribute_into(&mut new, value, quote);
        new.push(char::from(quote));
        self.splice(at..at, &new)
    }

    /// The attribute `name`, be it under another prefix of the same namespace: two of them would
    /// not be well-formed.
    fn same_attribute(&self, element: Element, name: &str) -> Option<tag::RawAttribute> {
        let exact = self.raw_attribute(element, name);
        let (None, Some((prefix, local))) = (&exact, name.split_once(':')) else { return exact };
        let uri = self.lookup_prefix(element, prefix)?;
        let start = self.span(element)?.start as usize;
        tag::attributes(&self.text, start).find(|a| {
            let other = self.slice(a.name.clone()).split_once(':');
            other.is_some_and(|(prefix, name)| {
                prefix != "xmlns"
                    && name == local
                    && self.lookup_prefix(element, prefix).as_ref() == Some(&uri)
            })
        })
    }

    fn check_attribute_name(&self, element: Element, name: &str) -> Result<(), EditError> {
        if !escape::is_qualified_name(name) {
            return Err(EditError::Name { name: name.to_owned() });
        }
        if declared_prefix(name).is_some() {
            return Err(EditError::NamespaceDeclaration { name: name.to_owned() });
        }
        match name.split_once(':') {
            Some((prefix, _)) if self.lookup_prefix(element, prefix).is_none() => {
                Err(EditError::UnboundPrefix { name: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Removes an attribute and the white space before it; tells whether it was there.
    ///
    /// # Errors
    /// [`EditError::Gone`], or [`EditError::NamespaceDeclaration`] for `xmlns`.
    pub fn remove_attribute(&mut self, element: Element, name: &str) -> Result<bool, EditError> {
        self.live(element, "remove attribute")?;
        if declared_prefix(name).is_some() {
            return Err(EditError::NamespaceDeclaration { name: name.to_owned() });
        }
        let Some(attribute) = self.raw_attribute(element, name) else { return Ok(false) };
        self.splice(attribute.whole, "")?;
        Ok(true)
    }

    /// Makes `text` the whole content of the element. Children are removed; an element that has
    /// this text and no children keeps its bytes, comments and CDATA included.
    ///
    /// # Errors
    /// [`EditError`] if a character cannot be written in XML.
    pub fn set_text(&mut self, element: Element, text: &str) -> Result<(), EditError> {
        let span = self.live(element, "set text")?;
        if self.tree.first_child(element.0).is_none() && self.text(element) == text {
            return Ok(());
        }
        check_characters(self.name(element), text)?;
        let mut new = String::with_capacity(text.len() + 16);
        escape::text_into(&mut new, text);
        if span.is_self_closed() {
            return self.open_up(element, span, &new).map(|_| ());
        }
        self.check_text(&new)?;
        while let Some(child) = self.tree.first_child(element.0) {
            self.tree.remove(child);
        }
        self.splice(span.content(), &new)
    }

    /// Turns `<a/>` into `<a>content</a>`; returns where the content starts.
    fn open_up(&mut self, element: Element, span: Span, content: &str) -> Result<usize, EditError> {
        let end = span.end as usize;
        let tag = self.slice(span.start as usize..span.close_start as usize).trim_end().len();
        let cut = span.start as usize + tag;
        let name = self.name(element).to_owned();
        self.splice(cut..end, &format!(">{content}</{name}>"))?;
        let close = cut + 1 + content.len();
        self.tree
            .set_span(element.0, Span::new([span.start as usize, cut + 1, close, close + 3 + name.len()]));
        Ok(cut + 1)
    }

    /// Adds an element as the last child of `parent`; returns it.
    ///
    /// # Errors
    /// [`EditError`] if the fragment is not one well-formed element here.
    ///
    /// # Examples
    /// ```
    /// let mut domain = virt_hooks_domxml::Document::parse("<domain><devices/></domain>")?;
    /// let devices = domain.find("devices").unwrap();
    /// let rng = domain.append(devices, "<rng model='virtio'/>")?;
    /// domain.set_attribute(rng, "model", "virtio-transitional")?;
    /// assert_eq!(
    ///     domain.as_str(),
    ///     "<domain><devices><rng model='virtio-transitional'/></devices></domain>"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append<'f>(
        &mut self,
        parent: Element,
        fragment: impl Into<Fragment<'f>>,
    ) -> Result<Element, EditError> {
        let span = self.live(parent, "append")?;
        let last = self.tree.last_child(parent.0);
        let content = span.content();
        let gap_start = last.and_then(|last| self.tree.span(last)).map_or(content.start, |s| s.end as usize);
        let gap = self.slice(gap_start..content.end);
        let mixed = tag::pieces(gap).any(|piece| match piece {
            Piece::Text(text) => !text.trim().is_empty(),
            Piece::Cdata(_) => true,
            Piece::Aside => false,
        });
        let layout = if mixed { None } else { self.child_layout(parent, last, gap) };
        let checked = fragment.into().check(self, Some(parent), layout.as_ref().map(|(layout, _)| layout))?;
        let (mut before, mut after) = (String::new(), String::new());
        if let Some((layout, closing)) = &layout {
            layout.start_line(&mut before);
            if !gap.rsplit('>').next().unwrap_or("").contains('\n') {
                after.push_str(closing);
            }
        }
        let at = if mixed { content.end } else { gap_start + gap.trim_end().len() };
        self.insert(at, Some((parent, last)), &checked, &before, &after)
    }

    /// Adds an element in front of another; returns it.
    ///
    /// # Errors
    /// [`EditError`] if the fragment is not one well-formed element here, or `element` is the root.
    pub fn insert_before<'f>(
        &mut self,
        element: Element,
        fragment: impl Into<Fragment<'f>>,
    ) -> Result<Element, EditError> {
        let span = self.live(element, "insert before")?;
        let parent = self.parent(element).ok_or(EditError::Root { operation: "insert before" })?;
        let layout = self.sibling_layout(element, span);
        let checked = fragment.into().check(self, Some(parent), layout.as_ref())?;
        let mut after = String::new();
        if let Some(layout) = &layout {
            layout.start_line(&mut after);
        }
        let prev = self.tree.prev(element.0);
        self.insert(span.start as usize, Some((parent, prev)), &checked, "", &after)
    }

    /// Adds an element behind another; returns it.
    ///
    /// # Errors
    /// [`EditError`] if the fragment is not one well-formed element here, or `element` is the root.
    pub fn insert_after<'f>(
        &mut self,
        element: Element,
        fragment: impl Into<Fragment<'f>>,
    ) -> Result<Element, EditError> {
        let span = self.live(element, "insert after")?;
        let parent = self.parent(element).ok_or(EditError::Root { operation: "insert after" })?;
        let layout = self.sibling_layout(element, span);
        let checked = fragment.into().check(self, Some(parent), layout.as_ref())?;
        let mut before = String::new();
        if let Some(layout) = &layout {
            layout.start_line(&mut before);
        }
        self.insert(span.end as usize, Some((parent, Some(element.0))), &checked, &before, "")
    }

    /// Puts a fragment in the place of an element; returns the new element. The handles of the old
    /// one and of all below it are gone. The root can be replaced too.
    ///
    /// # Errors
    /// [`EditError`] if the fragment is not one well-formed element here.
    pub fn replace<'f>(
        &mut self,
        element: Element,
        fragment: impl Into<Fragment<'f>>,
    ) -> Result<Element, EditError> {
        let span = self.live(element, "replace")?;
        let layout = self.sibling_layout(element, span);
        let checked = fragment.into().check(self, self.parent(element), layout.as_ref())?;
        let place = self.parent(element).map(|parent| (parent, self.tree.prev(element.0)));
        self.check_text(&checked.text)?;
        self.splice(span.range(), &checked.text)?;
        self.tree.remove(element.0);
        let top = self.graft(&checked, span.start as usize, place);
        if place.is_none() {
            self.root = top.0;
        }
        Ok(top)
    }

    /// Removes an element, and the line it stood on if it stood there alone.
    ///
    /// # Errors
    /// [`EditError::Gone`] or [`EditError::Root`].
    pub fn remove(&mut self, element: Element) -> Result<(), EditError> {
        let span = self.live(element, "remove")?;
        if self.parent(element).is_none() {
            return Err(EditError::Root { operation: "remove" });
        }
        let mut range = span.range();
        let tail = self.slice(range.end..self.text.len());
        let blanks = tail.len() - tail.trim_start_matches([' ', '\t']).len();
        let line_ends = tail.get(blanks..).is_some_and(|t| t.starts_with('\n') || t.starts_with("\r\n"));
        if let (true, Some((newline, indent))) = (line_ends, self.line_start(range.start)) {
            range = range.start - indent.len() - newline.len()..range.end + blanks;
        }
        self.splice(range, "")?;
        self.tree.remove(element.0);
        Ok(())
    }

    /// The first child with this name, added as the last child if there is none.
    ///
    /// # Errors
    /// [`EditError`] if the name is no name or its prefix not bound here.
    pub fn ensure_child(&mut self, parent: Element, name: &str) -> Result<Element, EditError> {
        self.live(parent, "ensure child")?;
        match self.child(parent, name) {
            Some(child) => Ok(child),
            None => self.append(parent, NewElement::new(name)),
        }
    }

    /// The first element at `path` below the root, adding what is missing of it.
    ///
    /// # Errors
    /// [`EditError`] as [`ensure_child`](Self::ensure_child).
    pub fn ensure(&mut self, path: &str) -> Result<Element, EditError> {
        if let Some(found) = self.find(path) {
            return Ok(found);
        }
        let mut at = self.root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.ensure_child(at, name)?;
        }
        Ok(at)
    }

    /// Makes sure that the root declares `uri` under some prefix, and returns that prefix:
    /// `prefix`, unless the namespace has one already or the prefix means something else.
    ///
    /// # Errors
    /// [`EditError`] if prefix or namespace cannot be declared.
    ///
    /// # Examples
    /// ```
    /// use virt_hooks_domxml::{Document, QEMU_NAMESPACE};
    /// let mut domain = Document::parse("<domain type='kvm'/>")?;
    /// assert_eq!(domain.declare_namespace("qemu", QEMU_NAMESPACE)?, "qemu");
    /// assert_eq!(
    ///     domain.as_str(),
    ///     "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'/>"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn declare_namespace(&mut self, prefix: &str, uri: &str) -> Result<String, EditError> {
        let root = self.root();
        let span = self.live(root, "declare namespace")?;
        if !escape::is_plain_name(prefix) {
            return Err(EditError::Name { name: prefix.to_owned() });
        }
        let reserved = prefix == "xml"
            || prefix == "xmlns"
            || uri.is_empty()
            || uri.starts_with("http://www.w3.org/XML/1998/namespace")
            || uri.starts_with("http://www.w3.org/2000/xmlns/");
        if reserved {
            return Err(EditError::Namespace { prefix: prefix.to_owned(), uri: uri.to_owned() });
        }
        check_characters(prefix, uri)?;
        let declared = |document: &Self| {
            tag::attributes(&document.text, span.start as usize)
                .filter_map(|a| {
                    let prefix = declared_prefix(document.slice(a.name))?.to_owned();
                    Some((prefix, escape::attribute_value(document.slice(a.value)).into_owned()))
                })
                .collect::<Vec<_>>()
        };
        let declared = declared(self);
        let known = |(prefix, bound): &&(String, String)| !prefix.is_empty() && bound == uri;
        if let Some((prefix, _)) = declared.iter().find(known) {
            return Ok(prefix.clone());
        }
        let mut free = prefix.to_owned();
        let mut number = 1;
        while declared.iter().any(|(taken, _)| *taken == free) {
            free = format!("{prefix}{number}");
            number += 1;
        }
        self.put_attribute(root, span, &format!("xmlns:{free}"), uri)?;
        Ok(free)
    }

    fn live(&self, element: Element, operation: &'static str) -> Result<Span, EditError> {
        self.span(element).ok_or(EditError::Gone { operation })
    }

    fn insert(
        &mut self,
        at: usize,
        place: Option<(Element, Option<u32>)>,
        checked: &Checked,
        before: &str,
        after: &str,
    ) -> Result<Element, EditError> {
        let mut new = String::with_capacity(before.len() + checked.text.len() + after.len());
        new.push_str(before);
        new.push_str(&checked.text);
        new.push_str(after);
        let mut at = at;
        match place.and_then(|(parent, _)| Some((parent, self.span(parent)?))) {
            Some((parent, span)) if span.is_self_closed() => at = self.open_up(parent, span, &new)?,
            _ => self.splice(at..at, &new)?,
        }
        Ok(self.graft(checked, at + before.len(), place))
    }

    fn graft(&mut self, checked: &Checked, at: usize, place: Option<(Element, Option<u32>)>) -> Element {
        let place = place.map(|(parent, prev)| (parent.0, prev));
        Element(self.tree.graft(&checked.tree, u32::try_from(at).unwrap_or(u32::MAX), place))
    }

    /// Refuses text that the document cannot take, for the sake of edits that must not be left
    /// half done.
    fn check_text(&self, new: &str) -> Result<(), EditError> {
        if u32::try_from(self.text.len() + new.len() + 16).is_err() {
            return Err(EditError::TooLarge);
        }
        match parse::declared_encoding(&self.text) {
            Ok(Some(declared)) if !new.is_ascii() => {
                Err(EditError::Encoding { declared: declared.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// The one place where text changes.
    fn splice(&mut self, at: Range<usize>, new: &str) -> Result<(), EditError> {
        self.check_text(new)?;
        if self.slice(at.clone()) == new {
            return Ok(());
        }
        self.tree.shift(&at, new.len());
        self.text.replace_range(at, new);
        self.changed = true;
        Ok(())
    }
}
