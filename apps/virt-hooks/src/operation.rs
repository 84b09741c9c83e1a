// SPDX-License-Identifier: Apache-2.0
//! The record of an operation on a VM or a host, as programs read it.

use crate::cli::Place;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::streams::Streams;
use serde::Serialize;
use virt_hooks_contract::Report;

/// One operation on a VM or a host.
#[derive(Debug, Serialize)]
pub struct Operation {
    /// The verb, such as `start` or `nic-plug`.
    pub verb: &'static str,
    /// `done`, `vetoed` or `failed`.
    pub result: &'static str,
    /// Name of the VM, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_name: Option<String>,
    /// UUID of the VM, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_id: Option<String>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its events, in order.
    pub events: Vec<Report>,
}

/// Where the record goes; seen to before anything is done.
pub struct Destined(Option<Destination>);

impl Destined {
    /// Sees that the record can be written there; `None`: nowhere.
    ///
    /// # Errors
    /// It cannot.
    pub fn prepare(place: Option<&Place>) -> Result<Self, Failure> {
        Ok(Self(place.map(|place| Destination::prepare("report", place)).transpose()?))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, operation: &Operation, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let Some(destination) = &self.0 else { return Ok(()) };
        let mut json = serde_json::to_vec_pretty(operation)
            .map_err(|e| Failure::unusable(format!("write the report: {e}")))?;
        json.push(b'\n');
        destination.write(&json, streams)
    }
}
