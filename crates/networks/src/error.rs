// SPDX-License-Identifier: Apache-2.0
//! Why networks were not set up.

use std::io;
use std::path::PathBuf;
use virt_hooks_engine::HookError;
use virt_hooks_sdk::CommandError;

/// Why networks were not set up. Its text is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is no JSON.
    #[error("the request is no JSON: {0}")]
    Json(serde_json::Error),
    /// The request cannot be carried out; nothing was done, and no hook was run.
    #[error("the request cannot be carried out: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// What the hooks made of the request cannot be carried out; nothing was done (C17).
    #[error("the request as hooks of before_network_setup left it cannot be carried out: {}", .0.join("; "))]
    Edited(Vec<String>),
    /// Another request is being carried out.
    #[error("networks are being set up already: wait for its end and try again")]
    Busy,
    /// The hooks of `before_network_setup` refused it; nothing was done.
    #[error("set up networks: vetoed at before_network_setup: {0}")]
    Veto(HookError),
    /// The engine could not run the hooks of `before_network_setup`; nothing was done.
    #[error("set up networks: before_network_setup: {0}")]
    Trouble(String),
    /// Whoever asked for it gave it up before anything was done.
    #[error("set up networks: interrupted: nothing was changed")]
    Interrupted,
    /// The host's devices cannot be read; nothing was done.
    #[error("read the networks of this host: {0}")]
    Observe(ApplyError),
    /// It failed half-way, and the host is as it was.
    #[error("set up networks: {0}; all was rolled back")]
    RolledBack(ApplyError),
    /// It failed half-way, and so did the way back.
    #[error(
        "set up networks: {failed}; the roll-back failed too: {rollback}: see \"ip address\" for what there is; the next \
         request tries to roll back again"
    )]
    Stuck {
        /// What failed first.
        failed: Box<ApplyError>,
        /// What failed then.
        rollback: Box<ApplyError>,
    },
    /// A request that did not get to its end left devices that cannot be made as they were.
    #[error(
        "an earlier request did not get to its end, and the host cannot be made as it was before: {source}: see \
         \"ip address\" for what there is; to leave it so, remove {}", path.display()
    )]
    Recover {
        /// The file that has how it was.
        path: PathBuf,
        /// What failed.
        source: ApplyError,
    },
    /// What a request left that did not get to its end cannot be read.
    #[error(
        "an earlier request did not get to its end, and {} cannot be read: {problem}: see \"ip address\" for what \
         there is, then remove that file",
        path.display()
    )]
    Pending {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of ours cannot be used.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The record of what was set up cannot be read.
    #[error("read {}: {problem}: move it away to forget what networks were set up", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// What went wrong with the host's devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A command of the host failed.
    #[error("{command}: {}", with_cause(source))]
    Command {
        /// The command, as one would type it.
        command: String,
        /// How it failed.
        source: CommandError,
    },
    /// A command said something that is not understood.
    #[error("{command}: unexpected answer: {problem}")]
    Answer {
        /// The command.
        command: String,
        /// What is not understood.
        problem: String,
    },
    /// A setting of the kernel cannot be written.
    #[error("write {}: {source}", path.display())]
    Setting {
        /// Its file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// All commands worked, and the result is another one.
    #[error("the result is not what was asked for: {}", .0.join(", "))]
    Differs(Vec<String>),
    /// The default gateway does not answer afterwards.
    #[error("connectivityCheck: {0}")]
    Unreachable(String),
    /// Whoever asked for it gave it up half-way.
    #[error("interrupted")]
    Interrupted,
}

fn with_cause(error: &CommandError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
