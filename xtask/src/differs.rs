// SPDX-License-Identifier: Apache-2.0
//! The cases in which bundled hooks mean to differ from VDSM's, of all packages in one list.

use crate::error::Error;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

/// All lists `<package>/cases/differs.txt` below `hooks`, with the package before each case.
///
/// # Errors
/// A list cannot be read, a line of one is no case with a reason, or a case has no expected result of its own.
pub(crate) fn page(hooks: &Path) -> Result<String, Error> {
    let mut page = String::from(
        "# The recorded cases in which a bundled hook does on purpose what VDSM's does not, and why. What it does\n\
         # instead is in the directory \"intended\" of the case. Generated from hooks/*/cases/differs.txt.\n",
    );
    let mut packages = fs::read_dir(hooks)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(Error::file("list", hooks))?;
    packages.sort();
    for package in packages {
        let cases = package.join("cases");
        let list = cases.join("differs.txt");
        let text = match fs::read_to_string(&list) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::file("read", &list)(e)),
        };
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what| Error::Differs { list: list.clone(), line: number + 1, what };
            let (case, reason) = line
                .split_once("  ")
                .filter(|(case, reason)| case.split('/').count() == 2 && !reason.trim().is_empty())
                .ok_or_else(|| wrong("expected POINT/CASE, two blanks and a reason"))?;
            if !cases.join(case).join("intended/expect.json").is_file() {
                return Err(wrong(
                    "the case has no intended/expect.json; \"tests/golden/run.sh record\" writes it for review",
                ));
            }
            let _ = writeln!(page, "{name}/{case}  {}", reason.trim());
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_are_one_and_each_line_is_looked_at() {
        let hooks = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = hooks.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("b/cases/differs.txt", "# comment\n\nbefore_vm_start/001-x  a reason\n");
        put("b/cases/before_vm_start/001-x/intended/expect.json", "{}");
        put("a/cases/differs.txt", "before_vm_start/002-y  another\n");
        put("a/cases/before_vm_start/002-y/intended/expect.json", "{}");
        put("none/hook.toml", "");
        let page = page(hooks.path()).unwrap();
        let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, ["a/before_vm_start/002-y  another", "b/before_vm_start/001-x  a reason"]);

        for (line, says) in [
            ("before_vm_start/001-x", "two blanks and a reason"),
            ("001-x  a reason", "two blanks and a reason"),
            ("before_vm_start/003-z  a reason", "no intended/expect.json"),
        ] {
            put("b/cases/differs.txt", &format!("# comment\n{line}\n"));
            let said = super::page(hooks.path()).unwrap_err().to_string();
            assert!(said.contains("differs.txt:2: ") && said.contains(says), "{said}");
        }
    }
}
