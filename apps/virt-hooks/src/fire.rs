// SPDX-License-Identifier: Apache-2.0
//! `fire`: one event, from files to files.

use crate::cli::{Checking, Fire, Locations, Place, custom_properties};
use crate::destination::Destination;
use crate::environ::Environ;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::payload::{self, Payload};
use crate::render;
use crate::streams::Streams;
use crate::{dry_run, history, points};
use std::borrow::Cow;
use std::os::fd::AsFd;
use virt_hooks_contract::{Catalogue, PayloadKind, Point, Properties, Verdict, exit, is_point_name};
use virt_hooks_engine::{Engine, Event, Vm};
use virt_hooks_journal::Journal;

pub(crate) fn run(
    fire: &Fire,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host_with_warnings(environ, streams)?;
    let point = point(fire, &host.catalogue)?;
    host.check_layers()?;
    let results = if fire.dry_run { None } else { Some(Results::prepare(fire, point.payload)?) };
    let payload = payload(fire, &point, host.settings.payload_limit, streams)?;
    let vm = vm(fire, &payload);
    let parameters = custom_properties(&fire.device_property);
    // From here on an interrupt ends the hook that runs, and what was written is removed.
    let interrupt = if fire.dry_run { None } else { Some(Interrupt::listen()?) };
    let event = Event {
        cancel: interrupt.as_ref().map(AsFd::as_fd),
        vm: vm.as_ref(),
        parameters: Some(&parameters).filter(|p| !p.is_empty()),
        reason: fire.reason.as_deref(),
        attempt: fire.attempt,
        failure: fire.on_failure.map(Into::into),
        check: fire.check.into(),
        timeout: fire.timeout,
        ..Event::new(&point, payload.bytes)
    };
    let engine = Engine::new(host.settings);
    if !fire.dry_run {
        engine.remove_stale();
    }
    let journal = Journal::new(host.state_dir);
    warn_of_strangers(fire, &point, streams);
    match results {
        None => dry_run::show(&engine, &event, fire.format, streams),
        Some(results) => fire_and_tell(&engine, &event, fire.diff, &results, &journal, streams),
    }
}

fn fire_and_tell(
    engine: &Engine,
    event: &Event<'_>,
    with_diffs: bool,
    results: &Results,
    journal: &Journal,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let look = streams.errors_look;
    let deadline = |hook: &_| engine.deadline(event, hook);
    let mut chain = render::Chain::new(&event.point.name, Box::new(&mut *streams.errors), look)
        .with_deadlines(&deadline)
        .with_diffs(with_diffs);
    let outcome = engine.fire_observed(event, &mut chain);
    drop(chain);
    streams.say(&render::verdict(&outcome, look));
    history::record(journal, &[outcome.report(false)], streams);
    if let Some(report) = &results.report {
        let mut json = serde_json::to_vec_pretty(&outcome.report(with_diffs))
            .map_err(|e| Failure::unusable(format!("write the report: {e}")))?;
        json.push(b'\n');
        report.write(&json, streams)?;
    }
    if let Some(trouble) = &outcome.trouble {
        return Err(Failure::unusable(format!("{}: {}", event.point.name, trouble.line())));
    }
    if outcome.verdict == Verdict::Veto {
        return Ok(exit::command::VETO);
    }
    if let Some(output) = &results.output {
        output.write(outcome.payload.bytes(), streams)?;
    }
    Ok(exit::command::PROCEED)
}

/// Where the results go; seen to before the first hook runs.
struct Results {
    output: Option<Destination>,
    report: Option<Destination>,
}

impl Results {
    fn prepare(fire: &Fire, kind: PayloadKind) -> Result<Self, Failure> {
        let output = match &fire.output {
            Some(place) => Some(Destination::prepare("payload", place)?),
            None if kind == PayloadKind::None => None,
            None => Some(Destination::prepare("payload", &Place::Standard)?),
        };
        let report = fire.report.as_ref().map(|place| Destination::prepare("report", place)).transpose()?;
        let standard = |d: &Option<Destination>| d.as_ref().is_some_and(Destination::is_standard);
        if standard(&output) && standard(&report) {
            return Err(Failure::usage(
                "payload and report cannot both go to standard output: give --output FILE or --report FILE",
            ));
        }
        Ok(Self { output, report })
    }
}

/// The point with what the command line says of it.
fn point<'c>(fire: &Fire, catalogue: &'c Catalogue) -> Result<Cow<'c, Point>, Failure> {
    let name = fire.point.as_str();
    match (catalogue.get(name), fire.kind) {
        (Some(point), Some(kind)) if point.payload != kind.into() => {
            let default_payload = Cow::Borrowed("");
            Ok(Cow::Owned(Point { payload: kind.into(), default_payload, ..point.clone() }))
        }
        (Some(point), _) => Ok(Cow::Borrowed(point)),
        (None, Some(kind)) if is_point_name(name) => {
            Ok(Cow::Owned(Point { payload: kind.into(), ..Point::unknown(name) }))
        }
        (None, Some(_)) => Err(Failure::usage(format!(
            "\"{}\" cannot name a hook point: use lower-case letters, digits and \"_\", 64 at most",
            name.escape_debug()
        ))),
        (None, None) => Err(points::unknown(name, catalogue)),
    }
}

fn payload(fire: &Fire, point: &Point, limit: u64, streams: &mut Streams<'_>) -> Result<Payload, Failure> {
    let name = &point.name;
    match &fire.payload {
        Some(_) if point.payload == PayloadKind::None => {
            Err(Failure::usage(format!("{name} has no payload: leave out --payload")))
        }
        Some(place) => {
            let check = fire.check == Checking::Full;
            payload::read(place, &mut *streams.input, limit, point.payload, check)
        }
        None if !point.default_payload.is_empty() => {
            Ok(Payload { bytes: point.default_payload.as_bytes().into(), ..Payload::default() })
        }
        None if point.may_be_empty || point.payload == PayloadKind::None || fire.dry_run => {
            Ok(Payload::default())
        }
        None => Err(Failure::usage(format!(
            "{name} needs a payload: give one with --payload FILE, or - for standard input"
        ))),
    }
}

fn vm(fire: &Fire, payload: &Payload) -> Option<Vm> {
    let given = fire.vm_id.as_ref().map(|id| id.as_str().to_owned());
    let vm = Vm {
        id: given.or_else(|| payload.vm_id.clone()).unwrap_or_default(),
        name: fire.vm_name.clone().or_else(|| payload.vm_name.clone()),
        properties: custom_properties(&fire.property),
    };
    let known = !vm.id.is_empty() || vm.name.is_some() || !vm.properties.is_empty();
    known.then_some(vm)
}

/// A hook that works with properties its point never has works here only.
fn warn_of_strangers(fire: &Fire, point: &Point, streams: &mut Streams<'_>) {
    let stranger = match point.properties {
        Properties::None if !fire.property.is_empty() => "custom properties",
        Properties::None | Properties::Vm
            if !fire.device_property.is_empty() && point.variables.is_empty() =>
        {
            "device properties"
        }
        _ => return,
    };
    let warning = render::paint("warning", render::Style::Odd, streams.errors_look);
    let text = format!("{warning}: {} has no {stranger} outside of this command\n", point.name);
    streams.say(&text);
}
