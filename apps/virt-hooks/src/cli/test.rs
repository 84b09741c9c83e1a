// SPDX-License-Identifier: Apache-2.0
//! `test`.

use super::Place;
use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Runs the cases of hook packages.
#[derive(Args, Clone, Debug)]
pub struct Test {
    /// Directory of a hook package
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// Only cases with this in their names
    #[arg(long, value_name = "TEXT")]
    pub case: Option<String>,
    /// What runs where a package has sources only: called by the name of each hook
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Write down what the hooks do as what is expected of them
    #[arg(long)]
    pub bless: bool,
    /// Where the results go for programs, as JUnit writes them; - for standard output
    #[arg(long, value_name = "FILE|-")]
    pub junit: Option<Place>,
    /// How many cases run at the same time; one per CPU where not given
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Also name the cases that pass and those that are skipped
    #[arg(short, long)]
    pub verbose: bool,
}
