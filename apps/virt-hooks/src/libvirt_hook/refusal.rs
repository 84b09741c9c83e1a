// SPDX-License-Identifier: Apache-2.0
//! Why a call is answered with a failure.

use std::time::Duration;
use virt_hooks_engine::{HostError, LockError, MachineError};

/// Why a call is answered with a failure, in one line, which libvirt shows to whoever asked it for something.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Host(#[from] HostError),
    #[error("{doing}: {source}")]
    System { doing: &'static str, source: std::io::Error },
    #[error("{object}: {source}")]
    Xml { object: String, source: MachineError },
    #[error("{0}")]
    Lock(#[from] LockError),
    #[error("{operation} {object}: vetoed at {point}: Hook Error: {text}")]
    Veto { operation: &'static str, object: String, point: String, text: String },
    #[error(
        "{operation} {object}: {point}: its hooks did not end within {length:?}: see {key} of [libvirt_hook] in config.toml"
    )]
    Late { operation: &'static str, object: String, point: String, length: Duration, key: &'static str },
    #[error(
        "start {0}: its hooks change its XML, which libvirt does not take from a hook script, and config.toml says \
         require_agent: start it with \"virt-hooks vm start {0}\", or write the changes into its definition with \
         \"virt-hooks vm apply {0}\""
    )]
    Unheeded(String),
}
