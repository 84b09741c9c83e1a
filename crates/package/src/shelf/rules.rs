// SPDX-License-Identifier: Apache-2.0
//! Rules for sudo are looked at before they are installed: a mistake in one file of them, and sudo refuses everybody.

use super::error::ShelfError;
use crate::build::{Item, ItemKind};
use crate::tool;
use std::io::Write;
use std::path::Path;

const SUDOERS: &str = "/etc/sudoers.d";

/// Has visudo read the rules for sudo among these files. Where it is not installed nobody is kept out by them yet.
///
/// # Errors
/// It does not understand one of them, or they cannot be written down for it.
pub fn refuse_bad_rules(items: &[Item]) -> Result<(), ShelfError> {
    for item in items.iter().filter(|item| item.target.parent() == Some(Path::new(SUDOERS))) {
        let ItemKind::File { content, .. } = &item.kind else { continue };
        // Only its owner may read a temporary file, which is what visudo wants.
        let fail = |source| ShelfError::file("look at the rules for", &item.target)(source);
        let mut file = tempfile::NamedTempFile::new().map_err(fail)?;
        file.write_all(content).map_err(fail)?;
        if let Some(said) = tool::ask("visudo", &["-c", "-f"], file.path())
            && let Some(mistake) = mistake(&said)
        {
            let said = mistake.replace(&*file.path().to_string_lossy(), "line");
            return Err(ShelfError::BadRules { target: item.target.clone(), said });
        }
    }
    Ok(())
}

/// The line in which visudo names a mistake in rules; what it says of a file's owner and mode is none.
pub(crate) fn mistake(said: &tool::Said) -> Option<&str> {
    let mut lines = said.text.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = lines.clone().next()?;
    let names_one =
        |l: &str| l.contains("syntax error") || l.contains("parse error") || l.contains("undefined");
    (!said.good && lines.any(names_one)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::layout::Role;

    fn rules(target: &str, content: &str) -> Item {
        let kind = ItemKind::File { content: content.into(), mode: 0o440 };
        Item { target: target.into(), kind, role: Role::File }
    }

    #[test]
    fn rules_with_a_mistake_are_refused_in_visudos_words() {
        if tool::find("visudo").is_none() {
            eprintln!("not run: visudo is not installed");
            return;
        }
        let good = rules("/etc/sudoers.d/good", "vdsm ALL=(root) NOPASSWD: /usr/sbin/ip\n");
        refuse_bad_rules(std::slice::from_ref(&good)).unwrap();
        let bad = rules("/etc/sudoers.d/bad", "vdsm ALL=(root NOPASSWD /x\n");
        let said = refuse_bad_rules(&[good, bad]).unwrap_err().to_string();
        assert!(said.starts_with("/etc/sudoers.d/bad would keep sudo from working"), "{said}");
        assert!(said.contains("syntax error") || said.contains("parse error"), "{said}");
        assert!(!said.contains('\n'), "{said}");
        // Elsewhere it is nobody's rule.
        refuse_bad_rules(&[rules("/usr/share/doc/bad", "vdsm ALL=(root NOPASSWD /x\n")]).unwrap();
    }
}
