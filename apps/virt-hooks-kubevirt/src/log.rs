// SPDX-License-Identifier: Apache-2.0
//! What `kubectl logs` shows: one line each, on standard error.

use std::io::Write;
use virt_hooks::render::printable;

/// Says something. Nobody has to listen.
pub fn say(text: &str) {
    let line = format!("virt-hooks-kubevirt: {}\n", printable(&text.replace('\n', " ")));
    // One write, so that lines of different calls do not mix.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
