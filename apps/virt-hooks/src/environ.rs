// SPDX-License-Identifier: Apache-2.0
//! What this process was started with. Nothing else here asks `std::env`.

use std::ffi::OsString;
use std::path::PathBuf;

/// Arguments, environment variables and the executable of this process.
#[derive(Debug)]
pub struct Environ {
    arguments: Vec<OsString>,
}

impl Environ {
    /// Of this process.
    pub fn of_process() -> Self {
        Self { arguments: std::env::args_os().collect() }
    }

    /// All arguments, the program's name first.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// An environment variable.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    /// The file that was executed.
    pub fn executable(&self) -> Option<PathBuf> {
        std::env::current_exe().ok()
    }

    /// The directories of `PATH`.
    pub(crate) fn path(&self) -> Vec<PathBuf> {
        self.variable("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default()
    }
}
