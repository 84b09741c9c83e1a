// SPDX-License-Identifier: Apache-2.0
//! Signatures, made by the `gpg` of this host with a key that is in its key ring.
//!
//! No library of OpenPGP: keys stay with gpg, its agent and its smart cards, and the command stays small.

use super::error::BuildError;
use std::fs;
use std::process::{Command, Stdio};

/// A key of gpg's key ring, by whatever gpg knows it by.
pub(super) struct Key(String);

/// A detached signature.
pub(super) struct Signed {
    /// The OpenPGP packet.
    pub packet: Vec<u8>,
    /// Whether the key is an RSA one.
    pub is_rsa: bool,
}

/// RSA among the algorithms of OpenPGP (RFC 4880, 9.1).
const RSA: u8 = 1;

impl Key {
    pub(super) fn new(name: &str) -> Result<Self, BuildError> {
        if name.is_empty() || name.contains(char::is_control) {
            let what = "this names no key; \"gpg --list-secret-keys\" shows those there are".to_owned();
            return Err(BuildError::Sign { key: name.escape_debug().to_string(), what });
        }
        Ok(Self(name.to_owned()))
    }

    /// A signature of `content` for an rpm's header.
    pub(super) fn sign(&self, content: &[u8]) -> Result<Signed, BuildError> {
        let packet = self.run(content, &[])?;
        let algorithm =
            algorithm(&packet).ok_or_else(|| self.error("gpg wrote no signature that rpm knows"))?;
        Ok(Signed { packet, is_rsa: algorithm == RSA })
    }

    /// A signature of `content` to lie beside it as text, `.asc`.
    pub(super) fn sign_beside(&self, content: &[u8]) -> Result<Vec<u8>, BuildError> {
        self.run(content, &["--armor"])
    }

    fn run(&self, content: &[u8], more: &[&str]) -> Result<Vec<u8>, BuildError> {
        let dir =
            tempfile::tempdir().map_err(BuildError::file("make a directory in", &std::env::temp_dir()))?;
        let (input, output) = (dir.path().join("content"), dir.path().join("signature"));
        fs::write(&input, content).map_err(BuildError::file("write", &input))?;
        let said = Command::new("gpg")
            .args([
                "--batch",
                "--no-tty",
                "--quiet",
                "--digest-algo",
                "SHA256",
                "--detach-sign",
                "--local-user",
                &self.0,
            ])
            .args(more)
            .arg("--output")
            .args([&output, &input])
            .stdin(Stdio::null())
            .output()
            .map_err(|e| self.error(&format!("gpg cannot be run: {e}; install gnupg")))?;
        if !said.status.success() {
            let text = String::from_utf8_lossy(&said.stderr);
            let lines: Vec<&str> = text.lines().map(|l| l.trim_start_matches("gpg: ").trim()).collect();
            return Err(self.error(&format!("gpg: {}", lines.join("; "))));
        }
        fs::read(&output).map_err(BuildError::file("read", &output))
    }

    fn error(&self, what: &str) -> BuildError {
        BuildError::Sign { key: self.0.clone(), what: what.to_owned() }
    }
}

/// The algorithm of a version 4 signature packet (RFC 4880, 4.2 and 5.2.3).
fn algorithm(packet: &[u8]) -> Option<u8> {
    let first = *packet.first()?;
    let body = if first & 0x40 == 0 {
        // The old format: two bits say how long the length is.
        1 + [1, 2, 4].get(usize::from(first & 3))?
    } else {
        match packet.get(1)? {
            0..192 => 2,
            192..224 => 3,
            255 => 6,
            _ => return None,
        }
    };
    (*packet.get(body)? == 4).then(|| packet.get(body + 2).copied())?
}

#[cfg(test)]
mod tests {
    use super::algorithm;

    #[test]
    fn the_algorithm_is_found_behind_lengths_of_all_kinds() {
        assert_eq!(algorithm(&[0x88, 9, 4, 0, 1, 8]), Some(1));
        assert_eq!(algorithm(&[0x89, 0, 9, 4, 0, 22, 8]), Some(22));
        assert_eq!(algorithm(&[0xc2, 9, 4, 0, 17, 8]), Some(17));
        assert_eq!(algorithm(&[0xc2, 200, 9, 4, 0, 1, 8]), Some(1));
        assert_eq!(algorithm(&[0x88, 9, 6, 0, 1]), None);
        assert_eq!(algorithm(&[0x88]), None);
        assert_eq!(algorithm(&[]), None);
    }
}
