// SPDX-License-Identifier: Apache-2.0
//! The record of an operation on a VM, as programs read it.

use serde::Serialize;
use virt_hooks::cli::Place;
use virt_hooks::destination::Destination;
use virt_hooks::{Failure, Streams};
use virt_hooks_contract::Report;

/// One operation on a VM.
#[derive(Debug, Serialize)]
pub(crate) struct Operation {
    /// The verb, such as `start` or `nic-plug`.
    pub(crate) verb: &'static str,
    /// `done`, `vetoed` or `failed`.
    pub(crate) result: &'static str,
    /// Name of the VM, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vm_name: Option<String>,
    /// UUID of the VM, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vm_id: Option<String>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Its events, in order.
    pub(crate) events: Vec<Report>,
}

/// Where the record goes; seen to before anything is done.
pub(crate) struct Destined(Option<Destination>);

impl Destined {
    pub(crate) fn prepare(place: Option<&Place>) -> Result<Self, Failure> {
        Ok(Self(place.map(|place| Destination::prepare("report", place)).transpose()?))
    }

    pub(crate) fn write(&self, operation: &Operation, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let Some(destination) = &self.0 else { return Ok(()) };
        let mut json = serde_json::to_vec_pretty(operation)
            .map_err(|e| Failure::unusable(format!("write the report: {e}")))?;
        json.push(b'\n');
        destination.write(&json, streams)
    }
}
