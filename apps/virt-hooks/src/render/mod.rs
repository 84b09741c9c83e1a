// SPDX-License-Identifier: Apache-2.0
//! What people read.

mod chain;
mod diff;
mod style;
mod table;
mod text;
mod verdict;
mod yaml;

pub use chain::Chain;
pub use diff::coloured;
pub use style::{Painted, Style, paint};
pub use table::Table;
pub(crate) use text::{count, wrapped};
pub use text::{duration, printable};
pub use verdict::verdict;
pub use yaml::yaml;
