// SPDX-License-Identifier: Apache-2.0
//! The verbs about packages on a host.

use super::{Format, Property};
use clap::Args;
use std::path::PathBuf;

/// Installs a package.
#[derive(Args, Clone, Debug)]
pub struct Install {
    /// The package: its directory, or what "virt-hooks package --format tar" made of it
    #[arg(value_name = "DIR|FILE")]
    pub source: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Hooks in Rust are those of virt-hooks-bundled: link to it
    #[arg(long)]
    pub bundled: bool,
}

/// Removes a package.
#[derive(Args, Clone, Debug)]
pub struct Remove {
    /// The package
    #[arg(value_name = "PACKAGE")]
    pub package: String,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Enables a hook.
#[derive(Args, Clone, Debug)]
pub struct Enable {
    /// A package, the file name of a hook, or one at one point: POINT/FILE
    #[arg(value_name = "HOOK")]
    pub hook: String,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Disables a hook.
#[derive(Args, Clone, Debug)]
pub struct Disable {
    /// A package, the file name of a hook, or one at one point: POINT/FILE
    #[arg(value_name = "HOOK")]
    pub hook: String,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Describes a package.
#[derive(Args, Clone, Debug)]
pub struct Info {
    /// The package
    #[arg(value_name = "PACKAGE")]
    pub package: String,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Explains a chain.
#[derive(Args, Clone, Debug)]
pub struct Order {
    /// The hook point
    pub point: String,
    /// As for a VM of this name
    #[arg(long, value_name = "NAME")]
    pub vm_name: Option<String>,
    /// As for a VM with this custom property; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    pub property: Vec<Property>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Shows properties.
#[derive(Args, Clone, Debug)]
pub struct Properties {
    /// As commands that tell oVirt's engine of them
    #[arg(long, conflicts_with = "format")]
    pub engine_config: bool,
    /// What "engine-config -g KEY" says now, to be kept: KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "engine_config")]
    pub current: Vec<String>,
    /// The compatibility version of the clusters meant
    #[arg(long, value_name = "VERSION", requires = "engine_config")]
    pub cver: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Verifies packages.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// These packages only; without: all of them, and files that belong to none
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// First undo what an install or remove that was interrupted left half done
    #[arg(long)]
    pub recover: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Compares hosts.
#[derive(Args, Clone, Debug)]
pub struct Diff {
    /// What "virt-hooks list --format json" said on the other host
    #[arg(value_name = "HOST-LIST.json")]
    pub other: PathBuf,
    /// The same of a third host, in place of this one
    #[arg(value_name = "HOST-LIST.json")]
    pub this: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
