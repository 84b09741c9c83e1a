// SPDX-License-Identifier: Apache-2.0
//! Varlink's frames: JSON objects with a NUL after each, over a stream.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};

/// How long a message may be, in bytes: domain XML and reports with differences are the longest.
const LONGEST: u64 = 64 << 20;

/// Reads messages.
#[derive(Debug)]
pub struct Messages<R> {
    stream: BufReader<R>,
    longest: u64,
}

impl<R: Read> Messages<R> {
    /// From a stream.
    pub fn new(stream: R) -> Self {
        Self { stream: BufReader::new(stream), longest: LONGEST }
    }

    /// From a stream, of at most so many bytes each, with the NUL.
    pub fn at_most(stream: R, longest: usize) -> Self {
        Self { longest: u64::try_from(longest).unwrap_or(u64::MAX), ..Self::new(stream) }
    }

    /// Whether a part of the next message was read already.
    pub fn has_begun(&self) -> bool {
        !self.stream.buffer().is_empty()
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// The stream fails, ends within a message, or what is there is not such a message, or too long a one
    /// ([`io::ErrorKind::FileTooLarge`]).
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut bytes = Vec::new();
        let read = (&mut self.stream).take(self.longest).read_until(0, &mut bytes)?;
        match bytes.pop() {
            None => Ok(None),
            Some(0) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Some(_) if u64::try_from(read).is_ok_and(|read| read >= self.longest) => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a message of more than {} bytes", self.longest),
            )),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a message without a NUL at its end")),
        }
    }
}

/// Writes one message, whole.
///
/// # Errors
/// The stream fails.
pub fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(0);
    stream.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn messages_come_one_by_one_and_cut_ones_are_errors() {
        let mut stream = Vec::new();
        send(&mut stream, &json!({"a": "b\u{0}c"})).unwrap();
        send(&mut stream, &json!(2)).unwrap();
        stream.extend(b"{\"cut\":");
        let mut messages = Messages::new(stream.as_slice());
        assert_eq!(messages.receive::<Value>().unwrap(), Some(json!({"a": "b\u{0}c"})));
        assert_eq!(messages.receive::<Value>().unwrap(), Some(json!(2)));
        assert!(messages.receive::<Value>().is_err());
        let mut end = Messages::new(&b""[..]);
        assert!(end.receive::<Value>().unwrap().is_none());
        assert!(Messages::new(&b"no json\0"[..]).receive::<Value>().is_err());
    }
}
