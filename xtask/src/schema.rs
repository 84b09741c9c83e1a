// SPDX-License-Identifier: Apache-2.0
//! The schemas of the report, `virt-hooks fire --report`, of the manifest, `hook.toml`, and of the configuration.

use crate::error::Error;
use schemars::{JsonSchema, schema_for};
use virt_hooks_contract::{Config, Manifest, Report};

/// JSON Schema of the report, with a line feed at its end.
///
/// # Errors
/// It cannot be written as JSON.
pub fn report() -> Result<String, Error> {
    of::<Report>()
}

/// JSON Schema of `hook.toml`, with a line feed at its end: editors complete keys and show what they mean.
///
/// # Errors
/// As [`report`].
pub fn manifest() -> Result<String, Error> {
    of::<Manifest>()
}

/// JSON Schema of `config.toml`, with a line feed at its end.
///
/// # Errors
/// As [`report`].
pub fn config() -> Result<String, Error> {
    of::<Config>()
}

fn of<T: JsonSchema>() -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(&schema_for!(T))?;
    text.push('\n');
    Ok(text)
}
