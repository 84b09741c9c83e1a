// SPDX-License-Identifier: Apache-2.0
//! The reference page of the hook points, in Markdown.

use std::fmt::Write;
use virt_hooks_contract::{Catalogue, Failure, Output, PayloadKind, Point, Properties, User};

/// What an event's payload is, in words.
pub(crate) fn payload(point: &Point) -> String {
    let (kind, variable) = match point.payload {
        PayloadKind::Xml => ("XML", "_hook_domxml"),
        PayloadKind::Json => ("JSON", "_hook_json"),
        PayloadKind::None => return "none; `_hook_domxml` names an empty file".to_owned(),
    };
    let empty = if point.may_be_empty { "; may be empty" } else { "" };
    format!("{kind} in `{variable}`: {}{empty}", point.content)
}

/// Which variables hooks find beside the payload's, in words.
pub(crate) fn properties(point: &Point) -> &'static str {
    match point.properties {
        Properties::None => "no custom properties",
        Properties::Vm => "`vmId` and the custom properties of the VM",
        Properties::Device => "`vmId` and the custom properties of the device and of the VM; the VM's win",
    }
}

/// What a failing hook does, in words.
pub(crate) fn failure(point: &Point) -> &'static str {
    match point.failure {
        Failure::Veto => "vetoes the operation",
        Failure::Advisory => "is reported; the operation goes on",
    }
}

/// What becomes of the payload, in words.
pub(crate) fn output(point: &Point) -> &'static str {
    match (point.output, point.same_uuid) {
        (Output::Used, true) => "used; the UUID must stay",
        (Output::Used, false) => "used",
        (Output::Ignored, _) => "ignored",
    }
}

/// Who hooks run as, in words.
pub(crate) fn user(point: &Point) -> &'static str {
    match point.user {
        User::Agent => "the agent (`hook_user`)",
        User::Root => "root",
    }
}

/// A time as it is written in the configuration.
pub(crate) fn deadline(point: &Point) -> String {
    let seconds = point.deadline.as_secs();
    if seconds > 0 && seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}

/// The page.
pub fn page(catalogue: &Catalogue) -> String {
    let mut text = String::from(
        "<!-- Generated from crates/contract/points.toml by `cargo xtask generated --write`: edit the table, not this page. -->\n\
         # Hook points\n\n\
         A hook at a point is an executable file in the directory of that name. *Veto* is what a failing hook can do; *output* says \
         whether the document that hooks leave is acted upon. `virt-hooks points NAME` shows the same on a host, its own points included.\n\n\
         | point | what a hook can do there | payload | veto | output | user |\n|---|---|---|---|---|---|\n",
    );
    let yes = |it: bool| if it { "yes" } else { "" };
    for p in catalogue.iter() {
        let _ = writeln!(
            text,
            "| [{0}](#{0}) | {1} | {2} | {3} | {4} | {5} |",
            p.name,
            cell(&p.summary),
            if p.payload == PayloadKind::None { "" } else { p.payload.word() },
            yes(p.failure == Failure::Veto),
            if p.output == Output::Used { "used" } else { "" },
            if p.user == User::Root { "root" } else { "" },
        );
    }
    for p in catalogue.iter() {
        section(&mut text, p);
    }
    text
}

fn section(text: &mut String, p: &Point) {
    let _ = write!(text, "\n## {}\n\n{}.\n\n", p.name, p.summary);
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "- **{name}:** {value}");
        }
    };
    row("Operation", &p.operation);
    row("When", &p.when);
    row("About", p.subject.word());
    row("Payload", &payload(p));
    row("Environment", properties(p));
    for v in p.variables.iter() {
        row(&format!("`{}`", v.name), &v.meaning);
    }
    row("A failing hook", failure(p));
    row("Output", output(p));
    row("Runs as", user(p));
    row("Deadline of each hook", &deadline(p));
    row("In VDSM since", &p.since);
    if !p.notes.is_empty() {
        text.push('\n');
        for note in p.notes.iter() {
            let _ = writeln!(text, "{note}");
        }
    }
}

/// Text in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
