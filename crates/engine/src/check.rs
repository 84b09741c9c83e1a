// SPDX-License-Identifier: Apache-2.0
//! Whether what a hook left can be used.

use virt_hooks_contract::PayloadKind;

/// What is wrong with a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// XML was due.
    #[error("not a well-formed XML document: {0}")]
    Xml(String),
    /// JSON was due.
    #[error("not a JSON document: {0}")]
    Json(String),
    /// No data where some is due.
    #[error("empty")]
    Empty,
    /// Another root element than before.
    #[error("another root element: <{after}> in place of <{before}>")]
    Root {
        /// As it was.
        before: String,
        /// As it is.
        after: String,
    },
    /// Another UUID than before.
    #[error("another UUID: {} in place of {before}", after.as_deref().unwrap_or("none"))]
    Uuid {
        /// As it was.
        before: String,
        /// As it is.
        after: Option<String>,
    },
    /// Another type at the top of the JSON document than before.
    #[error("another top level: {after} in place of {before}")]
    TopLevel {
        /// As it was.
        before: &'static str,
        /// As it is.
        after: &'static str,
    },
}

/// What must stay as it is in the original payload.
#[derive(Clone, Debug)]
pub(crate) enum Original {
    /// There is nothing to compare with: no data, or not of the kind.
    Nothing,
    Xml(Shape),
    Json(&'static str),
}

/// What an XML payload is.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    root: String,
    uuid: Option<String>,
}

impl Original {
    pub(crate) fn of(kind: PayloadKind, bytes: &[u8]) -> Self {
        match kind {
            PayloadKind::Xml => xml(bytes).map_or(Self::Nothing, Self::Xml),
            PayloadKind::Json => json(bytes).map_or(Self::Nothing, Self::Json),
            PayloadKind::None => Self::Nothing,
        }
    }

    /// Checks what a hook left.
    pub(crate) fn accepts(&self, kind: PayloadKind, same_uuid: bool, bytes: &[u8]) -> Result<(), Unusable> {
        match kind {
            PayloadKind::Xml => {
                let after = xml(bytes)?;
                let Self::Xml(before) = self else { return Ok(()) };
                if before.root != after.root {
                    return Err(Unusable::Root { before: before.root.clone(), after: after.root });
                }
                match &before.uuid {
                    Some(uuid) if same_uuid && !same(Some(uuid), after.uuid.as_deref()) => {
                        Err(Unusable::Uuid { before: uuid.clone(), after: after.uuid })
                    }
                    _ => Ok(()),
                }
            }
            PayloadKind::Json => {
                let after = json(bytes)?;
                match self {
                    Self::Json(before) if *before != after => Err(Unusable::TopLevel { before, after }),
                    _ => Ok(()),
                }
            }
            // Nobody reads it.
            PayloadKind::None => Ok(()),
        }
    }
}

/// UUIDs compare as libvirt reads them: in any letter case, with or without dashes.
fn same(a: Option<&str>, b: Option<&str>) -> bool {
    let plain = |u: &str| u.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect::<String>();
    a.map(plain) == b.map(plain)
}

fn xml(bytes: &[u8]) -> Result<Shape, Unusable> {
    if bytes.is_empty() {
        return Err(Unusable::Empty);
    }
    let shape = virt_hooks_domxml::check(bytes).map_err(|e| Unusable::Xml(e.to_string()))?;
    Ok(Shape { root: shape.qualified_root.to_owned(), uuid: shape.uuid })
}

/// Checks that the bytes are one JSON document, without building it, and names its top level.
fn json(bytes: &[u8]) -> Result<&'static str, Unusable> {
    if bytes.is_empty() {
        return Err(Unusable::Empty);
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|e| Unusable::Json(e.to_string()))?;
    // Strings inside are passed over unread: see that they are text.
    if let Err(e) = std::str::from_utf8(bytes) {
        return Err(Unusable::Json(format!("not UTF-8 from byte {}", e.valid_up_to())));
    }
    Ok(match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    })
}

/// Checks a payload before an event is made of it.
///
/// # Errors
/// It is not a document of the kind.
pub(crate) fn usable(kind: PayloadKind, bytes: &[u8]) -> Result<(), Unusable> {
    match kind {
        PayloadKind::Xml => xml(bytes).map(drop),
        PayloadKind::Json => json(bytes).map(drop),
        PayloadKind::None => Ok(()),
    }
}
