// SPDX-License-Identifier: Apache-2.0
//! Secrets of one event, kept out of everything that leaves the engine as text.

use crate::event::Event;
use crate::settings::Settings;
use virt_hooks_contract::env;
use virt_hooks_domxml::secrets as scan;

/// What takes the place of a secret.
pub(crate) const MASK: &str = "***";

/// Values that must not show. A value of fewer than four bytes would blank half of any text, and hides nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    values: Vec<Vec<u8>>,
}

impl Secrets {
    /// The secret custom properties of an event.
    pub(crate) fn of(event: &Event<'_>, settings: &Settings) -> Self {
        let values = event
            .vm
            .iter()
            .flat_map(|vm| vm.properties.iter())
            .chain(event.parameters.iter().flat_map(|p| p.iter()))
            .filter(|(name, value)| value.len() >= 4 && is_secret(name, settings))
            .map(|(_, value)| value.to_vec())
            .collect();
        Self { values }
    }

    /// Adds the secrets a payload holds.
    pub(crate) fn learn(&mut self, payload: &[u8]) {
        for value in scan::secret_values(payload) {
            if !self.values.contains(&value) {
                self.values.push(value);
            }
        }
    }

    /// Whether two payloads hold different secrets.
    pub(crate) fn differ(&self, before: &[u8], after: &[u8]) -> bool {
        scan::secret_values(before) != scan::secret_values(after)
            || self.values.iter().any(|v| contains(before, v) != contains(after, v))
    }

    /// The text without secrets: neither known values nor anything that is written like one.
    pub(crate) fn mask(&self, text: &[u8]) -> String {
        let by_value = scan::mask_values(text, &self.values);
        String::from_utf8_lossy(&scan::mask(&by_value)).into_owned()
    }
}

fn contains(text: &[u8], value: &[u8]) -> bool {
    !value.is_empty() && text.windows(value.len()).any(|w| w == value)
}

/// Whether the value of this property is a secret.
pub(crate) fn is_secret(name: &[u8], settings: &Settings) -> bool {
    let name = String::from_utf8_lossy(name);
    env::names_a_secret(&name) || settings.secret_properties.iter().any(|s| *s == name)
}
