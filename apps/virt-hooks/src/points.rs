// SPDX-License-Identifier: Apache-2.0
//! `points`: the table of hook points.

use crate::cli::{Format, Locations, Points};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::list::pretty;
use crate::render::{Style, Table, duration, paint, wrapped};
use crate::streams::{Look, Streams};
use std::fmt::Write;
use virt_hooks_contract::{
    Catalogue, Failure as OnFailure, Origin, Output, PayloadKind, Point, Properties, Subject, User, env, exit,
};

pub(crate) fn run(
    points: &Points,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let catalogue = locations.host(environ)?.catalogue;
    let look = streams.output_look;
    let out = match (&points.name, points.format) {
        (Some(name), format) => {
            let point = catalogue.get(name).ok_or_else(|| unknown(name, &catalogue))?;
            if format == Format::Json { pretty(point)? } else { in_words(point, look) }
        }
        (None, Format::Json) => pretty(&catalogue.iter().collect::<Vec<_>>())?,
        (None, Format::Text) => table(&catalogue, look),
    };
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

/// There is no such point.
pub(crate) fn unknown(name: &str, catalogue: &Catalogue) -> Failure {
    let meant = catalogue.nearest(name).map(|n| format!(" did you mean \"{n}\"?")).unwrap_or_default();
    Failure::usage(format!(
        "no hook point \"{}\":{meant} \"virt-hooks points\" lists all",
        name.escape_debug()
    ))
}

fn table(catalogue: &Catalogue, look: Look) -> String {
    let mut table = Table::default();
    let heading = ["NAME", "PAYLOAD", "FAILURE", "OUTPUT", "USER", "DEADLINE", "SUMMARY"];
    table.row(heading.map(str::to_owned), Some(Style::Heading));
    for p in catalogue.iter() {
        let row = [
            p.name.to_string(),
            p.payload.to_string(),
            p.failure.to_string(),
            p.output.to_string(),
            p.user.to_string(),
            duration(p.deadline),
            p.summary.to_string(),
        ];
        table.row(row, None);
    }
    table.render(0, look)
}

/// Every column of one point.
fn in_words(p: &Point, look: Look) -> String {
    let mut out = format!("{}\n  {}\n\n", paint(&p.name, Style::Heading, look), p.summary);
    // In a terminal lines break between words; in a pipe they are whole.
    let width = look.columns.map_or(usize::MAX, |c| c.clamp(40, 100) - 18);
    let mut put = |label: &str, bullet: &str, text: &str| {
        for (n, line) in wrapped(text, width).iter().enumerate() {
            let (label, bullet) =
                if n == 0 { (label, bullet) } else { ("", if bullet.is_empty() { "" } else { "  " }) };
            let _ = writeln!(out, "  {label:<12}  {bullet}{line}");
        }
    };
    put("operation", "", &p.operation);
    put("when", "", &p.when);
    put(
        "about",
        "",
        match p.subject {
            Subject::Vm => "a VM",
            Subject::Device => "one device of a VM",
            Subject::Host => "the host",
        },
    );
    put("payload", "", &payload(p));
    put(
        "failure",
        "",
        match p.failure {
            OnFailure::Veto => "veto: a failing hook stops the operation",
            OnFailure::Advisory => "advisory: a failing hook is reported, the operation goes on",
        },
    );
    put(
        "output",
        "",
        match p.output {
            Output::Used => "used: the operation goes on with what the hooks made of the payload",
            Output::Ignored => "ignored: edits of the payload are without effect",
        },
    );
    put(
        "user",
        "",
        match p.user {
            User::Agent => "agent: the unprivileged user of the agent (hook_user)",
            User::Root => "root",
        },
    );
    put("deadline", "", &format!("{} for each hook, unless configured otherwise", duration(p.deadline)));
    put(
        "properties",
        "",
        match p.properties {
            Properties::None => "none",
            Properties::Vm => "the VM's custom properties, as variables of their names",
            Properties::Device => {
                "custom properties of the device and of the VM, as variables of their names; the VM's win"
            }
        },
    );
    put("variables", "", &variables(p).join(", "));
    for v in p.variables.iter() {
        put("", "- ", &format!("{}: {}", v.name, v.meaning));
    }
    put(
        "since",
        "",
        &match p.origin {
            Origin::Vdsm => format!("{} in VDSM", p.since),
            Origin::Host => "added on this host".to_owned(),
        },
    );
    for (n, note) in p.notes.iter().enumerate() {
        put(if n == 0 { "notes" } else { "" }, "- ", note);
    }
    out
}

fn payload(p: &Point) -> String {
    let file = payload_variable(p);
    let mut text = match p.payload {
        PayloadKind::Xml => format!("XML in the file named by {file}"),
        PayloadKind::Json => format!("JSON in the file named by {file}"),
        PayloadKind::None => return format!("none: {file} names an empty file"),
    };
    if !p.content.is_empty() {
        let _ = write!(text, ": {}", p.content);
    }
    if p.may_be_empty {
        text.push_str("; the file may be empty");
    }
    if !p.default_payload.is_empty() {
        let _ = write!(text, "; {} where none is given", p.default_payload);
    }
    if p.same_uuid {
        text.push_str("; the domain's UUID must stay as it is");
    }
    text
}

fn payload_variable(p: &Point) -> &'static str {
    if p.payload == PayloadKind::Json { env::JSON } else { env::DOMXML }
}

/// The variables hooks of the point find, custom properties aside.
fn variables(p: &Point) -> Vec<&'static str> {
    let mut names = vec![payload_variable(p)];
    if p.subject != Subject::Host {
        names.push(env::VM_ID);
    }
    names.extend([env::POINT, env::EVENT_ID, env::REASON, env::ATTEMPT, env::PYTHONPATH]);
    names
}
