// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a document, and with an edit of one.

/// Why a text was refused as an XML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes are not UTF-8.
    #[error("not UTF-8: invalid byte at offset {offset}; write the document as UTF-8")]
    NotUtf8 {
        /// Offset of the first invalid byte.
        offset: usize,
    },
    /// Non-ASCII text under a declaration that names another encoding than UTF-8.
    #[error("the XML declaration says encoding {declared:?} over non-ASCII UTF-8 text; declare UTF-8")]
    Encoding {
        /// The encoding as declared.
        declared: String,
    },
    /// Nothing but white space.
    #[error("empty: there is no root element")]
    Empty,
    /// A document type declaration, which is never accepted: it is the way to entity bombs
    /// and external entities, and no domain XML needs it.
    #[error("line {line}, column {column}: document type declarations are refused; remove <!DOCTYPE>")]
    DocumentType {
        /// Line of the declaration, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
    },
    /// The text breaks a rule of XML 1.0 or of XML namespaces.
    #[error("line {line}, column {column}: {reason}")]
    Malformed {
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
        /// Which rule.
        reason: String,
    },
    /// More of something than any domain has. The limits keep the time of a parse in proportion to
    /// the size of the text, whoever wrote it.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
    /// Larger than this crate's offsets can address.
    #[error("{size} bytes are more than a document may have (4 GiB)")]
    TooLarge {
        /// Size in bytes.
        size: usize,
    },
}

/// Why an edit was refused. A refused edit changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The element was removed, or replaced, or belongs to another document.
    #[error("{operation}: the element is no longer in the document")]
    Gone {
        /// The edit that was asked for.
        operation: &'static str,
    },
    /// The edit would leave the document without its one root element.
    #[error("{operation}: not possible on the root element")]
    Root {
        /// The edit that was asked for.
        operation: &'static str,
    },
    /// Not an XML name.
    #[error("{name:?} is not an XML name")]
    Name {
        /// What was given.
        name: String,
    },
    /// A prefix that nothing binds at this place.
    #[error("prefix of {name:?} is not bound here; declare its namespace first")]
    UnboundPrefix {
        /// The name as given.
        name: String,
    },
    /// `xmlns` and `xmlns:…` are declarations, not attributes.
    #[error("{name:?} is a namespace declaration; use declare_namespace")]
    NamespaceDeclaration {
        /// The name as given.
        name: String,
    },
    /// A namespace that may not be declared with this prefix.
    #[error("namespace {uri:?} cannot be declared with prefix {prefix:?}")]
    Namespace {
        /// The prefix asked for.
        prefix: String,
        /// The namespace name.
        uri: String,
    },
    /// A character that XML 1.0 cannot hold, not even escaped.
    #[error("character U+{code:04X} of the value for {name:?} cannot be written in XML")]
    Character {
        /// Element or attribute that was to hold it.
        name: String,
        /// Code point.
        code: u32,
    },
    /// Non-ASCII text for a document that declares another encoding than UTF-8.
    #[error("the document declares encoding {declared:?}, so only ASCII can be added; declare UTF-8")]
    Encoding {
        /// The encoding as declared.
        declared: String,
    },
    /// The fragment is not well-formed at this place.
    #[error("fragment is not well-formed")]
    Fragment(#[source] ParseError),
    /// The fragment is not exactly one element.
    #[error("fragment holds {found}; give exactly one element")]
    FragmentShape {
        /// What it holds instead.
        found: &'static str,
    },
    /// The document would outgrow this crate's offsets.
    #[error("the document would grow beyond 4 GiB")]
    TooLarge,
}
