// SPDX-License-Identifier: Apache-2.0
//! Standard input, output and error, and what a terminal at their end can show.

use crate::environ::Environ;
use crate::failure::Failure;
use crate::render;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::AsFd;

/// What can be shown at the end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colours.
    pub colour: bool,
    /// Lines that are overwritten.
    pub in_place: bool,
    /// The width of the terminal; `None` where there is none.
    pub columns: Option<usize>,
}

impl Look {
    fn of(stream: &(impl IsTerminal + AsFd), environ: &Environ) -> Self {
        if !stream.is_terminal() {
            return Self::default();
        }
        let dumb = environ.variable("TERM").is_none_or(|t| t.is_empty() || t == "dumb");
        let plain = environ.variable("NO_COLOR").is_some_and(|v| !v.is_empty());
        let columns = rustix::termios::tcgetwinsize(stream).map_or(80, |size| usize::from(size.ws_col));
        Self {
            colour: !dumb && !plain,
            in_place: !dumb,
            columns: Some(if columns == 0 { 80 } else { columns }),
        }
    }
}

/// The three standard streams.
pub struct Streams<'a> {
    /// Standard input.
    pub input: Box<dyn Read + 'a>,
    /// Standard output.
    pub output: Box<dyn Write + 'a>,
    /// What can be shown on standard output.
    pub output_look: Look,
    /// Standard error.
    pub errors: Box<dyn Write + 'a>,
    /// What can be shown on standard error.
    pub errors_look: Look,
}

impl Streams<'_> {
    /// Those of this process.
    pub fn of_process(environ: &Environ) -> Self {
        let (output, errors) = (io::stdout(), io::stderr());
        Self {
            output_look: Look::of(&output, environ),
            errors_look: Look::of(&errors, environ),
            input: Box::new(io::stdin()),
            output: Box::new(output),
            errors: Box::new(errors),
        }
    }

    /// Writes to standard output. A reader that has gone, as `head` does, is not an error.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn print(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.output.write_all(bytes).and_then(|()| self.output.flush()) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::unusable(format!("write to standard output: {e}")))
            }
            _ => Ok(()),
        }
    }

    /// Writes to standard error, whole, so that lines of several processes do not mix.
    pub fn say(&mut self, text: &str) {
        // There is no place left to complain to.
        let _ = self.errors.write_all(text.as_bytes());
    }

    /// Says something that keeps nothing from being done, in one line.
    pub fn warn(&mut self, what: &str) {
        let word = render::paint("warning", render::Style::Odd, self.errors_look);
        self.say(&format!("{word}: {}\n", render::printable(what)));
    }
}
