// SPDX-License-Identifier: Apache-2.0
//! The white space that makes what is put in look as what is around it.

use crate::document::{Document, Element};
use crate::tree::Span;

/// How lines start where an element is put.
#[derive(Debug, Clone)]
pub(crate) struct Layout<'t> {
    pub(crate) newline: &'t str,
    pub(crate) indent: String,
    pub(crate) step: String,
}

impl Layout<'_> {
    pub(crate) fn deeper(&self) -> Self {
        let indent = format!("{}{}", self.indent, self.step);
        Self { newline: self.newline, indent, step: self.step.clone() }
    }

    pub(crate) fn start_line(&self, out: &mut String) {
        out.push_str(self.newline);
        out.push_str(&self.indent);
    }
}

impl Document {
    /// Layout of a new last child of `parent`, and what has to stand before the end tag if that
    /// does not start a line yet. None: no white space is to be added.
    pub(crate) fn child_layout(
        &self,
        parent: Element,
        last: Option<u32>,
        gap: &str,
    ) -> Option<(Layout<'_>, String)> {
        let span = self.span(parent)?;
        let parent_line = self.line_start(span.start as usize);
        if let Some(last) = last.and_then(|last| self.tree.span(last)) {
            let (newline, indent) = self.line_start(last.start as usize)?;
            let step = parent_line.and_then(|(_, outer)| indent.strip_prefix(outer)).unwrap_or("  ");
            let layout = Layout { newline, indent: indent.to_owned(), step: step.to_owned() };
            return Some((layout, String::new()));
        }
        let (newline, outer) = match (parent_line, self.tree.parent(parent.0)) {
            (Some(line), Some(_)) => line,
            // The root starts a line of its own even at the start of the text, but only line ends
            // inside it show that its content is laid out.
            (line, None) if gap.contains('\n') => {
                let newline = if gap.contains("\r\n") { "\r\n" } else { "\n" };
                (newline, line.map_or("", |(_, indent)| indent))
            }
            _ => return None,
        };
        let around = self.tree.parent(parent.0).and_then(|index| self.tree.span(index));
        let step = match around {
            Some(around) => {
                let further = self.line_start(around.start as usize).map_or("", |(_, indent)| indent);
                outer.strip_prefix(further).unwrap_or("  ")
            }
            None => "  ",
        };
        let layout = Layout { newline, indent: format!("{outer}{step}"), step: step.to_owned() };
        Some((layout, format!("{newline}{outer}")))
    }

    /// If only white space stands between a line end and `at`: that line end and white space.
    pub(crate) fn line_start(&self, at: usize) -> Option<(&str, &str)> {
        let before = self.slice(0..at);
        let indent = before.trim_end_matches([' ', '\t']).len();
        let newline = match before.get(..indent)? {
            line if line.ends_with("\r\n") => indent - 2..indent,
            line if line.ends_with('\n') => indent - 1..indent,
            _ => return None,
        };
        Some((self.slice(newline), self.slice(indent..at)))
    }

    /// Layout of a new sibling of `element`.
    pub(crate) fn sibling_layout(&self, element: Element, span: Span) -> Option<Layout<'_>> {
        let (newline, indent) = self.line_start(span.start as usize)?;
        let around = self.tree.parent(element.0).and_then(|index| self.tree.span(index))?;
        let outer = self.line_start(around.start as usize).map_or("", |(_, indent)| indent);
        let step = indent.strip_prefix(outer).unwrap_or("  ");
        Some(Layout { newline, indent: indent.to_owned(), step: step.to_owned() })
    }
}
