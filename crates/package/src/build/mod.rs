// SPDX-License-Identifier: Apache-2.0
//! Makes installable packages: rpm, deb and tar, without root, rpmbuild or dpkg-dev.
//!
//! [`layout`] decides which files of a hook package go where, and is the one place that does. A [`Parcel`] is what a
//! package holds, whatever its format; [`write`] makes a file of it, whole or not at all. The same parcel gives the
//! same bytes: names are sorted, times are [`Parcel::time`], owners are root, and nothing of the building host or
//! its users gets in.

mod archive;
mod cpio;
mod deb;
mod elf;
mod error;
mod identity;
pub mod layout;
mod parcel;
mod rpm;
mod rpm_header;
mod scripts;
mod sign;
mod source;
mod target;
mod text;
mod write;

pub use archive::gzip;
pub use error::BuildError;
pub use identity::package_name;
pub use parcel::{Dependencies, Item, ItemKind, Parcel, source_time};
pub use scripts::{Scripts, rpm as scripts, units};
pub use text::PROJECT;
pub use write::{Format, Written, write};
