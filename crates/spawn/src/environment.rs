// SPDX-License-Identifier: Apache-2.0
//! The environment of a process, in the form `execve` takes.

use std::ffi::{CStr, c_char};

/// Variables in one buffer, built once for all hooks of an event.
#[derive(Clone, Default)]
pub struct Environment {
    text: Vec<u8>,
    starts: Vec<usize>,
}

impl Environment {
    /// An environment without variables, with room for `variables` of them in `bytes` bytes.
    pub fn with_capacity(variables: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), starts: Vec::with_capacity(variables) }
    }

    /// Adds a variable. The caller sees to it that a name is added once.
    ///
    /// Returns false, and adds nothing, where the pair cannot be in an environment: an empty name,
    /// a NUL in either, a `=` in the name.
    #[must_use]
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> bool {
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) || value.contains(&0) {
            return false;
        }
        self.starts.push(self.text.len());
        self.text.extend_from_slice(name);
        self.text.push(b'=');
        self.text.extend_from_slice(value);
        self.text.push(0);
        true
    }

    /// The variables in order, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.starts.iter().filter_map(|&start| {
            let pair = CStr::from_bytes_until_nul(self.text.get(start..)?).ok()?.to_bytes();
            let eq = pair.iter().position(|&b| b == b'=')?;
            Some((&pair[..eq], &pair[eq + 1..]))
        })
    }

    /// The null-terminated array for `execve`; valid while `self` is not changed.
    pub(crate) fn pointers(&self) -> Vec<*const c_char> {
        let mut p: Vec<*const c_char> = Vec::with_capacity(self.starts.len() + 1);
        p.extend(self.starts.iter().map(|&s| self.text[s..].as_ptr().cast::<c_char>()));
        p.push(std::ptr::null());
        p
    }
}

/// The names only: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_it_shows_no_value() {
        let mut e = Environment::default();
        assert!(e.push(b"vnc_password", b"s3cret") && e.push(b"PATH", b"/bin"));
        assert_eq!(format!("{e:?}"), "[\"vnc_password\", \"PATH\"]");
    }
}
