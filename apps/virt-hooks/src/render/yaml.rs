// SPDX-License-Identifier: Apache-2.0
//! YAML, for those who read and keep what is printed. A value that any reader of YAML 1.1 or 1.2 takes for the same.

use serde_json::Value;
use std::fmt::Write;

/// A document in block style, keys sorted, ended by a line feed.
///
/// A text is written bare only where it cannot be anything else than text, as a literal block where it has several
/// lines and such a block holds it, and quoted otherwise.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    node(&mut out, value, 0);
    out
}

/// Writes a value that starts on a line of its own.
fn node(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            // The map's own order depends on how serde_json was built.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|entry| entry.0);
            for (n, (key, value)) in entries.into_iter().enumerate() {
                // The first line may have a dash in front.
                pad(out, indent, n);
                out.push_str(&text(key));
                out.push(':');
                below(out, value, indent);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (n, value) in list.iter().enumerate() {
                pad(out, indent, n);
                out.push('-');
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        out.push(' ');
                        node(out, value, indent + 2);
                    }
                    _ => below(out, value, indent),
                }
            }
        }
        _ => {
            scalar(out, value, indent + 2);
            out.push('\n');
        }
    }
}

fn pad(out: &mut String, indent: usize, n: usize) {
    if n > 0 || out.is_empty() || out.ends_with('\n') {
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

/// Writes what comes after a key or a dash.
fn below(out: &mut String, value: &Value, indent: usize) {
    let is_nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if is_nested {
        out.push('\n');
        node(out, value, indent + 2);
    } else {
        out.push(' ');
        scalar(out, value, indent + 2);
        out.push('\n');
    }
}

fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(string) if is_block(string) => block(out, string, indent),
        Value::String(string) => out.push_str(&text(string)),
        _ => {
            let _ = write!(out, "{value}");
        }
    }
}

/// Several lines that a literal block holds as they are.
fn is_block(string: &str) -> bool {
    let plain = |c: char| c == '\n' || c == '\t' || !is_special(c);
    string.trim_end_matches('\n').contains('\n')
        && string.chars().all(plain)
        // The first line's indentation tells that of all.
        && !string.starts_with([' ', '\t', '\n'])
        // Nobody sees blanks there; quoted they are seen.
        && !string.lines().any(|l| l.ends_with([' ', '\t']))
}

fn block(out: &mut String, string: &str, indent: usize) {
    let body = string.trim_end_matches('\n');
    let after = string.len() - body.len();
    out.push_str(match after {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
    }
    // The line feed after the scalar is one of them.
    out.extend(std::iter::repeat_n('\n', after.saturating_sub(1)));
}

/// One line: bare, or in double quotes.
fn text(string: &str) -> String {
    if is_bare(string) {
        return string.to_owned();
    }
    let mut out = String::with_capacity(string.len() + 2);
    out.push('"');
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_special(c) => {
                let code = u32::from(c);
                let _ =
                    if code > 0xFFFF { write!(out, "\\U{code:08X}") } else { write!(out, "\\u{code:04X}") };
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What YAML does not take, or takes for the end of a line.
fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

/// Whether nobody takes it for anything but a text: no number, truth value, null or date, nothing that starts a
/// structure, none of the characters that mean something.
fn is_bare(string: &str) -> bool {
    const WORDS: [&str; 12] =
        ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf", "infinity"];
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/');
    string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && string.bytes().all(inner)
        && !WORDS.contains(&string.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn back(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn it_reads_well() {
        let value = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "x", "labels": {}},
            "data": {"50_title": "#!/bin/sh\nexit 0\n", "n": "7"},
            "list": [{"name": "a", "args": ["--x", "yes"]}, [1, 2], []],
            "mode": 493, "on": true
        });
        let expected = "apiVersion: v1\ndata:\n  \"50_title\": |\n    #!/bin/sh\n    exit 0\n  \"n\": \"7\"\nkind: ConfigMap\n\
            list:\n  - args:\n      - \"--x\"\n      - \"yes\"\n    name: a\n  -\n    - 1\n    - 2\n  - []\n\
            metadata:\n  labels: {}\n  name: x\nmode: 493\n\"on\": true\n";
        assert_eq!(yaml(&value), expected);
        assert_eq!(back(expected), value);
    }

    #[test]
    fn texts_stay_texts() {
        for text in [
            "",
            " ",
            "true",
            "No",
            "null",
            "~",
            "1",
            "0x1F",
            "1e3",
            "12:30:45",
            "2026-01-01",
            ".5",
            "a: b",
            "a #b",
            "- a",
            "? a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a}",
            "[a]",
            "|",
            ">",
            "'a'",
            "\"a\"",
            "a\\b",
            "a\tb",
            "a\r\nb",
            "a\nb",
            "a\n\nb\n\n\n",
            "\na\nb",
            " a\nb",
            "a \nb",
            "a\n b\n",
            "\u{1}",
            "\u{85}",
            "\u{2028}x",
            "\u{FEFF}x",
            "\u{1F600}",
            "---",
            "...",
            "a\n---\nb",
            "a\n...\nb\n",
            "# a\n# b",
            "\n",
            "\n\n",
            "=",
            "<<",
        ] {
            for value in [json!(text), json!({ text: text }), json!([text, [text], { "a": text }])] {
                assert_eq!(back(&yaml(&value)), value, "{}", yaml(&value));
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~\\n\\t]{0,12}".prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,8}", inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in any_value()) {
            prop_assert_eq!(back(&yaml(&value)), value);
        }
    }
}
