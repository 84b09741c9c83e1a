// SPDX-License-Identifier: Apache-2.0
//! A case: what a hook is given, and what is expected of it.

use super::compare::Loose;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use virt_hooks_contract::Point;

/// A case that is ready to run.
#[derive(Debug)]
pub(super) struct Case {
    /// The package.
    pub(super) package: String,
    /// Its name within the package.
    pub(super) name: String,
    /// Its directory.
    pub(super) dir: PathBuf,
    pub(super) point: Point,
    /// The hook's file name at the point.
    pub(super) file: String,
    pub(super) payload: Vec<u8>,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) device_properties: BTreeMap<String, String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) vm_id: Option<String>,
    pub(super) vm_name: Option<String>,
    /// How long the hook may take.
    pub(super) timeout: Duration,
    /// Commands in the place of the host's: a directory of executables.
    pub(super) commands: Option<PathBuf>,
    /// Whether nothing of the host's is to be found on the `PATH`.
    pub(super) alone: bool,
    /// Whether it is run again on its own output, which must change nothing more.
    pub(super) twice: bool,
    pub(super) expected: Expected,
}

/// What is expected.
#[derive(Debug)]
pub(super) enum Expected {
    /// As an author writes it.
    Own(Own),
    /// As it was recorded of another hook.
    Recorded(Recorded),
}

/// What an author expects.
#[derive(Debug)]
pub(super) struct Own {
    /// The exit code; `None`: the hook is not run at all.
    pub(super) exit: Option<i32>,
    /// A regular expression that is found in standard error.
    pub(super) stderr: Option<regex_lite::Regex>,
    /// The payload; `None`: as it was given.
    pub(super) payload: Option<Vec<u8>>,
    /// The calls of commands, a line each; `None`: they do not count.
    pub(super) calls: Option<String>,
}

/// What was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) exit: i32,
    /// Whether the original failed by accident: then any failure will do.
    pub(super) crash: bool,
    /// Whether the original wrote a payload that cannot be read.
    pub(super) unreadable: bool,
    /// The payloads that are right.
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) stdout: String,
    pub(super) loose: Loose,
    /// What was recorded after a mechanical repair of the original.
    pub(super) repaired: Option<Box<Recorded>>,
    /// Why this hook differs on purpose.
    pub(super) differs: Option<String>,
}

/// A case, or why it is not run.
#[derive(Debug)]
pub(super) enum Loaded {
    Case(Box<Case>),
    Skipped { package: String, name: String, reason: String },
}
