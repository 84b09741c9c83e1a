// SPDX-License-Identifier: Apache-2.0
//! The server as KubeVirt meets it: a fake virt-launcher and a fake virt-handler talk to the executable over its
//! sockets, with messages written down here a second time, from the field list and not from the server's code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "a test may panic and print; its modules are its own"
)]

mod bed;
mod dance;
mod documents;
mod grpc;
mod hostile;
mod launcher;
mod load;
mod plugin;
mod shim;
mod sidecar;
