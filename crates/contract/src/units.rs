// SPDX-License-Identifier: Apache-2.0
//! Durations and sizes as people write them.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::time::Duration;

/// Reads a duration such as `30s`, `1m 30s`, `250ms`, `6h`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if d.is_zero() => Err(format!("\"{text}\" is no time at all: give a duration like \"30s\"")),
        Ok(d) => Ok(d),
        Err(e) => Err(format!("\"{text}\" is not a duration like \"30s\": {e}")),
    }
}

/// A moment as RFC 3339 writes it, in UTC, to the millisecond.
pub fn format_time(moment: std::time::SystemTime) -> String {
    humantime::format_rfc3339_millis(moment).to_string()
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len());
    for b in bytes {
        let _ = write!(text, "{b:02x}");
    }
    text
}

/// Reads a size in bytes such as `4096`, `64KiB`, `16MiB`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let t = text.trim();
    let digits = t.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match t[digits..].trim() {
        "" | "B" => Some(1),
        "K" | "KiB" => Some(1 << 10),
        "M" | "MiB" => Some(1 << 20),
        "G" | "GiB" => Some(1u64 << 30),
        _ => None,
    };
    t[..digits]
        .parse::<u64>()
        .ok()
        .zip(unit)
        .and_then(|(n, u)| n.checked_mul(u))
        .ok_or_else(|| format!("\"{text}\" is not a size like \"64KiB\" or \"16MiB\""))
}

pub(crate) fn deserialize_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    parse_duration(&String::deserialize(d)?).map(Some).map_err(D::Error::custom)
}

pub(crate) fn deserialize_size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    parse_size(&String::deserialize(d)?).map(Some).map_err(D::Error::custom)
}

pub(crate) fn serialize_duration<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&humantime::format_duration(*d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(parse_size("64KiB"), Ok(65536));
        assert_eq!(parse_size("12"), Ok(12));
        assert!(parse_size("12 parsecs").is_err());
        assert!(parse_size("99999999999G").is_err());
        assert!(parse_size("é").is_err());
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("0s").is_err());
    }
}
