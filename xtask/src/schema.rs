// SPDX-License-Identifier: Apache-2.0
//! The schema of the report, `virt-hooks fire --report`.

use crate::error::Error;
use virt_hooks_contract::Report;

/// JSON Schema of the report, with a line feed at its end.
///
/// # Errors
/// It cannot be written as JSON.
pub fn report() -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Report))?;
    text.push('\n');
    Ok(text)
}
