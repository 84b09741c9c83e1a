// SPDX-License-Identifier: Apache-2.0
//! Messages that stay readable whatever the property or the payload holds.

use std::fmt::Display;
use virt_hooks_sdk::Context;

/// How many of many are told one by one.
pub(crate) const MOST: usize = 8;

/// How many characters of a value are told.
pub(crate) const LONGEST: usize = 80;

/// A value for a message: in quotes, on one line, of bounded length.
pub(crate) fn shown(text: &str) -> String {
    let start: String = text.chars().take(LONGEST).collect();
    let dots = if start.len() < text.len() { "..." } else { "" };
    format!("{start:?}{dots}")
}

/// Tells the first few lines one by one, and of the rest only how many there are.
pub(crate) fn log_few<L: Display>(
    hook: &Context,
    lines: impl ExactSizeIterator<Item = L>,
    rest: impl FnOnce(usize) -> String,
) {
    let more = lines.len().saturating_sub(MOST);
    for line in lines.take(MOST) {
        hook.log(line);
    }
    if more > 0 {
        hook.log(rest(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_and_quoted() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"ä".repeat(LONGEST)), format!("\"{}\"", "ä".repeat(LONGEST)));
        assert_eq!(shown(&"x".repeat(LONGEST + 1)), format!("\"{}\"...", "x".repeat(LONGEST)));
    }

    #[test]
    fn a_long_list_is_counted() {
        let told = |n: usize| {
            let hook = Context::for_test();
            log_few(&hook, (0..n).map(|i| i.to_string()).collect::<Vec<_>>().iter(), |n| format!("{n} more"));
            hook.logged()
        };
        assert_eq!(told(0), Vec::<String>::new());
        assert_eq!(told(MOST), ["0", "1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(told(MOST + 2), ["0", "1", "2", "3", "4", "5", "6", "7", "2 more"]);
    }
}
