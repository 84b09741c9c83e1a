// SPDX-License-Identifier: Apache-2.0
//! Words for a shell.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as one word for a shell. One with control characters, or that is not UTF-8, needs a shell that
/// knows `$'…'`.
pub(crate) fn path(path: &Path) -> String {
    word(path.as_os_str().as_bytes())
}

/// Bytes as one word for a shell.
pub(crate) fn word(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+:,@%=".contains(b);
    if !bytes.is_empty() && bytes[0] != b'-' && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut word = String::from("$'");
            for &b in bytes {
                let _ = match b {
                    b'\'' | b'\\' => write!(word, "\\{}", char::from(b)),
                    b' '..=b'~' => write!(word, "{}", char::from(b)),
                    _ => write!(word, "\\x{b:02x}"),
                };
            }
            word.push('\'');
            word
        }
    }
}

/// The command that makes `line` the first line of a file.
pub(super) fn first_line(line: &str, file: &Path) -> String {
    let line = line.replace('\\', r"\\").replace('|', r"\|").replace('&', r"\&");
    format!("sed -i {} {}", word(format!("1s|.*|{line}|").as_bytes()), path(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for name in [&b"50_a"[..], b"with space", b"it's", b"bad\xff", b"nl\n", b"-dash", b"$(x)`y`\"\\"] {
            let said = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {}", path(Path::new(OsStr::from_bytes(name))))])
                .output()
                .unwrap();
            assert_eq!(said.stdout, name);
        }
    }
}
