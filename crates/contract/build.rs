// SPDX-License-Identifier: Apache-2.0
//! Turns `points.toml` into a constant table, so that a command that looks a point up parses nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a build script reports by panicking")]

#[allow(dead_code, unreachable_pub, reason = "shared with the library, which uses more of it")]
#[path = "src/entry.rs"]
mod entry;

use std::fmt::Write;

fn main() {
    println!("cargo::rerun-if-changed=points.toml");
    println!("cargo::rerun-if-changed=src/entry.rs");
    let text = std::fs::read_to_string("points.toml").expect("points.toml beside build.rs");
    let file: entry::File = toml::from_str(&text).unwrap_or_else(|e| panic!("points.toml: {e}"));
    let mut out = String::from("&[\n");
    for e in &file.point {
        let (failure, output, properties) = (e.failure(), e.output(), e.properties());
        let variables: String = e
            .variables
            .iter()
            .map(|(n, m)| {
                format!("Variable {{ name: Cow::Borrowed({n:?}), meaning: Cow::Borrowed({m:?}) }}, ")
            })
            .collect();
        let notes: String = e.notes.iter().map(|n| format!("Cow::Borrowed({n:?}), ")).collect();
        writeln!(
            out,
            "Point {{ name: Cow::Borrowed({:?}), summary: Cow::Borrowed({:?}), operation: Cow::Borrowed({:?}), \
             when: Cow::Borrowed({:?}), subject: Subject::{:?}, payload: PayloadKind::{:?}, content: Cow::Borrowed({:?}), \
             may_be_empty: {}, default_payload: Cow::Borrowed({:?}), same_uuid: {}, failure: Failure::{failure:?}, \
             output: Output::{output:?}, user: User::{:?}, properties: Properties::{properties:?}, \
             deadline: Duration::from_millis({}), since: Cow::Borrowed({:?}), \
             variables: Cow::Borrowed(&[{variables}]), notes: Cow::Borrowed(&[{notes}]), origin: Origin::Vdsm }},",
            e.name, e.summary, e.operation, e.when, e.subject, e.payload, e.content, e.empty, e.default, e.same_uuid,
            e.user, e.deadline.as_millis(), e.since,
        )
        .expect("write to a string");
    }
    out.push(']');
    let dir = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(std::path::Path::new(&dir).join("points.rs"), out).expect("write points.rs");
}
