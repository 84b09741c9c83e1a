// SPDX-License-Identifier: Apache-2.0
//! `conflicts`: hooks of one chain that write the same place.

use crate::cli::{Conflicts, Format, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::list::pretty;
use crate::points;
use crate::render::{self, Style, count, paint, printable};
use crate::streams::{Look, Streams};
use crate::r#try::{LIST, payload, samples};
use serde::Serialize;
use std::fmt::Write;
use std::os::fd::AsFd;
use virt_hooks_contract::{PayloadKind, exit};
use virt_hooks_engine::{Engine, Event};
use virt_hooks_package::conflicts::{Conflict, conflicts};

/// A conflict, as programs read it.
#[derive(Serialize)]
struct Record<'a> {
    path: &'a str,
    writers: Vec<&'a str>,
    last: &'a str,
}

pub(crate) fn run(
    it: &Conflicts,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    if it.given.sample.as_deref() == Some(LIST) {
        let text = samples(streams.output_look);
        streams.print(text.as_bytes())?;
        return Ok(exit::command::PROCEED);
    }
    let host = locations.host_with_warnings(environ, streams)?;
    host.check_layers()?;
    let point = host.catalogue.get(&it.point).ok_or_else(|| points::unknown(&it.point, &host.catalogue))?;
    if point.payload != PayloadKind::Xml {
        return Err(Failure::usage(format!("{} has no XML that hooks could both write", point.name)));
    }
    let payload = payload(&it.given, point, host.settings.payload_limit, streams)?;
    let interrupt = Interrupt::listen()?;
    let vm = payload.vm(&it.property);
    let event = Event {
        cancel: Some(interrupt.as_fd()),
        vm: Some(&vm),
        timeout: it.timeout,
        ..Event::new(point, payload.bytes.clone())
    };
    let engine = Engine::new(host.settings.clone());
    let look = streams.errors_look;
    let mut chain = render::Chain::new(&point.name, Box::new(&mut *streams.errors), look);
    let outcome = engine.fire_observed(&event, &mut chain);
    drop(chain);
    streams.say(&render::verdict(&outcome, look));
    if let Some(trouble) = &outcome.trouble {
        return Err(Failure::unusable(format!("{}: {}", point.name, trouble.line())));
    }
    let found = conflicts(&outcome);
    let out = match it.format {
        Format::Json => pretty(&found.iter().map(record).collect::<Vec<_>>())?,
        Format::Text => text(&found, streams.output_look),
    };
    streams.print(out.as_bytes())?;
    if found.is_empty() {
        streams.say("no two hooks wrote the same\n");
        return Ok(exit::command::PROCEED);
    }
    streams.say(&format!("{} written by more than one hook\n", count(found.len(), "place")));
    Ok(exit::command::VETO)
}

fn record(conflict: &Conflict) -> Record<'_> {
    let writers: Vec<&str> = conflict.writers.iter().map(|(hook, _)| hook.as_str()).collect();
    Record { path: &conflict.path, last: writers.last().copied().unwrap_or_default(), writers }
}

/// Places and writers. Not what they wrote: it may be a secret.
fn text(found: &[Conflict], look: Look) -> String {
    let mut out = String::new();
    for conflict in found {
        let writers: Vec<&str> = conflict.writers.iter().map(|(hook, _)| hook.as_str()).collect();
        let last = writers.last().copied().unwrap_or_default();
        let _ = writeln!(
            out,
            "{}: {}; what {} wrote is what counts",
            paint(&printable(&conflict.path), Style::Odd, look),
            printable(&writers.join(", ")),
            printable(last)
        );
    }
    out
}
