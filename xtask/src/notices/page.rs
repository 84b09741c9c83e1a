// SPDX-License-Identifier: Apache-2.0
//! The notices as a file: a list of crates, then each text once.

use super::linked::Program;
use super::{Linked, NoticesError};
use crate::licences::is_allowed;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The C library in executables for musl.
const MUSL: &str = include_str!("../musl-notice.txt");

/// A crate of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// An SPDX expression, as it writes it.
    pub licence: String,
    /// Who wrote it, as far as it says.
    pub authors: Vec<String>,
    /// Where it comes from.
    pub repository: String,
    /// Its files of terms: name and text.
    pub texts: Vec<(String, String)>,
}

impl Crate {
    fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Whether a text is among its files that says what one may do: a notice alone does not.
    fn has_terms(&self) -> bool {
        self.texts.iter().any(|(name, _)| {
            let name = name.to_uppercase();
            !name.starts_with("NOTICE") && !name.starts_with("COPYRIGHT") && !name.starts_with("PATENTS")
        })
    }

    /// Its licence with one way of writing OR.
    fn terms(&self) -> String {
        let spaced = self.licence.replace('/', " OR ");
        spaced.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Texts, each once, numbered from 1 as they come.
#[derive(Default)]
struct Texts<'a>(Vec<(String, &'a str)>);

impl<'a> Texts<'a> {
    fn number(&mut self, of: &Crate, (name, text): (&str, &'a str)) -> usize {
        match self.0.iter().position(|(_, t)| *t == text) {
            Some(at) => at + 1,
            None => {
                self.0.push((format!("{name} of {}", of.title()), text));
                self.0.len()
            }
        }
    }

    /// The numbers of all texts of a crate.
    fn of(&mut self, it: &'a Crate) -> String {
        let numbers: BTreeSet<usize> = it.texts.iter().map(|(n, t)| self.number(it, (n, t))).collect();
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let noun = if numbers.len() == 1 { "text" } else { "texts" };
        format!("{noun} {}", numbers.join(", "))
    }
}

/// The file that goes with executables. The same crates give the same bytes.
///
/// # Errors
/// A crate says no licence, one that is not in `allowed`, or one whose text no crate has.
pub fn page(
    programs: &[Program],
    linked: &Linked,
    allowed: &BTreeSet<String>,
) -> Result<String, NoticesError> {
    let names: Vec<&str> = programs.iter().map(|p| p.name.as_str()).collect();
    let mut page = format!(
        "Code of others in {}\n\nEach crate is under the licence named in its line; its texts are below.\n\n",
        names.join(", ")
    );
    let mut texts = Texts::default();
    let mut sorted: Vec<&Crate> = linked.crates.iter().collect();
    sorted.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for it in sorted {
        if !is_allowed(&it.licence, allowed) {
            return Err(NoticesError::NotAllowed { name: it.title(), licence: it.licence.clone() });
        }
        let own = if it.texts.is_empty() { None } else { Some(texts.of(it)) };
        let where_ = if it.has_terms() {
            own.unwrap_or_default()
        } else {
            let lender = lender(it, &linked.known)
                .ok_or_else(|| NoticesError::NoText { name: it.title(), licence: it.licence.clone() })?;
            let authors = if it.authors.is_empty() { "not named".to_owned() } else { it.authors.join(", ") };
            let own = own.map(|o| format!("{o}; ")).unwrap_or_default();
            format!(
                "{own}no licence file of its own: {} of {}; authors: {authors}",
                texts.of(lender),
                lender.title()
            )
        };
        let _ = writeln!(page, "{}: {}: {where_}", it.title(), it.terms());
    }
    page.push_str("\nThe Rust standard library: MIT OR Apache-2.0: copyright the Rust Project Developers;\n");
    page.push_str("the text of Apache-2.0 is in LICENSE, beside this file.\n");
    let musl: Vec<&str> =
        programs.iter().filter(|p| p.target.ends_with("-musl")).map(|p| p.name.as_str()).collect();
    if !musl.is_empty() {
        texts.0.push(("COPYRIGHT of musl".to_owned(), MUSL));
        let _ = writeln!(page, "The C library musl, in {}: MIT: text {}", musl.join(", "), texts.0.len());
    }
    for (n, (title, text)) in texts.0.iter().enumerate() {
        let _ = write!(page, "\n{}\nText {}: {title}\n\n{text}", "=".repeat(72), n + 1);
    }
    Ok(page)
}

/// A crate with the text of the same licence: one of the same repository, else the first.
fn lender<'a>(of: &Crate, known: &'a [Crate]) -> Option<&'a Crate> {
    let fit = || known.iter().filter(|c| c.has_terms() && c.terms() == of.terms());
    let same = |c: &&Crate| !of.repository.is_empty() && c.repository == of.repository;
    fit().find(same).or_else(|| fit().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(name: &str, licence: &str, texts: &[(&str, &str)]) -> Crate {
        Crate {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.to_owned(),
            authors: vec![format!("author of {name}")],
            repository: format!("https://example.org/{name}"),
            texts: texts.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect(),
        }
    }

    fn of(crates: &[Crate]) -> Result<String, NoticesError> {
        let linked = Linked { crates: crates.to_vec(), known: crates.to_vec() };
        let program = Program { name: "p".to_owned(), target: "x86_64-unknown-linux-musl".to_owned() };
        let allowed = ["MIT", "ISC", "Apache-2.0"].map(str::to_owned).into();
        page(&[program], &linked, &allowed)
    }

    #[test]
    fn equal_texts_are_there_once() {
        let a = made_up("a", "MIT", &[("LICENSE", "terms\n"), ("NOTICE", "a wrote it\n")]);
        let b = made_up("b", "MIT/Apache-2.0", &[("LICENSE-MIT", "terms\n"), ("LICENSE-APACHE", "more\n")]);
        let said = of(&[b.clone(), a.clone()]).unwrap();
        assert_eq!(said, of(&[a, b]).unwrap());
        assert!(
            said.contains("a 1.0.0: MIT: texts 1, 2\nb 1.0.0: MIT OR Apache-2.0: texts 1, 3\n"),
            "{said}"
        );
        assert_eq!(said.matches("terms\n").count(), 1, "{said}");
        assert!(said.contains("musl, in p: MIT: text 4\n") && said.contains("Rich Felker"), "{said}");
    }

    #[test]
    fn a_text_is_lent_by_a_crate_of_the_same_licence() {
        let lends = made_up("a", "MIT", &[("LICENSE", "of a\n")]);
        let mut sister = made_up("s", "MIT", &[("LICENSE", "of s\n")]);
        let bare = made_up("z", "MIT", &[("NOTICE", "of z\n")]);
        let said = of(&[lends.clone(), bare.clone(), sister.clone()]).unwrap();
        let line =
            "z 1.0.0: MIT: text 3; no licence file of its own: text 1 of a 1.0.0; authors: author of z\n";
        assert!(said.contains(line), "{said}");
        sister.repository.clone_from(&bare.repository);
        let said = of(&[lends, bare, sister]).unwrap();
        assert!(said.contains("no licence file of its own: text 2 of s 1.0.0;"), "{said}");
    }

    #[test]
    fn what_cannot_be_passed_on_is_an_error() {
        let said = |c: Crate| of(&[c]).unwrap_err().to_string();
        for licence in ["", "GPL-3.0", "MIT AND", "LicenseRef-x"] {
            let said = said(made_up("x", licence, &[("LICENSE", "t\n")]));
            assert!(said.starts_with("x 1.0.0 is under ") && said.contains("cannot be passed on"), "{said}");
        }
        let said = said(made_up("x", "ISC", &[]));
        assert!(said.starts_with("x 1.0.0 has no licence file"), "{said}");
    }
}
