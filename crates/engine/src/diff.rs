// SPDX-License-Identifier: Apache-2.0
//! What a hook changed, for people.

use crate::outcome::Change;
use similar::TextDiff;
use std::time::Duration;
use virt_hooks_contract::PayloadKind;

/// A unified diff of the payload before and after a hook, secrets masked.
pub(crate) fn unified(change: &Change) -> String {
    let text = |bytes: &[u8]| {
        // A one-line JSON document would be one changed line.
        let pretty = (change.kind == PayloadKind::Json)
            .then(|| serde_json::from_slice::<serde_json::Value>(bytes).ok())
            .flatten()
            .and_then(|v| serde_json::to_vec_pretty(&v).ok());
        change.secrets.mask(pretty.as_deref().unwrap_or(bytes))
    };
    let (before, after) = (text(change.before.bytes()), text(change.after.bytes()));
    if before == after {
        return "(only secrets changed)\n".to_owned();
    }
    // A diff of two unlike documents of megabytes would take minutes to be minimal.
    let mut config = TextDiff::configure();
    config.timeout(Duration::from_secs(2));
    config.diff_lines(&before, &after).unified_diff().context_radius(2).header("before", "after").to_string()
}
