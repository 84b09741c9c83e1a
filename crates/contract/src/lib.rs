// SPDX-License-Identifier: Apache-2.0
//! What a hook, a host and a package agree on: the table of hook points, environment names, exit
//! codes, the configuration file and the records of a run. Data and serde; nothing here touches a
//! process, the disk or libvirt.
#![forbid(unsafe_code)]

mod catalogue;
mod config;
mod entry;
pub mod env;
pub mod exit;
mod manifest;
mod point;
mod report;
mod toml_error;
mod units;

pub use catalogue::{Catalogue, is_point_name};
pub use config::{AgentConfig, Config, HookConfig, LibvirtHookConfig, PointConfig};
pub use manifest::{
    Condition, DistributionPackages, Manifest, ManifestFile, ManifestPoint, ManifestProperty, MetadataMatch,
    Portability, Privileges, PropertyType, RunAs, Scope, Support, ValueCheck, When, check_name,
};
pub use point::{Failure, Origin, Output, PayloadKind, Point, Properties, Subject, User, Variable};
pub use report::{Report, RunRecord, SkippedRecord, Verdict};
pub use toml_error::{TomlError, nearest};
pub use units::{format_time, hexadecimal, parse_duration, parse_size};
