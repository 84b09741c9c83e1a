// SPDX-License-Identifier: Apache-2.0
//! The document a hook may read and change.

use crate::json_style;
use crate::store::Store;
use serde_json::Value;
use std::ops::{Deref, DerefMut};
use virt_hooks_domxml::{Document, ParseError};

/// What can go wrong with a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The hook point has no payload of this kind.
    #[error("this hook point has no payload of this kind ({variable} is not set)")]
    Missing {
        /// Environment variable that would name it.
        variable: &'static str,
    },
    /// The payload file cannot be read.
    #[error("read payload {name}")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The payload cannot be written back. It has its old content.
    #[error("write payload {name}")]
    Write {
        /// The file.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The payload is not XML.
    #[error("payload {name} is not XML")]
    Xml {
        /// The file.
        name: String,
        /// Where and why.
        source: ParseError,
    },
    /// The payload is not JSON.
    #[error("payload {name} is not JSON")]
    Json {
        /// The file.
        name: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

pub(crate) fn read(store: &Store) -> Result<Vec<u8>, PayloadError> {
    store.read().map_err(|source| PayloadError::Read { name: store.name(), source })
}

pub(crate) fn write(store: &Store, bytes: &[u8]) -> Result<(), PayloadError> {
    store.write(bytes).map_err(|source| PayloadError::Write { name: store.name(), source })
}

/// The XML payload: a [`Document`] that can be [saved](Xml::save).
///
/// Nothing is written until then, and nothing at all if no byte was changed.
#[derive(Debug)]
pub struct Xml {
    document: Document,
    store: Store,
}

/// The payload of a VM's hook point.
pub type Domain = Xml;

/// The payload of a device's hook point; its root is the device.
pub type Device = Xml;

impl Xml {
    pub(crate) fn open(store: &Store) -> Result<Self, PayloadError> {
        let document = Document::parse(read(store)?)
            .map_err(|source| PayloadError::Xml { name: store.name(), source })?;
        Ok(Self { document, store: store.clone() })
    }

    /// Writes the document back if it was changed.
    ///
    /// # Errors
    /// [`PayloadError::Write`]; the payload then has its old content.
    pub fn save(self) -> Result<(), PayloadError> {
        if self.document.is_changed() { write(&self.store, self.document.as_bytes()) } else { Ok(()) }
    }
}

impl Deref for Xml {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.document
    }
}

impl DerefMut for Xml {
    fn deref_mut(&mut self) -> &mut Document {
        &mut self.document
    }
}

/// The JSON payload: a [`Value`] that can be [saved](Json::save). Keys keep their order.
///
/// Nothing is written until then, and nothing at all if the value was not borrowed to be changed
/// or came out the same. Written as VDSM writes it: one line, `, ` and `: `, ASCII only.
#[derive(Debug)]
pub struct Json {
    value: Value,
    touched: bool,
    original: Vec<u8>,
    store: Store,
}

impl Json {
    pub(crate) fn open(store: &Store) -> Result<Self, PayloadError> {
        let original = read(store)?;
        let value = serde_json::from_slice(&original)
            .map_err(|source| PayloadError::Json { name: store.name(), source })?;
        Ok(Self { value, touched: false, original, store: store.clone() })
    }

    /// Writes the value back if it was changed.
    ///
    /// # Errors
    /// [`PayloadError::Write`]; the payload then has its old content.
    pub fn save(self) -> Result<(), PayloadError> {
        if !self.touched {
            return Ok(());
        }
        let text = json_style::to_text(&self.value);
        if text.as_bytes() == self.original { Ok(()) } else { write(&self.store, text.as_bytes()) }
    }
}

impl Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl DerefMut for Json {
    fn deref_mut(&mut self) -> &mut Value {
        self.touched = true;
        &mut self.value
    }
}
