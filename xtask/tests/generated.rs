// SPDX-License-Identifier: Apache-2.0
//! What is generated and committed fits its sources.

#[test]
fn committed_files_are_up_to_date() {
    if let Err(e) = xtask::generated::check() {
        panic!("{e}");
    }
}
