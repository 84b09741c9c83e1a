// SPDX-License-Identifier: Apache-2.0
//! Files that are generated and committed, so that they can be read where the sources are.

use crate::book;
use crate::bundled;
use crate::contract;
use crate::differs;
use crate::error::Error;
use crate::reference;
use crate::schema;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use virt_hooks_contract::Catalogue;

/// The path of each, and what it should hold.
fn files() -> Result<Vec<(&'static str, String)>, Error> {
    Ok(vec![
        ("docs/book/src/hook-points.md", book::page(&Catalogue::built_in())),
        ("docs/book/src/contract.md", contract::chapter()),
        ("docs/book/src/hook-toml.md", reference::manifest().chapter()),
        ("docs/book/src/config-toml.md", reference::config().chapter()),
        ("docs/book/src/bundled-hooks.md", bundled::page(&crate::root())?),
        ("docs/schema/config.schema.json", schema::config()?),
        ("docs/schema/report.schema.json", schema::report()?),
        ("docs/schema/hook.schema.json", schema::manifest()?),
        ("tests/golden/differs.txt", differs::page(&crate::root().join("hooks"))?),
    ])
}

/// Compares them with their sources.
///
/// # Errors
/// One is out of date, missing or cannot be read.
pub fn check() -> Result<(), Error> {
    check_in(&crate::root())
}

fn check_in(root: &Path) -> Result<(), Error> {
    let mut stale = String::new();
    for (path, wanted) in files()? {
        let place = root.join(path);
        let found = match fs::read_to_string(&place) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::file("read", &place)(e)),
        };
        if found != wanted {
            let diff = similar::TextDiff::from_lines(&found, &wanted);
            let diff = diff.unified_diff().context_radius(1).header(path, "generated").to_string();
            let shown: Vec<&str> = diff.lines().take(20).collect();
            let _ = writeln!(stale, "{}", shown.join("\n"));
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(Error::OutOfDate(stale)) }
}

/// Writes those that are out of date and says which.
///
/// # Errors
/// One cannot be written.
pub fn write() -> Result<String, Error> {
    write_in(&crate::root())
}

fn write_in(root: &Path) -> Result<String, Error> {
    let mut said = String::new();
    for (path, wanted) in files()? {
        let place = root.join(path);
        if fs::read_to_string(&place).is_ok_and(|text| text == wanted) {
            continue;
        }
        let dir = place.parent().unwrap_or(root);
        fs::create_dir_all(dir).map_err(Error::file("make", dir))?;
        fs::write(&place, wanted).map_err(Error::file("write", &place))?;
        let _ = writeln!(said, "wrote {path}");
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_up_to_date_and_what_is_edited_is_not() {
        let root = tempfile::tempdir().unwrap();
        assert!(check_in(root.path()).is_err());
        assert_eq!(write_in(root.path()).unwrap().lines().count(), files().unwrap().len());
        check_in(root.path()).unwrap();
        assert_eq!(write_in(root.path()).unwrap(), "");
        let page = root.path().join("docs/book/src/hook-points.md");
        let text = fs::read_to_string(&page).unwrap();
        fs::write(&page, text.replacen("before_vm_start", "before_vm_strat", 1)).unwrap();
        let said = check_in(root.path()).unwrap_err().to_string();
        assert!(
            said.contains("cargo xtask generated --write")
                && said.contains("-")
                && said.contains("before_vm_strat"),
            "{said}"
        );
    }
}
