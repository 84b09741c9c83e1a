// SPDX-License-Identifier: Apache-2.0
//! JSON as VDSM writes it: one line, `, ` and `: `, everything beyond ASCII escaped.

use serde_json::Value;
use std::fmt::Write as _;

pub(crate) fn to_text(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(pairs) => {
            out.push('{');
            for (i, (key, item)) in pairs.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                string(out, key);
                out.push_str(": ");
                write(out, item);
            }
            out.push('}');
        }
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{number}");
        }
    }
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{C}' => out.push_str("\\f"),
            ' '..='\u{7F}' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_bytes_as_python() {
        let text = r#"{"b": [1, -2.5, null, true, false, "\u00e9\ud83e\udd80\n\"\\\b\f\r\t\u0001/"], "a": {}, "c": []}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(to_text(&value), text);
    }

    proptest::proptest! {
        #[test]
        fn reads_back(text in "\\PC{0,12}|[\\x00-\\x20]{0,4}") {
            let value = serde_json::json!({ &text: [&text] });
            proptest::prop_assert_eq!(serde_json::from_str::<Value>(&to_text(&value)).unwrap(), value);
        }
    }
}
