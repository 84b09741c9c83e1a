// SPDX-License-Identifier: Apache-2.0
//! The payload as it is given on a command line.

use crate::cli::{Place, Property, custom_properties};
use crate::failure::Failure;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use virt_hooks_contract::PayloadKind;
use virt_hooks_domxml::Document;
use virt_hooks_engine::{Document as Given, Vm, check_payload};

/// A payload and what it says of its VM.
#[derive(Debug, Default)]
pub struct Payload {
    /// The bytes.
    pub bytes: Given,
    /// UUID of the domain, where it is one that has one.
    pub vm_id: Option<String>,
    /// Name of the domain.
    pub vm_name: Option<String>,
}

impl Payload {
    /// The VM it is about, with these custom properties.
    pub(crate) fn vm(&self, properties: &[Property]) -> Vm {
        Vm {
            id: self.vm_id.clone().unwrap_or_default(),
            name: self.vm_name.clone(),
            properties: custom_properties(properties),
        }
    }
}

/// Reads a payload and, with `check`, sees that it is a document of its kind.
///
/// # Errors
/// It cannot be read, is larger than `limit` bytes, or is not such a document.
pub fn read(
    place: &Place,
    input: &mut dyn Read,
    limit: u64,
    kind: PayloadKind,
    check: bool,
) -> Result<Payload, Failure> {
    let name = match place {
        Place::Standard => Cow::Borrowed("standard input"),
        Place::File(path) => path.to_string_lossy(),
    };
    let mut bytes = Vec::new();
    let size = match place {
        Place::Standard => input.take(limit.saturating_add(1)).read_to_end(&mut bytes),
        Place::File(path) => {
            File::open(path).and_then(|f| f.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        }
    }
    .map_err(|e| Failure::unusable(format!("read the payload from {name}: {e}")))?;
    if size as u64 > limit {
        return Err(Failure::unusable(format!(
            "payload {name}: larger than the limit of {limit} bytes (payload_limit)"
        )));
    }
    if check && bytes.is_empty() && kind != PayloadKind::None {
        return Err(Failure::unusable(format!("payload {name}: empty, where {} is due", due(kind))));
    }
    // One parse both checks and tells the VM.
    if kind == PayloadKind::Xml
        && let Ok(document) = Document::parse(bytes.as_slice())
    {
        let (vm_id, vm_name) = identity(&document);
        return Ok(Payload { bytes: bytes.into(), vm_id, vm_name });
    }
    if check {
        check_payload(kind, &bytes).map_err(|e| Failure::unusable(format!("payload {name}: {e}")))?;
    }
    Ok(Payload { bytes: bytes.into(), ..Payload::default() })
}

fn due(kind: PayloadKind) -> &'static str {
    match kind {
        PayloadKind::Xml => "XML",
        PayloadKind::Json => "JSON",
        PayloadKind::None => "nothing",
    }
}

fn identity(document: &Document) -> (Option<String>, Option<String>) {
    let root = document.root();
    if document.name(root) != "domain" {
        return (None, None);
    }
    let text = |name| {
        let text = document.text(document.child(root, name)?);
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    };
    (text("uuid").filter(|id| id.parse::<crate::cli::Uuid>().is_ok()), text("name"))
}
