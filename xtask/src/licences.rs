// SPDX-License-Identifier: Apache-2.0
//! Whether a licence, as a package states it, is one of those allowed.

use crate::notices::NoticesError;
use std::collections::BTreeSet;

/// The licences that `deny.toml` allows.
///
/// # Errors
/// It cannot be read, or has no such list.
pub fn allowed() -> Result<BTreeSet<String>, NoticesError> {
    let path = crate::root().join("deny.toml");
    let text = std::fs::read_to_string(&path).map_err(|source| NoticesError::File { path, source })?;
    let table: toml::Table =
        text.parse().map_err(|e: toml::de::Error| NoticesError::NoList(e.message().to_owned()))?;
    let list = table.get("licenses").and_then(|l| l.get("allow")).and_then(toml::Value::as_array);
    let list = list.ok_or_else(|| NoticesError::NoList("it is not there".to_owned()))?;
    Ok(list.iter().filter_map(|l| l.as_str().map(str::to_owned)).collect())
}

/// Whether an SPDX expression can be met with licences of `allowed` alone: one side of an OR, both of an AND.
/// `WITH` makes a licence of its own; `/`, the way of old, is OR.
pub fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest, allowed).is_some_and(|met| met && rest.is_empty())
}

/// `None`, as below: this is no expression.
fn any(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = all(words, allowed)?;
    while take(words, "OR") {
        met |= all(words, allowed)?;
    }
    Some(met)
}

fn all(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while take(words, "AND") {
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    if take(words, "(") {
        let met = any(words, allowed)?;
        return take(words, ")").then_some(met);
    }
    let licence = next(words)?;
    if take(words, "WITH") {
        let exception = next(words)?;
        return Some(allowed.contains(&format!("{licence} WITH {exception}")));
    }
    Some(allowed.contains(licence))
}

fn next<'a>(words: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    Some(first)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
        let allowed = allowed.into_iter().map(str::to_owned).collect();
        for fine in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-2.0 OR MIT",
            "MIT/GPL-2.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(is_allowed(fine, &allowed), "{fine}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND GPL-2.0",
            "MIT WITH LLVM-exception",
            "MIT OR",
            "MIT GPL-3.0",
            "(MIT",
            "MIT)",
            "OR",
        ] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }
}
