// SPDX-License-Identifier: Apache-2.0
//! A file in a hooks directory and the beginning of what it holds.

use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::fs::{File as Opened, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use virt_hooks_engine::SkipReason;

/// How much of a file is looked at for what it is.
const HEAD: usize = 64 << 10;
/// How much of a script is looked at for its line ends.
const SCRIPT: u64 = 16 << 20;

/// What the engine makes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Runs,
    Skipped(SkipReason),
    /// Not even listed: its name starts with a dot.
    Hidden,
    /// A link to `/dev/null`.
    Mask,
    Directory,
    /// In a directory that is no hook point, or in none.
    Elsewhere,
}

/// A directory entry.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) layer: usize,
    pub(super) state: State,
    /// Where it leads, if it is a link.
    pub(super) link: Option<PathBuf>,
    /// What it is, links followed.
    pub(super) meta: io::Result<Metadata>,
    /// Of a regular file.
    pub(super) content: Content,
}

/// The beginning of a regular file.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) head: Vec<u8>,
    /// Whether lines of it end in CR LF, further on too if it is a script.
    pub(super) crlf: bool,
    pub(super) error: Option<io::Error>,
}

impl File {
    pub(super) fn look(path: PathBuf, layer: usize, state: State) -> Self {
        let link = std::fs::read_link(&path).ok();
        let meta = std::fs::metadata(&path);
        let content = match &meta {
            Ok(m) if m.is_file() => Content::of(&path),
            _ => Content::default(),
        };
        Self { path, layer, state, link, meta, content }
    }

    pub(super) fn name(&self) -> &[u8] {
        self.path.file_name().map_or(b"", OsStr::as_bytes)
    }

    pub(super) fn shown_name(&self) -> String {
        String::from_utf8_lossy(self.name()).into_owned()
    }

    /// Its metadata, if it is a regular file in the end.
    pub(super) fn regular(&self) -> Option<&Metadata> {
        self.meta.as_ref().ok().filter(|m| m.is_file())
    }

    pub(super) fn has_execute_bit(&self) -> bool {
        self.regular().is_some_and(|m| m.mode() & 0o111 != 0)
    }

    /// The file itself: an editor in place would put a file where a link is.
    pub(super) fn target(&self) -> PathBuf {
        self.link
            .as_ref()
            .and_then(|_| std::fs::canonicalize(&self.path).ok())
            .unwrap_or_else(|| self.path.clone())
    }

    pub(super) fn is_script(&self) -> bool {
        let head = &self.content.head;
        head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).starts_with(b"#!")
    }

    pub(super) fn is_elf(&self) -> bool {
        self.content.head.starts_with(b"\x7fELF")
    }

    /// Whether somebody who put it here wanted it to run.
    pub(super) fn looks_like_a_hook(&self) -> bool {
        const DATA: &[&str] =
            &["md", "txt", "rst", "conf", "cfg", "ini", "json", "xml", "toml", "yaml", "pyc"];
        let digits = self.name().iter().take_while(|b| b.is_ascii_digit()).count();
        let is_data = self.path.extension().and_then(OsStr::to_str).is_some_and(|e| DATA.contains(&e));
        self.regular().is_some()
            && (self.is_script() || self.is_elf() || (digits > 0 && self.name().get(digits) == Some(&b'_')))
            && !is_data
            && !self.is_helper_by_name()
    }

    /// `*_utils.py`, the name VDSM's hooks give to what they share, and compiled modules.
    pub(super) fn is_helper_by_name(&self) -> bool {
        let name = self.name();
        name.ends_with(b"_utils.py") || name.ends_with(b".pyc") || name.ends_with(b".pyo")
    }

    /// The text of its beginning; binary files give none.
    pub(super) fn text(&self) -> &str {
        let head = &self.content.head;
        if head.contains(&0) {
            return "";
        }
        match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or(""),
        }
    }

    /// Whether a line of it imports the Python module `module`.
    pub(super) fn imports(&self, module: &str) -> bool {
        self.text().lines().any(|line| {
            let mut words =
                line.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|w| !w.is_empty());
            match words.next() {
                Some("from") => {
                    words.next().is_some_and(|w| w == module || w.split('.').next() == Some(module))
                }
                Some("import") => words.any(|w| w == module),
                _ => false,
            }
        })
    }
}

impl Content {
    fn of(path: &Path) -> Self {
        let mut content = Self::default();
        if let Err(e) = content.read(path) {
            content.error = Some(e);
        }
        content
    }

    fn read(&mut self, path: &Path) -> io::Result<()> {
        // What was a file a moment ago may be a FIFO by now: opening one must not wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut file = Opened::from(rustix::fs::open(path, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Ok(());
        }
        (&mut file).take(HEAD as u64).read_to_end(&mut self.head)?;
        self.crlf = has_crlf(&self.head, false);
        if self.crlf || self.head.len() < HEAD || self.head.contains(&0) || !self.head.starts_with(b"#!") {
            return Ok(());
        }
        let mut rest = file.take(SCRIPT);
        let mut chunk = vec![0; HEAD];
        let mut after_cr = self.head.last() == Some(&b'\r');
        loop {
            let n = rest.read(&mut chunk)?;
            if n == 0 {
                return Ok(());
            }
            if has_crlf(&chunk[..n], after_cr) {
                self.crlf = true;
                return Ok(());
            }
            after_cr = chunk[n - 1] == b'\r';
        }
    }
}

fn has_crlf(bytes: &[u8], after_cr: bool) -> bool {
    (after_cr && bytes.first() == Some(&b'\n')) || bytes.windows(2).any(|w| w == b"\r\n")
}
