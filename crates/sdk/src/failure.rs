// SPDX-License-Identifier: Apache-2.0
//! How a hook says no.

use std::error::Error;
use std::fmt;

/// A hook that failed: what to tell, and whether the hooks after it still run.
///
/// `?` turns any error into one that stops the chain, its causes joined by colons. This type is
/// itself no [`Error`], as it is the end of the way an error takes.
///
/// # Examples
/// ```
/// use virt_hooks_sdk::Failure;
/// fn size(text: &str) -> Result<u64, Failure> {
///     Ok(text.parse()?)
/// }
/// assert_eq!(size("x").unwrap_err().exit_code(), 2);
/// assert_eq!(Failure::go_on("no such bridge").exit_code(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    stops: bool,
}

impl Failure {
    /// Exit code of a hook that succeeded (VDSM contract).
    pub const EXIT_OK: u8 = 0;
    /// Exit code of a hook that failed, the next one still runs (VDSM contract).
    pub const EXIT_GO_ON: u8 = 1;
    /// Exit code of a hook that failed, no further one runs (VDSM contract).
    pub const EXIT_STOP: u8 = 2;

    /// Failed, and the hooks after this one are not run: exit code 2.
    pub fn stop(message: impl fmt::Display) -> Self {
        Self { message: one_line(&message.to_string()), stops: true }
    }

    /// Failed, but the hooks after this one still run: exit code 1.
    pub fn go_on(message: impl fmt::Display) -> Self {
        Self { message: one_line(&message.to_string()), stops: false }
    }

    /// What is told, as one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the hooks after this one are not run.
    pub fn stops(&self) -> bool {
        self.stops
    }

    /// The exit code of the hook's process.
    pub fn exit_code(&self) -> u8 {
        if self.stops { Self::EXIT_STOP } else { Self::EXIT_GO_ON }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::stop(message)
    }
}

/// The engine's log takes a hook's words line by line.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read payload")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn chain_on_one_line() {
        let inner = "x".parse::<u8>().unwrap_err();
        let failure = Failure::from(Outer(inner));
        assert_eq!(failure.message(), "read payload: invalid digit found in string");
        assert!(failure.stops());
        assert_eq!(Failure::go_on("a\n  b\r\n\nc").message(), "a b c");
    }
}
