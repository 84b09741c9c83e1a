// SPDX-License-Identifier: Apache-2.0
//! What is compiled, and for which machine.

/// The machine's number of an ELF file; `None` where it is not one.
pub(super) fn machine(content: &[u8]) -> Option<u16> {
    let header = content.get(..20).filter(|h| h.starts_with(b"\x7fELF"))?;
    let number = [header[18], header[19]];
    // Byte 5: 2 means big-endian.
    Some(if header[5] == 2 { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) })
}

/// The interpreter in a script's first line.
pub(super) fn interpreter(content: &[u8]) -> Option<&str> {
    let line = content.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let program = words.next()?;
    // What env looks up is what the package needs.
    if program.ends_with("/env") {
        words.find(|w| !w.starts_with('-') && !w.contains('='))
    } else {
        Some(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_either_byte_order() {
        let mut file = [0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18] = 62;
        assert_eq!(machine(&file), Some(62));
        file[5] = 2;
        file[18..20].copy_from_slice(&[0, 22]);
        assert_eq!(machine(&file), Some(22));
        assert_eq!(machine(b"\x7fELF"), None);
        assert_eq!(machine(b"#!/bin/sh\n: and more than twenty bytes\n"), None);
    }

    #[test]
    fn interpreters() {
        assert_eq!(interpreter(b"#!/usr/bin/python3 -I\nx"), Some("/usr/bin/python3"));
        assert_eq!(interpreter(b"#! /usr/bin/env -S perl -w\n"), Some("perl"));
        assert_eq!(interpreter(b"#!/usr/bin/env\n"), None);
        assert_eq!(interpreter(b"#!\n"), None);
        assert_eq!(interpreter(b"\x7fELF"), None);
    }
}
