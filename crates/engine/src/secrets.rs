// SPDX-License-Identifier: Apache-2.0
//! Secrets of one event, kept out of everything that leaves the engine as text.

use crate::event::{Document, Event};
use crate::settings::Settings;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use virt_hooks_contract::env;
use virt_hooks_domxml::secrets as scan;

/// What takes the place of a secret.
pub(crate) const MASK: &str = "***";

/// Values that must not show. A value of fewer than four bytes would blank half of any text, and hides nothing.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    properties: Vec<Vec<u8>>,
    payloads: Vec<Document>,
    /// All values, looked for when there is a text to mask: most hooks say nothing and most differences are
    /// never asked for, but looking means reading all of the payloads.
    values: OnceLock<Vec<Vec<u8>>>,
}

impl Secrets {
    /// The secret custom properties of an event.
    pub(crate) fn of(event: &Event<'_>, settings: &Settings, declared: &BTreeSet<String>) -> Self {
        let properties = event
            .vm
            .iter()
            .flat_map(|vm| vm.properties.iter())
            .chain(event.parameters.iter().flat_map(|p| p.iter()))
            .filter(|(name, value)| value.len() >= 4 && is_secret(name, settings, declared))
            .flat_map(|(_, value)| spellings(value))
            .collect();
        Self { properties, ..Self::default() }
    }

    /// Adds the secrets a payload holds.
    pub(crate) fn learn(&mut self, payload: &Document) {
        self.payloads.push(payload.clone());
        self.values = OnceLock::new();
    }

    /// All values.
    pub(crate) fn values(&self) -> &[Vec<u8>] {
        self.values.get_or_init(|| {
            let mut values = self.properties.clone();
            for value in self.payloads.iter().flat_map(|p| scan::secret_values(p.bytes())) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            values
        })
    }

    /// Whether two payloads hold different secrets.
    pub(crate) fn differ(&self, before: &[u8], after: &[u8]) -> bool {
        scan::secret_values(before) != scan::secret_values(after)
            || self.values().iter().any(|v| contains(before, v) != contains(after, v))
    }

    /// The text without secrets: neither known values nor anything that is written like one.
    pub(crate) fn mask(&self, text: &[u8]) -> String {
        let by_value = scan::mask_values(text, self.values());
        String::from_utf8_lossy(&scan::mask(&by_value)).into_owned()
    }
}

/// A value as it is, and as XML and JSON write it: a driver keeps properties in the VM's metadata.
fn spellings(value: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![value.to_vec()];
    if let Ok(text) = std::str::from_utf8(value) {
        let least = text.replace('&', "&amp;").replace('<', "&lt;");
        let usual = least.replace('>', "&gt;");
        let quoted = usual.replace('"', "&quot;");
        let all_quoted = quoted.replace('\'', "&apos;");
        let json = serde_json::to_string(text).unwrap_or_default();
        let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
        all.extend([least, usual, quoted, all_quoted, json].map(String::into_bytes));
        all.sort_unstable();
        all.dedup();
    }
    all
}

fn contains(text: &[u8], value: &[u8]) -> bool {
    !value.is_empty() && text.windows(value.len()).any(|w| w == value)
}

/// Nothing of them.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Whether the value of this property is a secret: by its name, by a package that declares it one, or by the host.
pub(crate) fn is_secret(name: &[u8], settings: &Settings, declared: &BTreeSet<String>) -> bool {
    let name = String::from_utf8_lossy(name);
    env::names_a_secret(&name)
        || declared.contains(&*name)
        || settings.secret_properties.iter().any(|s| *s == name)
}
