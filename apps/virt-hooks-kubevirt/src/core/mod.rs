// SPDX-License-Identifier: Apache-2.0
//! What is done for KubeVirt, whatever the protocol: plain values in, plain values out.
//!
//! Synchronous: a call runs on a thread of its own and waits for hooks. [`Cancel`] ends it from outside.

mod cancel;
mod cloud_init;
mod domain;
mod driver;
mod fired;
mod node_point;
mod properties;
mod refusal;
mod repeat;
mod shim;
mod vmi;

pub use cancel::{Cancel, Trigger, Why};
pub use cloud_init::CloudInit;
pub use domain::Occasion;
pub use driver::{Driver, Places, SetUpError};
pub use node_point::NodePoint;
pub use properties::{DEVICE_PREFIX, Declared, PackagesError, Properties, VM_PREFIX};
pub use refusal::Refusal;
pub use shim::{Shim, ShimError};
pub use vmi::Vmi;
