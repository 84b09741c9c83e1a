// SPDX-License-Identifier: Apache-2.0
//! `fire --dry-run`: what an event would do.

use crate::cli::Format;
use crate::failure::Failure;
use crate::render::{Style, Table, count, duration, paint, printable};
use crate::streams::{Look, Streams};
use serde::Serialize;
use std::fmt::Write;
use virt_hooks_contract::{Failure as OnFailure, PayloadKind, SkippedRecord, env, exit};
use virt_hooks_engine::{Engine, Event, Plan};

/// A dry run, as programs read it.
#[derive(Serialize)]
struct Record<'a> {
    point: &'a str,
    payload: PayloadKind,
    failure: OnFailure,
    /// The user id hooks would run as; null: the caller's.
    user: Option<u32>,
    hooks: Vec<HookRecord>,
    skipped: Vec<SkippedRecord>,
    environment: serde_json::Map<String, serde_json::Value>,
    warnings: &'a [String],
    /// Values of properties that packages do not allow.
    objections: &'a [String],
}

#[derive(Serialize)]
struct HookRecord {
    path: String,
    deadline_ms: f64,
}

/// Shows what `event` would do, and does nothing.
pub(crate) fn show(
    engine: &Engine,
    event: &Event<'_>,
    format: Format,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let plan = engine.plan(event)?;
    let out = match format {
        Format::Text => text(event, &plan, streams.output_look),
        Format::Json => json(event, &plan)?,
    };
    streams.print(out.as_bytes())?;
    Ok(exit::command::PROCEED)
}

fn json(event: &Event<'_>, plan: &Plan) -> Result<String, Failure> {
    let record = Record {
        point: &event.point.name,
        payload: event.point.payload,
        failure: plan.failure,
        user: plan.user,
        hooks: plan
            .hooks
            .iter()
            .map(|h| HookRecord {
                path: h.hook.path.to_string_lossy().into_owned(),
                deadline_ms: h.deadline.as_secs_f64() * 1e3,
            })
            .collect(),
        skipped: plan.skipped.iter().map(Into::into).collect(),
        environment: plan.environment.iter().map(|(n, v)| (n.clone(), v.clone().into())).collect(),
        warnings: &plan.warnings,
        objections: &plan.objections,
    };
    crate::list::pretty(&record)
}

fn text(event: &Event<'_>, plan: &Plan, look: Look) -> String {
    let mut out = String::new();
    let heading = |text: &str| format!("{}\n", paint(text, Style::Heading, look));
    let user = plan.user.map_or("as the caller".to_owned(), |uid| format!("as user {uid}"));
    let failure = match plan.failure {
        OnFailure::Veto => "a failure would veto",
        OnFailure::Advisory => "a failure would be reported only",
    };
    let hooks = count(plan.hooks.len(), "hook");
    out.push_str(&heading(&format!("{}: {hooks} would run, {user}; {failure}", event.point.name)));
    let mut table = Table::default();
    for h in &plan.hooks {
        let limit = format!("at most {}", duration(h.deadline));
        table.row([name(&h.hook.path), limit, directory(&h.hook.path)], None);
    }
    out.push_str(&table.render(2, look));
    if !plan.skipped.is_empty() {
        out.push_str(&heading("Not run"));
        let mut table = Table::default();
        for s in &plan.skipped {
            table.row([name(&s.path), directory(&s.path), printable(&s.reason.to_string()).into()], None);
        }
        out.push_str(&table.render(2, look));
    }
    if !plan.hooks.is_empty() {
        let (inherited, own): (Vec<_>, Vec<_>) =
            plan.environment.iter().partition(|(name, _)| is_inherited(event, name));
        for (title, variables) in [("Environment", own), ("Environment of the caller", inherited)] {
            out.push_str(&heading(title));
            for (name, value) in variables {
                let line = format!("{name}={value}");
                let _ = writeln!(out, "  {}", printable(&line).replace('\n', "\\n"));
            }
        }
    }
    let (word, style) = match plan.failure {
        OnFailure::Veto => ("would veto", Style::Bad),
        OnFailure::Advisory => ("warning", Style::Odd),
    };
    for objection in &plan.objections {
        let _ = writeln!(out, "{}: {}", paint(word, style, look), printable(objection));
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "{}: {}", paint("warning", Style::Odd, look), printable(warning));
    }
    out
}

/// Whether a variable is only passed on. On a host with dozens of these the others would not be found.
fn is_inherited(event: &Event<'_>, name: &str) -> bool {
    let properties = event.vm.iter().flat_map(|vm| vm.properties.iter());
    let parameters = event.parameters.iter().flat_map(|p| p.iter());
    let given = properties.chain(parameters).any(|(property, _)| property == name.as_bytes());
    !given && name != env::VM_ID && name != env::PYTHONPATH && !name.starts_with("_hook_")
}

fn name(path: &std::path::Path) -> String {
    printable(&path.file_name().unwrap_or_default().to_string_lossy()).into_owned()
}

fn directory(path: &std::path::Path) -> String {
    printable(&path.parent().unwrap_or(path).to_string_lossy()).into_owned()
}
