// SPDX-License-Identifier: Apache-2.0
//! What the words of a custom property mean.

use crate::literal::LiteralError;

/// What can be wrong with a custom property, or another variable of the hook's environment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// It is needed and not set.
    #[error("{name} is not set; set it as a custom property")]
    Missing {
        /// Its name.
        name: String,
    },
    /// It is not text.
    #[error("{name} is not UTF-8")]
    NotUtf8 {
        /// Its name.
        name: String,
    },
    /// It is not a mapping.
    #[error("{name} is not a mapping such as {{'key': 'value'}}")]
    NotMapping {
        /// Its name.
        name: String,
        /// Where and why.
        source: LiteralError,
    },
    /// It is not JSON.
    #[error("{name} is not JSON")]
    NotJson {
        /// Its name.
        name: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A VM id that could not be a file name.
    #[error("{name} is {value:?}, which is no VM id")]
    NotVmId {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

/// Whether a property means yes, by VDSM's rule: `true` in any letter case, or a whole number
/// other than 0, with blanks around it or not. Anything else, `yes` and `on` included, means no.
///
/// # Examples
/// ```
/// use virt_hooks_sdk::is_true;
/// assert!(is_true("True") && is_true(" 2 ") && is_true("-1") && is_true("1_000"));
/// assert!(!is_true("0") && !is_true("yes") && !is_true("on") && !is_true(" true"));
/// ```
pub fn is_true(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || is_nonzero_integer(text)
}

/// Python's notation of an integer: a sign, digits, single underscores between them.
fn is_nonzero_integer(text: &str) -> bool {
    let digits = text.trim();
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let groups_are_digits = digits.split('_').all(|g| !g.is_empty() && g.bytes().all(|b| b.is_ascii_digit()));
    groups_are_digits && digits.bytes().any(|b| matches!(b, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for yes in
            ["true", "TRUE", "tRuE", "1", "-1", "+7", " 2 ", "\t3\n", "1_0", "007", "99999999999999999999999"]
        {
            assert!(is_true(yes), "{yes:?}");
        }
        for no in [
            "", "0", "-0", "00", "0_0", "yes", "on", "t", "y", " true ", "1.0", "0x1", "1__0", "_1", "1_",
            "- 1", "--1", "+",
        ] {
            assert!(!is_true(no), "{no:?}");
        }
    }
}
