// SPDX-License-Identifier: Apache-2.0
//! The `virt-hooks` command.
fn main() {}
