// SPDX-License-Identifier: Apache-2.0
//! What an agent is asked over its socket, and what it answers: the types behind `io.virthooks.Agent.varlink`.
//!
//! The protocol is varlink (<https://varlink.org>), one of those `systemd` itself speaks: JSON objects with a NUL
//! after each, over a Unix socket. Unlike JSON-RPC 2.0 it has a form for answers that come in parts, which
//! progress is, and for asking a service what it can do; `varlinkctl` and other clients exist, and a shell can
//! do without:
//!
//! ```sh
//! varlinkctl call --more /run/virt-hooks/agent.sock io.virthooks.Agent.Pause '{"vm":"web1"}'
//! printf '{"method":"io.virthooks.Agent.Pause","parameters":{"vm":"web1"}}\0' |
//!     nc -N -U /run/virt-hooks/agent.sock
//! ```

use crate::devices::{Graphics, Ticket, WhenConnected};
use crate::telling::Progress;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use virt_hooks_contract::Report;

/// The name of the interface.
pub const INTERFACE: &str = "io.virthooks.Agent";
/// Its description, as `varlinkctl introspect` shows it.
pub const DESCRIPTION: &str = include_str!("io.virthooks.Agent.varlink");

/// A call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Interface and method.
    pub method: String,
    /// What the method takes.
    #[serde(default)]
    pub parameters: Value,
    /// Whether answers may come in parts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Whether no answer is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oneway: bool,
}

/// An answer, or a part of one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// What there is to say.
    #[serde(default)]
    pub parameters: Value,
    /// Whether more follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
    /// The error, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The parameters of all operations and questions; each takes those that are about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The VM, by name or UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
    /// XML: of a domain, in place of a stored VM; of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xml: Option<String>,
    /// The file of a saved VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Custom properties, of the VM, of a device, or of a call; null removes one, where that is possible.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Option<String>>,
    /// A device: its alias; where it is to be unplugged or changed its MAC address or target will do too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Start with processors standing still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The deadline of each hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long a guest may take to shut down, or to let go of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// How much longer to wait for a device once that counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Whether the link of an interface is to be up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_up: Option<bool>,
    /// The bridge an interface is to be part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The network an interface is to be part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The number of CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// A console's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// The kind of console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphics: Option<Graphics>,
    /// How long the password is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_ms: Option<u64>,
    /// What becomes of a client that is connected to the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<WhenConnected>,
    /// Whether what hooks made of a definition is taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// Whether the definition stays as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Over which time loads and rates are averaged; without a wait where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// Whether records hold what each hook changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub diff: bool,
    /// The libvirt of the host that a VM is to go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Where its memory goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate_uri: Option<String>,
    /// Where the contents of its disks go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks_uri: Option<String>,
    /// The socket of the agent of that host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_agent: Option<PathBuf>,
    /// Whether the contents of disks go along.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copy_storage: bool,
    /// How often a busy host is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// After which time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_wait_ms: Option<u64>,
    /// How long the transfer may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ms: Option<u64>,
    /// Which attempt this is, from 1, at a host that was busy before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// A name for this call, by which another can cancel it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// What comes of an operation: parts with progress, then one with the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// How it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The VM's name, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The VM's UUID, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What was changed: `interface net1`, `2 CPUs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Whether it happened when it counted as failed already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// What did not go as it should, though the change was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether a stored definition is another now, or would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// What changed in it, as a unified diff with secrets masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_diff: Option<String>,
    /// The document that answers a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
    /// The records of all events, at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Report>,
}

/// Why an operation did not happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// One line, with the hooks' own words where they vetoed.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The records of the events until then.
    #[serde(default)]
    pub events: Vec<Report>,
}

/// The names of the errors, after the interface's.
pub mod error {
    /// A hook vetoed.
    pub const VETOED: &str = "Vetoed";
    /// libvirt refused.
    pub const REFUSED: &str = "Refused";
    /// It may go better later.
    pub const BUSY: &str = "Busy";
    /// What was given or found cannot be used.
    pub const FAILED: &str = "Failed";
}
