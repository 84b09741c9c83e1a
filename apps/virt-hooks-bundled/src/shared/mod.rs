// SPDX-License-Identifier: Apache-2.0
//! What several bundled hooks have in common.

pub(crate) mod messages;
pub(crate) mod network_request;
pub(crate) mod vm_switch;
