// SPDX-License-Identifier: Apache-2.0
//! Domain XML that keeps every byte it was not asked to change.
//!
//! Hooks edit the XML of a virtual machine one after another, and somebody reads the difference.
//! So a [`Document`] is its source text: comments, CDATA, prefixes, order and quotes of
//! attributes, white space, line ends and byte order mark stay as they are. An edit replaces the
//! bytes it is about; there is no serialiser that could lose anything.
//!
//! # How it works
//! [`roxmltree`] parses the text once, judges it, and tells where the elements stand. The
//! document keeps those offsets and moves them with each edit, so an [`Element`] can be read and
//! edited at once after it was put in, without another parse; only a fragment that is put in is
//! parsed. Names, attributes and text are read from the source when asked for.
//!
//! An edit costs time in proportion to the document: some microseconds at the usual 10 KiB.
//!
//! # Examples
//! ```
//! use virt_hooks_domxml::Document;
//! let source = "<domain type='kvm'>\n  <name>web</name> <!-- ours -->\n  <devices/>\n</domain>\n";
//! let mut domain = Document::parse(source)?;
//! let devices = domain.ensure("devices")?;
//! let interface = domain.append(devices, "<interface type='network'/>")?;
//! domain.set_attribute(interface, "type", "bridge")?;
//! assert_eq!(
//!     domain.as_str(),
//!     "<domain type='kvm'>\n  <name>web</name> <!-- ours -->\n  \
//!      <devices>\n    <interface type='bridge'/>\n  </devices>\n</domain>\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod compare;
mod devices;
mod document;
mod edit;
mod error;
mod escape;
mod fragment;
mod layout;
mod parse;
pub mod secrets;
mod tag;
mod tree;

pub use compare::{Difference, compare};
pub use devices::{OVIRT_VM_NAMESPACE, QEMU_NAMESPACE};
pub use document::{Document, Element};
pub use error::{EditError, ParseError};
pub use fragment::{Fragment, NewElement};
pub use parse::{Shape, check};
