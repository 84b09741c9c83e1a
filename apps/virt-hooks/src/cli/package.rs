// SPDX-License-Identifier: Apache-2.0
//! `package`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Makes an installable package of a hook's directory.
#[derive(Args, Clone, Debug)]
pub struct Package {
    /// The hook's directory, with its hook.toml
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Format of the package
    #[arg(long, value_enum, default_value_t)]
    pub format: PackageFormat,
    /// Directory to write to; made where it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Sign with this key of gpg: an rpm inside, others with a file .asc beside
    #[arg(long, value_name = "KEY")]
    pub sign: Option<String>,
    /// Hooks in Rust are those of virt-hooks-bundled: link to it
    #[arg(long)]
    pub bundled: bool,
}

/// The format of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PackageFormat {
    /// For Fedora, CentOS, RHEL
    #[default]
    Rpm,
    /// For Debian, Ubuntu
    Deb,
    /// A compressed tree
    Tar,
}
