// SPDX-License-Identifier: Apache-2.0
//! One text for two readers: what man pages and the book have in common is written once, on a sheet of either kind.
//!
//! In the texts back quotes mark what is typed or read literally.

use crate::roff;
use std::fmt::Write;

/// A page that is being written.
pub(crate) trait Sheet {
    /// A heading.
    fn section(&mut self, title: &str);
    /// A smaller heading.
    fn subsection(&mut self, title: &str);
    /// A paragraph.
    fn paragraph(&mut self, text: &str);
    /// A word and what it means; nothing where there is no meaning.
    fn item(&mut self, word: &str, text: &str);
    /// Lines as they are, in this language.
    fn example(&mut self, language: &str, text: &str);
}

/// A man page.
#[derive(Default)]
pub(crate) struct Roff {
    /// The page so far.
    pub(crate) text: String,
    /// A paragraph starts by itself after a heading.
    after_heading: bool,
}

impl Roff {
    /// A page with its title, its place in the manual and its name.
    pub(crate) fn new(title: &str, section: u8, name: &str, about: &str) -> Self {
        let mut page = Self::default();
        let (version, date) = (env!("CARGO_PKG_VERSION"), crate::man::DATE);
        let (title, name) = (roff::text(title), roff::text(name));
        page.line(&format!(".TH {title} {section} {date} \"virt-hooks {version}\" virt-hooks"));
        page.section("Name");
        page.line(&format!("{name} \\- {}", roff::text(about)));
        page
    }

    /// The last section: other pages, with their sections.
    pub(crate) fn see_also(&mut self, pages: &[(&str, u8)]) {
        self.section("See also");
        for (n, (page, section)) in pages.iter().enumerate() {
            let comma = if n + 1 < pages.len() { "," } else { "" };
            self.line(&format!(".BR {} ({section}){comma}", roff::text(page)));
        }
    }

    /// A request, or a line of text that is roff already.
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.after_heading = false;
    }
}

impl Sheet for Roff {
    fn section(&mut self, title: &str) {
        self.line(&format!(".SH \"{}\"", roff::text(&title.to_uppercase())));
        self.after_heading = true;
    }

    fn subsection(&mut self, title: &str) {
        self.line(&format!(".SS {}", roff::text(title)));
        self.after_heading = true;
    }

    fn paragraph(&mut self, text: &str) {
        if !self.after_heading {
            self.line(".PP");
        }
        self.line(&roff::text(text));
    }

    fn item(&mut self, word: &str, text: &str) {
        if !text.is_empty() {
            self.line(&format!(".TP\n.B {}\n{}", roff::text(word), roff::text(text)));
        }
    }

    fn example(&mut self, _language: &str, text: &str) {
        if !self.after_heading {
            self.line(".PP");
        }
        self.line(".nf");
        for line in text.lines() {
            // An empty line is a request of its own to some.
            self.line(&if line.is_empty() { "\\&".to_owned() } else { roff::literal(line) });
        }
        self.line(".fi");
    }
}

/// A chapter of the book.
#[derive(Default)]
pub(crate) struct Markdown {
    /// The chapter so far.
    pub(crate) text: String,
    /// The items of one list stand close together.
    in_list: bool,
}

impl Markdown {
    /// A chapter with its title, and what it is generated from.
    pub(crate) fn new(title: &str, source: &str) -> Self {
        let text = format!(
            "<!-- Generated from {source} by `cargo xtask generated --write`: edit that, not this page. -->\n# {title}\n"
        );
        Self { text, in_list: false }
    }

    /// Text that is Markdown already.
    pub(crate) fn block(&mut self, text: &str) {
        self.in_list = false;
        let _ = write!(self.text, "\n{}\n", text.trim_end());
    }
}

impl Sheet for Markdown {
    fn section(&mut self, title: &str) {
        self.block(&format!("## {title}"));
    }

    fn subsection(&mut self, title: &str) {
        self.block(&format!("### {title}"));
    }

    fn paragraph(&mut self, text: &str) {
        self.block(text);
    }

    fn item(&mut self, word: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.in_list {
            self.text.push('\n');
        }
        self.in_list = true;
        let word = if word.contains(' ') { format!("**{word}**") } else { format!("`{word}`") };
        let _ = writeln!(self.text, "- {word}: {}", text.replace('\n', " "));
    }

    fn example(&mut self, language: &str, text: &str) {
        self.block(&format!("```{language}\n{}\n```", text.trim_end()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(sheet: &mut dyn Sheet) {
        sheet.section("Where");
        sheet.paragraph("See `a-b`.");
        sheet.item("KEY", "What\nit is.");
        sheet.item("two words", "More.");
        sheet.item("nothing", "");
        sheet.example("toml", ".a = \"-\"\n\nb = 1\n");
    }

    #[test]
    fn one_text_for_two_readers() {
        let mut roff = Roff::default();
        write(&mut roff);
        assert_eq!(
            roff.text,
            ".SH \"WHERE\"\nSee \\fBa\\-b\\fR.\n.TP\n.B KEY\nWhat it is.\n.TP\n.B two words\nMore.\n.PP\n.nf\n\
             \\&.a = \\(dq\\-\\(dq\n\\&\nb = 1\n.fi\n"
        );
        let mut page = Markdown::new("T", "x");
        write(&mut page);
        let (_, body) = page.text.split_once("# T\n").unwrap();
        assert_eq!(
            body,
            "\n## Where\n\nSee `a-b`.\n\n- `KEY`: What it is.\n- **two words**: More.\n\n```toml\n.a = \"-\"\n\nb = 1\n```\n"
        );
    }
}
