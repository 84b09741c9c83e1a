// SPDX-License-Identifier: Apache-2.0
//! Why nothing could be measured.

use std::io;

/// Something a measurement needs is missing or broken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A file or directory.
    #[error("{what} {path}")]
    File {
        what: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    /// A program that could not be started.
    #[error("start {program}")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    /// A program that ended badly.
    #[error("{program} failed: {said}")]
    Failed { program: String, said: String },
    /// A worker that answered nothing, or nonsense.
    #[error("the worker \"{worker}\" gave no measurement (it said {said:?}); run it by hand to see why")]
    Worker { worker: String, said: String },
    /// The engine did not do what the measurement takes for granted.
    #[error("the engine cannot be measured: {0}")]
    Engine(String),
    /// A bundled hook's description of itself cannot be read; such as one that is newer than this program.
    #[error("{0}; build the benchmark again")]
    Manifest(String),
    /// The host of real VMs.
    #[error(transparent)]
    Host(#[from] virt_hooks_testhost::HostError),
    /// A VM's life.
    #[error(transparent)]
    Load(#[from] virt_hooks_testhost::load::LoadError),
    /// The agent did what it must not.
    #[error("under load: {0}; no figures are written")]
    Unsound(String),
    /// A command line that means nothing.
    #[error(
        "{0}; usage: virt-hooks-bench bundled, virt-hooks-bench all [--quick] [--markdown [FILE]] [--no-shield] [--no-cli | --cli PROGRAM], or \
         virt-hooks-bench load [--quick] [--rounds N] [--markdown [FILE]]"
    )]
    Usage(String),
}

impl BenchError {
    /// For `map_err` on what is done with a file.
    pub(crate) fn file(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { what, path, source }
    }

    /// The whole chain of causes in one line.
    pub(crate) fn line(&self) -> String {
        use std::error::Error;
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}
