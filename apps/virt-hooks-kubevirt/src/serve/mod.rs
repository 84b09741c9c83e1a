// SPDX-License-Identifier: Apache-2.0
//! Serving calls over Unix sockets.

mod calls;
mod server;
mod socket;

pub use calls::Calls;
pub use server::{ServeError, serve};
pub(crate) use socket::HIDDEN;
pub use socket::{Published, SocketError, Staged};
