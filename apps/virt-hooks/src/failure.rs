// SPDX-License-Identifier: Apache-2.0
//! Why a command ends without having done its work.

use virt_hooks_contract::exit;
use virt_hooks_engine::{HostError, Trouble};
use virt_hooks_package::cases::CasesError;
use virt_hooks_package::new::NewError;
use virt_hooks_package::try_hook::TryError;

/// A failure: one line for people and an exit code for programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What was being done, and why it did not work; one line.
    pub message: String,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: exit::command::USAGE, message: message.into() }
    }

    /// What was given or found cannot be used.
    pub fn unusable(message: impl Into<String>) -> Self {
        Self { code: exit::command::UNUSABLE, message: message.into() }
    }
}

impl From<HostError> for Failure {
    fn from(e: HostError) -> Self {
        Self::usage(e.to_string())
    }
}

impl From<Trouble> for Failure {
    fn from(e: Trouble) -> Self {
        Self::unusable(e.line())
    }
}

impl From<TryError> for Failure {
    fn from(e: TryError) -> Self {
        match e {
            TryError::NoHookThere { .. } | TryError::Missing(_) => Self::usage(e.to_string()),
            _ => Self::unusable(e.to_string()),
        }
    }
}

impl From<CasesError> for Failure {
    fn from(e: CasesError) -> Self {
        Self::unusable(e.to_string())
    }
}

impl From<NewError> for Failure {
    fn from(e: NewError) -> Self {
        match e {
            NewError::Write { .. } => Self::unusable(e.to_string()),
            _ => Self::usage(e.to_string()),
        }
    }
}
