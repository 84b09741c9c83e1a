// SPDX-License-Identifier: Apache-2.0
//! Every man page is one that mandoc has nothing to say about.

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::{Command, ExitCode};
use virt_hooks_contract::Catalogue;
use xtask::man::{self, Page};

fn main() -> ExitCode {
    let mandoc = Command::new("mandoc").arg("-Tlint").stdin(std::process::Stdio::null()).output().is_ok();
    let why = if mandoc { "" } else { " (skipped: mandoc is not installed)" };
    let trials = man::pages(&Catalogue::built_in(), "/usr".as_ref())
        .into_iter()
        .map(|page| {
            Trial::test(format!("{}{why}", page.file), move || lint(&page)).with_ignored_flag(!mandoc)
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn lint(page: &Page) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join(&page.file);
    std::fs::write(&path, &page.text)?;
    let said = Command::new("mandoc").args(["-Tlint", "-W", "warning"]).arg(&path).output()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    if said.status.success() && text.is_empty() { Ok(()) } else { Err(text.into()) }
}
