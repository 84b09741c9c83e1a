// SPDX-License-Identifier: Apache-2.0
//! Colours, by meaning.

use crate::streams::Look;
use anstyle::{AnsiColor, Style as Ansi};
use std::fmt;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it should be; added.
    Good,
    /// As it should not be; removed.
    Bad,
    /// Worth a look.
    Odd,
    /// A heading.
    Heading,
    /// Beside the point.
    Aside,
}

impl Style {
    fn ansi(self) -> Ansi {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Odd => AnsiColor::Yellow.on_default(),
            Self::Heading => Ansi::new().bold(),
            Self::Aside => Ansi::new().dimmed(),
        }
    }
}

/// Text in a colour, where there are colours. Padding goes around the text, not around the codes.
pub struct Painted<'t> {
    ansi: Ansi,
    text: &'t str,
}

/// Text as it is shown at the end of a stream with this look.
pub fn paint(text: &str, style: Style, look: Look) -> Painted<'_> {
    Painted { ansi: if look.colour { style.ansi() } else { Ansi::new() }, text }
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ansi.render())?;
        f.pad(self.text)?;
        write!(f, "{}", self.ansi.render_reset())
    }
}
