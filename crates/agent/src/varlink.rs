// SPDX-License-Identifier: Apache-2.0
//! Varlink's frames: JSON objects with a NUL after each, over a stream.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};

/// How long a message may be, in bytes: domain XML and reports with differences are the longest.
const LONGEST: u64 = 64 << 20;

/// Reads messages.
#[derive(Debug)]
pub struct Messages<R>(BufReader<R>);

impl<R: Read> Messages<R> {
    /// From a stream.
    pub fn new(stream: R) -> Self {
        Self(BufReader::new(stream))
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// The stream fails, ends within a message, or what is there is not such a message.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut bytes = Vec::new();
        (&mut self.0).take(LONGEST).read_until(0, &mut bytes)?;
        match bytes.pop() {
            None => Ok(None),
            Some(0) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message without a NUL at its end, or too long",
            )),
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
