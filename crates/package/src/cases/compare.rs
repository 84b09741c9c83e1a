// SPDX-License-Identifier: Apache-2.0
//! Whether a payload is the one expected.

use super::xml;
use serde::Deserialize;
use serde_json::Value;
use similar::TextDiff;
use std::time::Duration;
use virt_hooks_contract::PayloadKind;

/// What does not count, beside the way a payload is written. As recorded cases say it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Loose {
    /// Children appended to these elements may come in any order.
    #[serde(default)]
    unordered_tail: Vec<String>,
    /// Members whose text is a set, written with commas.
    #[serde(default)]
    csv_sets: Vec<String>,
    /// Members that are chosen at random: path, kind, lowest, highest.
    #[serde(default)]
    random: Vec<(String, String, f64, f64)>,
    /// Standard output counts too.
    #[serde(default)]
    pub(super) stdout: bool,
}

/// How a payload differs from the one expected, as a diff; `None` where it says the same. `given` is what the hook
/// was given.
pub(super) fn difference(
    kind: PayloadKind,
    expected: &[u8],
    got: &[u8],
    given: &[u8],
    loose: &Loose,
) -> Option<String> {
    if expected == got {
        return None;
    }
    match kind {
        PayloadKind::Xml => of_xml(expected, got, given, loose),
        PayloadKind::Json => of_json(expected, got, loose),
        PayloadKind::None => Some(diff(&String::from_utf8_lossy(expected), &String::from_utf8_lossy(got))),
    }
}

fn of_xml(expected: &[u8], got: &[u8], given: &[u8], loose: &Loose) -> Option<String> {
    let mut want = match xml::read(expected) {
        Ok(want) => want,
        Err(e) => return Some(format!("the expected payload is {e}\n")),
    };
    let mut have = match xml::read(got) {
        Ok(have) => have,
        Err(e) => return Some(format!("the payload is {e}\n")),
    };
    if let Ok(given) = xml::read(given) {
        for name in &loose.unordered_tail {
            if let Some(kept) = given.children_of(name) {
                want.order_tail(name, kept);
                have.order_tail(name, kept);
            }
        }
    }
    (!have.says(&want)).then(|| diff(&want.lines(), &have.lines()))
}

fn of_json(expected: &[u8], got: &[u8], loose: &Loose) -> Option<String> {
    let mut want: Value = match serde_json::from_slice(expected) {
        Ok(want) => want,
        Err(e) => return Some(format!("the expected payload is not JSON: {e}\n")),
    };
    let mut have: Value = match serde_json::from_slice(got) {
        Ok(have) => have,
        Err(e) => return Some(format!("the payload is not JSON: {e}\n")),
    };
    for value in [&mut want, &mut have] {
        for (path, kind, low, high) in &loose.random {
            let parts: Vec<&str> = path.split('/').collect();
            mask_random(value, &parts, kind, (*low, *high));
        }
        for member in &loose.csv_sets {
            if let Some(Value::String(text)) = value.get_mut(member) {
                let mut words: Vec<&str> = text.split(',').collect();
                words.sort_unstable();
                words.dedup();
                *text = words.join(",");
            }
        }
    }
    (!same(&want, &have)).then(|| diff(&pretty(&want), &pretty(&have)))
}

/// Numbers are the same when they are equal, however they are written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

/// Objects in one order, whatever the order they are kept in.
fn pretty(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut members: Vec<_> = map.iter().collect();
                members.sort_by_key(|(k, _)| k.as_str());
                members.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect()
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&sorted(value)).unwrap_or_default() + "\n"
}

fn mask_random(value: &mut Value, parts: &[&str], kind: &str, range: (f64, f64)) {
    let Some((part, rest)) = parts.split_first() else {
        if let Value::String(text) = value
            && is_random(text, kind, range)
        {
            *text = format!("(random {kind} {}..{})", range.0, range.1);
        }
        return;
    };
    match value {
        Value::Object(map) => {
            for (name, inner) in map.iter_mut() {
                if glob(part, name) {
                    mask_random(inner, rest, kind, range);
                }
            }
        }
        Value::Array(items) if *part == "*" => {
            for inner in items {
                mask_random(inner, rest, kind, range);
            }
        }
        _ => {}
    }
}

fn is_random(text: &str, kind: &str, (low, high): (f64, f64)) -> bool {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let formed = match kind {
        "intstr" => digits(text),
        "decimal2" => text.split_once('.').is_some_and(|(w, f)| digits(w) && digits(f) && f.len() == 2),
        _ => false,
    };
    formed && text.parse::<f64>().is_ok_and(|n| (low..=high).contains(&n))
}

/// `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|after| {
            (0..=after.len()).any(|n| after.is_char_boundary(n) && glob(rest, &after[n..]))
        }),
    }
}

/// A unified diff.
pub(super) fn diff(expected: &str, got: &str) -> String {
    let mut config = TextDiff::configure();
    // A minimal diff of two unlike documents of megabytes would take minutes.
    config.timeout(Duration::from_secs(2));
    config.diff_lines(expected, got).unified_diff().context_radius(2).header("expected", "got").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(expected: &str, got: &str, loose: &str) -> Option<String> {
        let loose: Loose = serde_json::from_str(loose).unwrap();
        difference(PayloadKind::Json, expected.as_bytes(), got.as_bytes(), b"", &loose)
    }

    #[test]
    fn json_by_what_it_says() {
        assert_eq!(json("{\"a\":1,\"b\":[1.0]}", "{ \"b\": [1], \"a\": 1 }", "{}"), None);
        let said = json("{\"a\":1}", "{\"a\":2}", "{}").unwrap();
        assert!(said.contains("-  \"a\": 1") && said.contains("+  \"a\": 2"), "{said}");
        assert!(json("{\"a\":true}", "{\"a\":1}", "{}").is_some());
        assert!(json("{\"a\":null}", "{}", "{}").is_some());
        assert!(json("{}", "{", "{}").unwrap().starts_with("the payload is not JSON"));
    }

    #[test]
    fn json_loosely() {
        assert_eq!(json("{\"f\":\"b,a\"}", "{\"f\":\"a,b,a\"}", "{\"csv_sets\":[\"f\"]}"), None);
        let random = "{\"random\":[[\"*/x*\",\"intstr\",1,9]]}";
        assert_eq!(json("[{\"xa\":\"3\"}]", "[{\"xa\":\"7\"}]", random), None);
        assert!(json("[{\"xa\":\"3\"}]", "[{\"xa\":\"10\"}]", random).is_some());
        assert!(json("[{\"ya\":\"3\"}]", "[{\"ya\":\"7\"}]", random).is_some());
    }

    #[test]
    fn xml_loosely_and_with_a_diff() {
        let loose: Loose = serde_json::from_str("{\"unordered_tail\":[\"a\"]}").unwrap();
        let differ = |e: &str, g: &str| {
            difference(PayloadKind::Xml, e.as_bytes(), g.as_bytes(), b"<a><z/></a>", &loose)
        };
        assert_eq!(differ("<a><z/><x/><y/></a>", "<a><z/><y/><x/></a>"), None);
        let said = differ("<a><z/><x/></a>", "<a><z/></a>").unwrap();
        assert!(said.contains("-  <x/>"), "{said}");
    }
}
