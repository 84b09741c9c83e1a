// SPDX-License-Identifier: Apache-2.0
//! Fires a hook point: discover → environment → payload → chain → verdict.
//!
//! # Theory of operation
//!
//! A driver (an agent, a sidecar, a command) builds an [`Event`] and calls [`Engine::fire`], from any
//! thread, as often at once as it likes; the engine is synchronous, keeps no lock while a hook runs and
//! never panics on anything a hook does. One event goes this way:
//!
//! 1. [discovery](Engine::chain): the executables of the point's directory in every layer, in byte order
//!    of their names, fixed before the first one runs;
//! 2. the environment, built once for all hooks of the event;
//! 3. the payload in a file of its own, in a directory of its own (0700);
//! 4. each hook in turn: run it with a deadline, look whether it touched the file, and check what it
//!    left. A spoilt payload is that hook's failure, and the next hook finds the last good one;
//! 5. the [`Outcome`]: the payload, what each hook did, and the verdict.
//!
//! # Invariants
//!
//! * What no hook changed comes back byte for byte; an untouched payload is not even read.
//! * `fire` always answers: trouble of the engine itself (no run directory, a full disk) is a veto where
//!   the point can veto, and is in [`Outcome::trouble`] everywhere.
//! * Secrets of the payload and of properties are masked in everything that leaves here as text.
#![forbid(unsafe_code)]

mod applied;
mod chain;
mod check;
mod diff;
mod discover;
mod environment;
mod event;
mod file_state;
mod handover;
mod held;
mod host;
mod identity;
mod installed;
mod launch_flags;
mod lock;
pub mod machine;
mod observer;
mod order;
mod outcome;
mod packages;
mod payload;
mod plan;
mod presence;
pub mod properties;
mod secrets;
mod select;
mod settings;
mod told;
mod unheeded;
mod users;
mod watch;

pub use applied::{Applied, AppliedRecords};
pub use chain::Engine;
pub use diff::unified_xml;
pub use discover::{Chain, Hook, SkipReason, Skipped, is_backup};
pub use event::{Check, CustomProperties, Document, Event, PropertyValue, Vm, is_readable};
pub use handover::{Handover, OBSERVE, Teller, record_path, records_dir};
pub use host::{Host, HostError, Layers, Overrides};
pub use launch_flags::{FlagsError, LaunchFlags};
pub use lock::{LockError, VmLock, hooks_lock, sweep_locks, taken_locks, unplug_lock};
pub use machine::{CustomDevice, Machine, MachineError};
pub use observer::{Observer, Silent};
pub use order::find_cycle;
pub use outcome::{Ending, HookError, Outcome, Run, Trouble};
pub use packages::{Described, MANIFEST, Package, Packages};
pub use payload::{check_payload, make_run_dir};
pub use plan::{Plan, PlannedHook};
pub use presence::{Presence, PresenceError, agent_of, agent_watching};
pub use properties::{NAMESPACE, PREFIX};
pub use settings::{Settings, SettingsError};
pub use unheeded::Unheeded;
pub use watch::{Quiet, Watch};

/// The book's chapter for agents is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/book/src/embedding.md")]
struct Embedding;
