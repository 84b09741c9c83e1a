// SPDX-License-Identifier: Apache-2.0
//! `check`: what keeps hook packages from working.

use crate::cli::{Check, Format, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::pretty;
use crate::streams::Streams;
use virt_hooks_contract::exit;
use virt_hooks_package::check::{self, Options};
use virt_hooks_package::doctor::{is_broken, render};

pub(crate) fn run(
    check: &Check,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    let options =
        Options { program: check.program.as_deref(), target: check.target.map(Into::into), own: check.own };
    let mut findings = Vec::new();
    for dir in &check.dirs {
        if !dir.is_dir() {
            return Err(Failure::usage(format!(
                "{}: not a directory: give the directory of a hook package",
                dir.display()
            )));
        }
        findings.extend(check::check(dir, &host, options));
    }
    let out = match check.format {
        Format::Text => render(&findings, streams.output_look.colour),
        Format::Json => pretty(&findings)?,
    };
    streams.print(out.as_bytes())?;
    Ok(if is_broken(&findings) { exit::command::VETO } else { exit::command::PROCEED })
}
