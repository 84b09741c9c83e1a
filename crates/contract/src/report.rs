// SPDX-License-Identifier: Apache-2.0
//! The record of an event, as programs read it.

use serde::{Deserialize, Serialize};

/// What a chain decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The operation may happen. Hooks of an advisory point may have failed.
    Proceed,
    /// The operation must not happen.
    Veto,
}

/// One event: which hooks ran, how each ended, what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The hook point.
    pub point: String,
    /// Identity of the event, as hooks saw it in `_hook_event_id`. Empty where no hook is installed.
    pub event_id: String,
    /// When it was fired: UTC, as RFC 3339 writes it.
    pub time: String,
    /// What the chain decided.
    pub verdict: Verdict,
    /// Whether the payload differs from the one given.
    pub changed: bool,
    /// UUID of the VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_id: Option<String>,
    /// Name of the VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_name: Option<String>,
    /// The chain from start to verdict, in milliseconds.
    pub duration_ms: f64,
    /// The hooks that ran, in order.
    pub runs: Vec<RunRecord>,
    /// Hooks that would have run, had not one before them stopped the chain.
    pub not_run: Vec<String>,
    /// Files in the point's directories that are not run, and why.
    pub skipped: Vec<SkippedRecord>,
    /// What was dropped or odd, in one line each: properties not passed on, unsafe permissions.
    pub warnings: Vec<String>,
    /// Every failure in one text, as clients show it; empty where no hook failed.
    pub error: String,
}

/// One hook of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunRecord {
    /// The executable.
    pub path: String,
    /// Its exit code; null where a signal ended it or it could not be started.
    pub exit_code: Option<i32>,
    /// The signal that ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// Whether it was ended because its deadline had passed.
    pub timed_out: bool,
    /// From start to end, in milliseconds.
    pub duration_ms: f64,
    /// What it wrote to standard error: head and tail, secrets masked.
    pub stderr: String,
    /// Whether it changed the payload.
    pub changed: bool,
    /// SHA-256 of the payload before and after it, in hexadecimal; only where it changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<[String; 2]>,
    /// Whether it counts as failed.
    pub failed: bool,
    /// What the engine found wrong, where the exit code does not say it: not started, out of time, payload spoilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Whether it left a process behind that holds its output open.
    pub left_background: bool,
    /// What it changed, as a unified diff with secrets masked; only where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// A file that is not run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SkippedRecord {
    /// The file.
    pub path: String,
    /// Why it is not run.
    pub reason: String,
}
