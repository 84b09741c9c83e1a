// SPDX-License-Identifier: Apache-2.0
//! `history`: what hooks did in the past; and how events get there.

use crate::cli::{Format, History, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::render::{Style, Table, count, paint, printable};
use crate::streams::Streams;
use serde_json::Value;
use virt_hooks_contract::{Report, exit};
use virt_hooks_journal::Journal;

/// Keeps the records of events. An event that cannot be recorded has happened all the same: a warning.
pub fn record(journal: &Journal, reports: &[Report], streams: &mut Streams<'_>) {
    if let Err(e) = journal.record(reports) {
        let warning = paint("warning", Style::Odd, streams.errors_look);
        let text = format!("{warning}: {}\n", printable(&e.to_string()));
        streams.say(&text);
    }
}

pub(crate) fn run(
    history: &History,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host(environ)?;
    let journal = Journal::new(host.state_dir);
    let mut records = journal.read().map_err(|e| Failure::unusable(e.to_string()))?;
    records.retain(|r| wanted(history, r));
    let records = records.split_off(records.len().saturating_sub(history.last));
    let out = match history.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&records);
            json.map_err(|e| Failure::unusable(format!("write the history: {e}")))? + "\n"
        }
        Format::Text if records.is_empty() => {
            streams.say(&format!("no such event in {}\n", printable(&journal.path().to_string_lossy())));
            String::new()
        }
        Format::Text => table(&records).render(0, streams.output_look),
    };
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

fn wanted(history: &History, record: &Value) -> bool {
    let is = |key: &str, wanted: &str| record[key].as_str() == Some(wanted);
    history.vm.as_deref().is_none_or(|vm| is("vm_name", vm) || is("vm_id", vm))
        && history.point.as_deref().is_none_or(|point| is("point", point))
        && (!history.failed || !is("error", ""))
}

fn table(records: &[Value]) -> Table {
    let mut table = Table::default();
    table.row(["time", "verdict", "point", "vm", "what"].map(String::from), Some(Style::Heading));
    for record in records {
        let text = |key: &str| printable(record[key].as_str().unwrap_or_default()).into_owned();
        let runs = record["runs"].as_array().map_or(0, Vec::len);
        let changed = if record["changed"] == true { ", payload changed" } else { "" };
        let error = text("error");
        let what = match error.as_str() {
            "" => format!("{}{changed}", count(runs, "hook")),
            error => error.to_owned(),
        };
        let style =
            (!error.is_empty()).then_some(if record["verdict"] == "veto" { Style::Bad } else { Style::Odd });
        // The journal is in UTC; a second is as much as people read.
        let time = text("time").chars().take(19).collect::<String>().replace('T', " ");
        let vm = if text("vm_name").is_empty() { text("vm_id") } else { text("vm_name") };
        table.row([time, text("verdict"), text("point"), vm, what], style);
    }
    table
}
