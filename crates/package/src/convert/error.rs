// SPDX-License-Identifier: Apache-2.0
//! Why a description of a VM cannot be read.

use virt_hooks_domxml::{Document, Element, ParseError};

/// What is wrong with an input, in one line that starts with its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// More than can be the description of one VM.
    #[error("{file}: more than {limit} MiB, which no description of a VM has")]
    TooLarge {
        /// The input.
        file: String,
        /// How much is read, in MiB.
        limit: usize,
    },
    /// None of the kinds that are understood.
    #[error(
        "{file}: {what}; give the JSON of a VM of oVirt's REST API, an OVF, or a domain XML with oVirt's metadata"
    )]
    Kind {
        /// The input.
        file: String,
        /// What it is instead.
        what: String,
    },
    /// Not JSON.
    #[error("{file}:{line}:{column}: {reason}")]
    Json {
        /// The input.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// JSON of another shape.
    #[error("{file}: {path}: {reason}")]
    Shape {
        /// The input.
        file: String,
        /// Where in it: `nics.nic[1].name`.
        path: String,
        /// What is due there.
        reason: String,
    },
    /// Not XML.
    #[error("{file}: {source}")]
    Xml {
        /// The input.
        file: String,
        /// Why, and where.
        source: ParseError,
    },
    /// XML with something in it that does not make sense.
    #[error("{file}:{line}: <{element}>: {reason}")]
    Element {
        /// The input.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The element.
        element: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ConvertError {
    pub(super) fn kind(file: &str, what: &str) -> Self {
        Self::Kind { file: file.to_owned(), what: what.to_owned() }
    }

    pub(super) fn element(file: &str, doc: &Document, element: Element, reason: String) -> Self {
        let all = doc.as_str();
        // The source of an element is a part of the document.
        let offset = (doc.source(element).as_ptr() as usize).saturating_sub(all.as_ptr() as usize);
        let line = all.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
        Self::Element { file: file.to_owned(), line, element: doc.name(element).to_owned(), reason }
    }
}
