// SPDX-License-Identifier: Apache-2.0
//! Why a call is refused.

/// How long a message may be: it travels in a header, whose size the peer limits.
const MESSAGE: usize = 1 << 10;

/// A refusal. Its text names the hook, and says what to do where it can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What was asked cannot be understood, or asks for what is not allowed.
    #[error("{0}")]
    Malformed(String),
    /// A hook refuses it, or failed where that is a refusal.
    #[error("{0}")]
    Veto(String),
    /// Hooks did not end in time.
    #[error("{0}")]
    Deadline(String),
    /// The process is about to end.
    #[error("{0}")]
    Stopping(String),
    /// What hooks left is more than the peer takes.
    #[error("{0}")]
    TooLarge(String),
    /// The driver itself cannot work.
    #[error("{0}")]
    Trouble(String),
}

impl Refusal {
    /// Its text as a peer can take it: in one line, without control characters, not too long.
    pub fn message(&self) -> String {
        let text: String = self.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.len() <= MESSAGE {
            return text;
        }
        // What was asked stands at the head, what a program said last at the tail.
        let head = text.floor_char_boundary(MESSAGE / 2);
        let tail = text.ceil_char_boundary(text.len() - MESSAGE / 2);
        format!("{} [...] {}", text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_bounded() {
        assert_eq!(Refusal::Veto("a\nb\u{1b}[1m".into()).message(), "a b [1m");
        let long = Refusal::Veto(format!("start{}end", "é".repeat(5000))).message();
        assert!(long.len() < MESSAGE + 10 && long.starts_with("starté") && long.ends_with("éend"), "{long}");
    }
}
