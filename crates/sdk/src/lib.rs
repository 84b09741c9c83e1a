// SPDX-License-Identifier: Apache-2.0
//! For authors of hooks in Rust: what a hook's `main` needs, and nothing else.
//!
//! A hook is a function of a [`Context`]; [`run`] makes a program of it, [`Context::for_test`] a
//! unit test without any process. It fails with `?` or with [`Failure`], which says whether the
//! hooks after it still run. Nothing is opened before the hook asks for it, and no payload is
//! written that was not changed.
//!
//! The programs run under VDSM too: payload files, custom properties in the environment, exit
//! codes and launch flags are VDSM's.
//!
//! # Examples
//! ```
//! use virt_hooks_sdk::{Context, Failure};
//!
//! /// Takes the sound card from VMs that have the property `quiet`.
//! fn quiet(hook: &mut Context) -> Result<(), Failure> {
//!     if !hook.flag("quiet")? {
//!         return Ok(());
//!     }
//!     let mut domain = hook.domain()?;
//!     for sound in domain.devices("sound") {
//!         domain.remove(sound)?;
//!         hook.log("removed a sound card");
//!     }
//!     Ok(domain.save()?)
//! }
//!
//! // In a program: fn main() -> std::process::ExitCode { virt_hooks_sdk::run(quiet) }
//! let domain = "<domain>\n  <devices>\n    <sound model='ich9'/>\n  </devices>\n</domain>";
//! let mut hook = Context::for_test().with_env("quiet", "true").with_xml(domain);
//! quiet(&mut hook)?;
//! assert_eq!(hook.xml_text(), "<domain>\n  <devices>\n  </devices>\n</domain>");
//! assert_eq!(hook.logged(), ["removed a sound card"]);
//! # Ok::<(), Failure>(())
//! ```
#![forbid(unsafe_code)]

mod command;
mod context;
mod failure;
mod host;
mod json_style;
mod launch_flags;
mod literal;
mod payload;
mod property;
mod store;
mod vdsm_conf;

pub use command::{Captured, Command, CommandError, Output};
pub use context::{Context, run};
pub use failure::Failure;
pub use host::Host;
pub use launch_flags::LaunchFlagsError;
pub use literal::{Literal, LiteralError, Mapping};
pub use payload::{Device, Domain, Json, PayloadError, Xml};
pub use property::{PropertyError, is_true};
pub use serde_json;
pub use vdsm_conf::VdsmConf;
pub use virt_hooks_domxml::{
    Document, EditError, Element, Fragment, NewElement, OVIRT_VM_NAMESPACE, ParseError, QEMU_NAMESPACE,
};

/// The page for authors is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/book/src/hook-in-rust.md")]
struct HookInRust;
