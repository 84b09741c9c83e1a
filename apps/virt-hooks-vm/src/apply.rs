// SPDX-License-Identifier: Apache-2.0
//! `vm apply`.

use crate::request::{Done, Request, milliseconds};
use virt_hooks::cli::VmApply;
use virt_hooks::render::{Style, paint, printable};
use virt_hooks::{Failure, Streams};
use virt_hooks_agent::protocol::Parameters;

/// The request of the command.
pub(crate) fn request(apply: &VmApply) -> Request<'_> {
    Request {
        method: "Apply",
        verb: "apply",
        done: Done::Definition(apply),
        parameters: Parameters {
            vm: Some(apply.vm.clone()),
            undo: apply.undo,
            dry_run: apply.dry_run,
            timeout_ms: apply.timeout.map(milliseconds),
            diff: apply.diff,
            ..Parameters::default()
        },
        whom: &apply.whom,
        report: apply.report.as_ref(),
        // The whole is shown at the end, not each hook's part.
        diff: false,
    }
}

/// Tells what became of the definition.
pub(crate) fn tell(
    apply: &VmApply,
    (name, changed, diff): (&str, Option<bool>, Option<&str>),
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if apply.diff {
        let lines = diff.unwrap_or_default().lines();
        let diff: String = lines.map(|line| printable(line).into_owned() + "\n").collect();
        streams.print(diff.as_bytes())?;
    }
    let what = match (apply.undo, changed.unwrap_or_default(), apply.dry_run) {
        (_, false, _) => "unchanged",
        (false, true, true) => "would be applied",
        (true, true, true) => "would be undone",
        (false, true, false) => "applied",
        (true, true, false) => "undone",
    };
    let name = printable(name).into_owned();
    streams.say(&format!("{}: the definition of VM {name}\n", paint(what, Style::Good, streams.errors_look)));
    Ok(())
}
