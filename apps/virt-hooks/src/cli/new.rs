// SPDX-License-Identifier: Apache-2.0
//! `new`.

use super::Kind;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use virt_hooks_package::new;

/// Makes a hook package or a hook point.
#[derive(Args, Clone, Debug)]
pub struct New {
    /// What to make.
    #[command(subcommand)]
    pub what: NewCommand,
}

/// What `new` makes.
#[derive(Clone, Debug, Subcommand)]
pub enum NewCommand {
    /// Make a hook package that runs as it is: manifest, README, a hook for each point, cases
    Hook(NewHook),
    /// Make a hook point of this host, and a payload to fire it with
    Point(NewPoint),
}

/// Makes a hook package.
#[derive(Args, Clone, Debug)]
pub struct NewHook {
    /// Its name, and its directory: lower-case letters, digits, "_" and "-"
    pub name: String,
    /// The hook point it has a hook for; may be repeated
    #[arg(long = "point", value_name = "POINT", required = true)]
    pub points: Vec<String>,
    /// What it is written in
    #[arg(long, value_enum, default_value_t)]
    pub lang: Lang,
    /// Where its directory is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// `--lang`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// A script for each point
    #[default]
    Bash,
    /// A script for each point, with the module hooking
    Python,
    /// One program for all points, without dependencies
    Rust,
    /// One program for all points, without dependencies
    Go,
    /// A script for each point, without modules
    Perl,
}

impl From<Lang> for new::Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Bash => Self::Bash,
            Lang::Python => Self::Python,
            Lang::Rust => Self::Rust,
            Lang::Go => Self::Go,
            Lang::Perl => Self::Perl,
        }
    }
}

/// Makes a hook point.
#[derive(Args, Clone, Debug)]
pub struct NewPoint {
    /// Its name, and its directory: lower-case letters, digits and "_"
    pub name: String,
    /// What hooks are given there
    #[arg(long, value_enum, value_name = "KIND", default_value = "xml")]
    pub payload: Kind,
    /// Where its file is made, in place of this host's directory of hook points
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
