// SPDX-License-Identifier: Apache-2.0
//! `vm apply`.

use crate::verbs::finish;
use std::os::fd::AsFd;
use virt_hooks::cli::VmApply;
use virt_hooks::operation::Destined;
use virt_hooks::render::{Style, paint, printable};
use virt_hooks::{Failure, Interrupt, Screen, Streams};
use virt_hooks_agent::{ApplyRequest, Driver};
use virt_hooks_contract::exit;
use virt_hooks_engine::Host;
use virt_hooks_journal::Journal;

pub(crate) fn apply(apply: &VmApply, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    host.check_layers()?;
    let report = Destined::prepare(apply.report.as_ref())?;
    let journal = Journal::new(&host.state_dir);
    let driver = Driver::connect(apply.connect.as_deref(), host);
    let interrupt = Interrupt::listen()?;
    let request = ApplyRequest {
        vm: &apply.vm,
        undo: apply.undo,
        dry_run: apply.dry_run,
        timeout: apply.timeout,
        with_diff: apply.diff,
        cancel: Some(interrupt.as_fd()),
    };
    // The whole is shown at the end, not each hook's part.
    let mut screen = Screen::new(streams.errors_look, false);
    let mut events = Vec::new();
    let done = driver.and_then(|driver| driver.apply(&request, &mut screen, &mut events));
    let (defined, error) = match done {
        Ok(defined) => (Some(defined), None),
        Err(error) => (None, Some(error)),
    };
    let vm = defined.as_ref().map(|d| (d.name.clone(), d.uuid.clone()));
    finish("apply", &report, error, vm.as_ref(), events, &journal, streams)?;
    let Some(defined) = defined else { return Ok(exit::command::PROCEED) };
    if apply.diff {
        let diff: String = defined.diff.lines().map(|line| printable(line).into_owned() + "\n").collect();
        streams.print(diff.as_bytes())?;
    }
    let what = match (apply.undo, defined.changed, apply.dry_run) {
        (_, false, _) => "unchanged",
        (false, true, true) => "would be applied",
        (true, true, true) => "would be undone",
        (false, true, false) => "applied",
        (true, true, false) => "undone",
    };
    let name = printable(&defined.name).into_owned();
    streams.say(&format!("{}: the definition of VM {name}\n", paint(what, Style::Good, streams.errors_look)));
    Ok(exit::command::PROCEED)
}
