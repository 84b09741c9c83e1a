// SPDX-License-Identifier: Apache-2.0
//! Rules for sudo: a mistake in one file of them, and sudo refuses all of its work to everybody.

use crate::build::{BuildError, Item, ItemKind};
use crate::tool::{ask_at, find};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where sudo reads the rules of packages.
pub(crate) const DIRECTORY: &str = "/etc/sudoers.d";
/// The mode that sudo wants.
const MODE: u32 = 0o440;

/// How far rules were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// There are none, or visudo finds them good.
    Good,
    /// Their names and modes are good; visudo, which would understand them, is not installed.
    WithoutVisudo,
}

/// Looks at the rules for sudo among a package's files. `existing`: the rules they are to be read together with.
///
/// # Errors
/// sudo would refuse one of them, or pass over it.
pub fn look(items: &[Item], existing: Option<&Path>) -> Result<Looked, BuildError> {
    look_with(items, existing, find("visudo").as_deref())
}

fn look_with(items: &[Item], existing: Option<&Path>, visudo: Option<&Path>) -> Result<Looked, BuildError> {
    let mut looked = Looked::Good;
    for item in items.iter().filter(|i| i.target.starts_with(DIRECTORY)) {
        let ItemKind::File { content, mode } = &item.kind else { continue };
        let name = item.target.file_name().unwrap_or_default().to_string_lossy();
        let wrong = |what: String| BuildError::Target {
            target: item.target.display().to_string().escape_debug().to_string(),
            what,
        };
        if let Some(what) = passed_over(&name) {
            return Err(wrong(what.to_owned()));
        }
        if *mode != MODE {
            return Err(wrong(format!("mode {mode:04o}: rules for sudo have mode {MODE:04o}")));
        }
        let Some(visudo) = visudo else {
            looked = Looked::WithoutVisudo;
            continue;
        };
        // Where it is there already, it would be read twice.
        let beside = existing.filter(|_| item.target.symlink_metadata().is_err());
        let refused = refusal(content, &name, beside, visudo)
            .map_err(|e| wrong(format!("cannot be shown to visudo: {e}")))?;
        if let Some(said) = refused {
            return Err(wrong(format!("sudo would do nothing any more, for nobody: visudo says: {said}")));
        }
    }
    Ok(looked)
}

/// Why sudo passes over a file of this name; `None`: it does not.
pub(crate) fn passed_over(name: &str) -> Option<&'static str> {
    (name.contains('.') || name.ends_with('~'))
        .then_some("sudo passes over files with a dot in their names or a tilde at the end: choose another")
}

/// What visudo objects to in rules, in a line; `None`: nothing. `beside` is read before them.
///
/// # Errors
/// There is no place for a copy of them.
pub(crate) fn refusal(
    content: &[u8],
    name: &str,
    beside: Option<&Path>,
    visudo: &Path,
) -> io::Result<Option<String>> {
    // As it will be called, so that the words are about that name; owner and mode are those it will have.
    let dir = tempfile::tempdir()?;
    let put = |file: &Path, text: &[u8]| {
        fs::write(file, text)?;
        fs::set_permissions(file, Permissions::from_mode(MODE))
    };
    let file = dir.path().join(name);
    put(&file, content)?;
    let objection = |file: &Path| {
        let said = ask_at(visudo, &["-c", "-f"], file)?;
        if said.good {
            return None;
        }
        let text = said.text.replace(&format!("{}/", dir.path().display()), "");
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        Some(lines.next().unwrap_or("it does not say why").to_owned())
    };
    if let Some(said) = objection(&file) {
        return Ok(Some(said));
    }
    // What was wrong before is not the package's fault.
    let Some(beside) = beside.filter(|b| b.is_file() && objection(b).is_none()) else { return Ok(None) };
    let both = dir.path().join("both.rules");
    put(&both, format!("#include {}\n#include {}\n", beside.display(), file.display()).as_bytes())?;
    Ok(objection(&both))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::layout::Role;

    fn look_at(name: &str, content: &str, mode: u32, visudo: Option<&Path>) -> Result<Looked, String> {
        let kind = ItemKind::File { content: content.into(), mode };
        let item = Item { target: Path::new(DIRECTORY).join(name), kind, role: Role::Configuration };
        look_with(&[item], None, visudo).map_err(|e| e.to_string())
    }

    #[test]
    fn without_visudo_names_and_modes_are_looked_at() {
        assert_eq!(look_at("50_mine", "anything", 0o440, None), Ok(Looked::WithoutVisudo));
        assert!(look_at("mine.conf", "", 0o440, None).unwrap_err().contains("passes over"));
        assert!(look_at("mine~", "", 0o440, None).unwrap_err().contains("passes over"));
        assert!(look_at("50_mine", "", 0o644, None).unwrap_err().contains("have mode 0440"));
        assert_eq!(look_with(&[], None, None).unwrap(), Looked::Good);
    }
}
