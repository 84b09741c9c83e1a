// SPDX-License-Identifier: Apache-2.0
//! From a VM of oVirt to annotations of a KubeVirt VM, and what becomes of its hooks.
//!
//! [`read`] takes what oVirt says of a VM in any of three forms: the REST API's JSON, an OVF, or the domain XML of a
//! running VM with oVirt's metadata. [`convert`] puts each custom property into an annotation that the driver for
//! KubeVirt understands, and asks the manifests of hook packages which hooks read it and whether they can be used in a
//! cluster. Nothing is left out in silence: what cannot be carried over is in the report, with the reason.

mod annotation;
mod domain;
mod error;
mod json;
mod known;
mod ovf;
mod report;
#[cfg(test)]
mod tests;

pub use annotation::{DEVICE_PREFIX, VM_PREFIX};
pub use error::ConvertError;
pub use report::{Conversion, HookReport, Options, PropertyReport, Verdict, convert};

/// The largest input, in bytes: a hundred times what a VM with many devices has.
pub const LARGEST_INPUT: usize = 4 << 20;

/// A VM as oVirt describes it, as far as hooks are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Which kind of description it was read from.
    pub source: Source,
    /// The VM's name.
    pub name: Option<String>,
    /// Custom properties of the VM.
    pub properties: Vec<(String, String)>,
    /// Its devices that have custom properties.
    pub devices: Vec<Device>,
    /// What is not known for sure, in a line each.
    pub remarks: Vec<String>,
}

/// A device with custom properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its name in oVirt, or one made of its place.
    pub name: String,
    /// Its MAC address, where it is a NIC.
    pub mac: Option<String>,
    /// Its custom properties.
    pub properties: Vec<(String, String)>,
}

/// A kind of description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Source {
    /// A VM of oVirt's REST API.
    #[default]
    #[serde(rename = "ovirt-json")]
    Json,
    /// An OVF of oVirt.
    #[serde(rename = "ovf")]
    Ovf,
    /// A domain XML with oVirt's metadata.
    #[serde(rename = "domain-xml")]
    Domain,
}

impl Source {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Json => "a VM of oVirt's REST API",
            Self::Ovf => "an OVF",
            Self::Domain => "a domain XML",
        }
    }
}

/// Reads a VM, whichever of the three kinds `bytes` are. `file` only names them in errors.
///
/// # Errors
/// They are none of them, larger than [`LARGEST_INPUT`], or have a mistake in them: one line, with the place.
pub fn read(file: &str, bytes: &[u8]) -> Result<Machine, ConvertError> {
    if bytes.len() > LARGEST_INPUT {
        return Err(ConvertError::TooLarge { file: file.to_owned(), limit: LARGEST_INPUT >> 20 });
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match text.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{' | b'[') => json::read(file, text),
        Some(b'<') => read_xml(file, bytes),
        None => Err(ConvertError::kind(file, "it is empty")),
        Some(_) if text.get(257..262) == Some(b"ustar") => {
            Err(ConvertError::kind(file, "it is a tar archive, as an OVA is: take the .ovf out of it"))
        }
        Some(_) => Err(ConvertError::kind(file, "it is neither JSON nor XML")),
    }
}

fn read_xml(file: &str, bytes: &[u8]) -> Result<Machine, ConvertError> {
    let doc = virt_hooks_domxml::Document::parse(bytes)
        .map_err(|source| ConvertError::Xml { file: file.to_owned(), source })?;
    match doc.local_name(doc.root()) {
        "domain" => Ok(domain::read(&doc)),
        "Envelope" => ovf::read(file, &doc),
        "vm" | "vms" => Err(ConvertError::kind(
            file,
            "it is XML of the REST API: ask for it with \"Accept: application/json\"",
        )),
        other => Err(ConvertError::kind(file, &format!("its root element is <{other}>"))),
    }
}
