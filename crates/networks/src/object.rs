// SPDX-License-Identifier: Apache-2.0
//! Reading a JSON object key by key: every mistake is found, and named with its place.

use serde_json::{Map, Value};
use std::fmt::Display;
use std::str::FromStr;
use virt_hooks_contract::nearest;

/// An object of the request while it is read.
pub(crate) struct Object<'a> {
    /// What it is, for messages: `network storage`.
    what: String,
    values: &'a Map<String, Value>,
    problems: &'a mut Vec<String>,
}

impl<'a> Object<'a> {
    /// An object with no other keys than these.
    pub(crate) fn new(
        what: String,
        values: &'a Map<String, Value>,
        keys: &[&str],
        problems: &'a mut Vec<String>,
    ) -> Self {
        for key in values.keys().filter(|key| !keys.contains(&key.as_str())) {
            let meant = match nearest(key, keys.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("there are {}", keys.join(", ")),
            };
            problems.push(format!("{what}: no key \"{}\": {meant}", key.escape_debug()));
        }
        Self { what, values, problems }
    }

    /// Notes a mistake.
    pub(crate) fn problem(&mut self, what: impl Display) {
        self.problems.push(format!("{}: {what}", self.what));
    }

    /// A value; null is none, as with VDSM's clients.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.values.get(key).filter(|v| !v.is_null())
    }

    fn wrong(&mut self, key: &str, expected: &str) {
        let found = self.values.get(key).map(ToString::to_string).unwrap_or_default();
        self.problem(format!(
            "\"{key}\" is {}, expected {expected}",
            found.chars().take(60).collect::<String>()
        ));
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        match value.as_str() {
            // VDSM's clients send an empty text for "none".
            Some("") => None,
            Some(text) => Some(text.to_owned()),
            None => {
                self.wrong(key, "text");
                None
            }
        }
    }

    /// Text that is read as something.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let parsed = self.text(key)?.parse().ok();
        if parsed.is_none() {
            self.wrong(key, expected);
        }
        parsed
    }

    /// A truth value; VDSM's clients write them as text and numbers too.
    pub(crate) fn truth(&mut self, key: &str) -> Option<bool> {
        let truth = match self.value(key)? {
            Value::Bool(b) => Some(*b),
            Value::Number(n) => match n.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(s) => match s.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Some(true),
                "false" | "no" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if truth.is_none() {
            self.wrong(key, "true or false");
        }
        truth
    }

    /// A whole number between two, also as text.
    pub(crate) fn number(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.value(key)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let number = number.filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.wrong(key, &format!("a number from {least} to {most}"));
        }
        number
    }

    /// A list of text.
    pub(crate) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let list = self.value(key)?.as_array().and_then(|items| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if list.is_none() {
            self.wrong(key, "a list of text");
        }
        list
    }
}
