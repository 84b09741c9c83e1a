// SPDX-License-Identifier: Apache-2.0
//! Writes what a hook did down as what is expected of it.

use super::case::{Case, Own};
use super::compare::{Loose, difference};
use super::error::{CasesError, bad};
use super::own::extension;
use super::run::Attempt;
use super::{CALLS, CASE};
use std::fs;
use std::io;
use std::path::Path;

/// Writes the expectations of a case; whether any of them changed. A pattern for standard error stays as it is.
///
/// # Errors
/// The hook did not come to an end that can be expected, or a file cannot be written.
pub(super) fn write(case: &Case, own: &Own, got: &Attempt, calls: Option<&str>) -> Result<bool, CasesError> {
    if !got.ran() {
        if own.exit.is_none() {
            return Ok(false);
        }
        return Err(bad(
            &case.dir,
            "the hook was not run, which is not written down: say runs = false if it is meant",
        ));
    }
    let (Some(exit), None) = (got.exit(), got.problem()) else {
        return Err(bad(&case.dir, "the hook did not come to a good end, which is not written down"));
    };
    let mut changed = false;
    if own.exit != Some(exit) {
        let file = case.dir.join(CASE);
        let text =
            fs::read_to_string(&file).map_err(|source| CasesError::Read { path: file.clone(), source })?;
        replace(&file, with_exit(&text, exit).as_bytes())?;
        changed = true;
    }
    let file = case.dir.join(format!("expected.{}", extension(&case.point)));
    let differs = |expected: &[u8]| {
        difference(case.point.payload, expected, &got.payload, &case.payload, &Loose::default()).is_some()
    };
    match &own.payload {
        Some(expected) if differs(expected) => {
            replace(&file, &got.payload)?;
            changed = true;
        }
        None if differs(&case.payload) => {
            replace(&file, &got.payload)?;
            changed = true;
        }
        _ => {}
    }
    if let Some(calls) = calls
        && own.calls.as_deref().map(str::trim_end) != Some(calls.trim_end())
    {
        replace(&case.dir.join(CALLS), calls.as_bytes())?;
        changed = true;
    }
    Ok(changed)
}

/// The case file with another exit code; all else stays as it was written.
fn with_exit(text: &str, exit: i32) -> String {
    let mut out = String::with_capacity(text.len() + 10);
    let (mut in_table, mut done) = (false, false);
    for line in text.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        if line.trim_start().starts_with('[') && !in_table {
            in_table = true;
            if !done {
                out.push_str(&format!("exit = {exit}\n\n"));
                done = true;
            }
        }
        let replaced = !in_table && !done && matches!(key, "exit" | "runs");
        if replaced {
            out.push_str(&format!("exit = {exit}\n"));
            done = true;
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    if !done {
        out.push_str(&format!("exit = {exit}\n"));
    }
    out
}

/// A file is there as a whole or stays as it was.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), CasesError> {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".bless-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(dir)?;
        io::Write::write_all(&mut file, bytes)?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|source| CasesError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::with_exit;

    #[test]
    fn the_exit_code_alone_is_written_anew() {
        assert_eq!(with_exit("point = \"p\"\n", 1), "point = \"p\"\nexit = 1\n");
        assert_eq!(with_exit("exit = 0 # why\npoint = \"p\"\n", 2), "exit = 2\npoint = \"p\"\n");
        assert_eq!(
            with_exit("point = \"p\"\n[properties]\nexit = \"x\"\n", 2),
            "point = \"p\"\nexit = 2\n\n[properties]\nexit = \"x\"\n"
        );
    }
}
