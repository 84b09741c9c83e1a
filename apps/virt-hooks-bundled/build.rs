// SPDX-License-Identifier: Apache-2.0
//! Finds the bundled hooks by listing `hooks/`: a new one is one new directory, and nothing else is edited.
#![allow(clippy::expect_used, clippy::panic, reason = "a build script reports by panicking")]

mod registry;

use std::path::Path;

fn main() {
    let crate_dir = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&crate_dir).join("../../hooks").canonicalize().expect("hooks/ in the checkout");
    let (code, read) = registry::registry(&root).unwrap_or_else(|e| panic!("{e}"));
    for path in read {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("registry.rs"), code).expect("write the registry");
}
