// SPDX-License-Identifier: Apache-2.0
//! `try`: one hook on a copy of a payload.

use crate::cli::{Given, Locations, Place, Try, custom_properties};
use crate::destination::Destination;
use crate::environ::Environ;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::payload::{self, Payload};
use crate::points;
use crate::render::{self, Style, Table, paint, printable};
use crate::streams::{Look, Streams};
use std::fmt::Write;
use std::os::fd::AsFd;
use virt_hooks_contract::{PayloadKind, Point, Verdict, exit};
use virt_hooks_engine::{Event, Outcome};
use virt_hooks_package::samples::{SAMPLES, Sample};
use virt_hooks_package::try_hook::{Trial, Validity, validate, vm_xml};

/// The word that shows all samples.
pub(crate) const LIST: &str = "list";

pub(crate) fn run(
    it: &Try,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    if it.given.sample.as_deref() == Some(LIST) {
        let text = samples(streams.output_look);
        streams.print(text.as_bytes())?;
        return Ok(exit::command::PROCEED);
    }
    let (Some(hook), Some(point)) = (&it.hook, &it.point) else {
        return Err(Failure::usage(
            "try needs a hook and a point: virt-hooks try HOOK|DIR --point POINT, or --sample list",
        ));
    };
    let host = locations.host_with_warnings(environ, streams)?;
    let point = host.catalogue.get(point).ok_or_else(|| points::unknown(point, &host.catalogue))?;
    let output = it.output.as_ref().map(|place| Destination::prepare("payload", place)).transpose()?;
    let payload = payload(&it.given, point, host.settings.payload_limit, streams)?;
    let trial = Trial::prepare(hook, point, it.program.as_deref(), &host.settings)?;
    if let Some(sample) = Sample::for_point(point).filter(|_| !is_given(&it.given)) {
        let line = format!("payload: sample {}, {}\n", sample.name, sample.about);
        streams.say(&line);
    }
    let interrupt = Interrupt::listen()?;
    let vm = payload.vm(&it.property);
    let known = payload.vm_id.is_some() || payload.vm_name.is_some() || !vm.properties.is_empty();
    let parameters = custom_properties(&it.device_property);
    let event = Event {
        cancel: Some(interrupt.as_fd()),
        vm: known.then_some(&vm),
        parameters: Some(&parameters).filter(|p| !p.is_empty()),
        timeout: it.timeout,
        ..Event::new(point, payload.bytes.clone())
    };
    let look = streams.errors_look;
    let deadline = |hook: &_| trial.engine.deadline(&event, hook);
    let mut chain = render::Chain::new(&point.name, Box::new(&mut *streams.errors), look)
        .with_deadlines(&deadline)
        .with_diffs(true);
    let outcome = trial.engine.fire_observed(&event, &mut chain);
    drop(chain);
    streams.say(&not_run(&outcome, look));
    streams.say(&render::verdict(&outcome, look));
    if outcome.changed {
        streams.say(&validity(payload.bytes.bytes(), outcome.payload.bytes(), point, look));
    }
    if let Some(trouble) = &outcome.trouble {
        return Err(Failure::unusable(format!("{}: {}", point.name, trouble.line())));
    }
    if let Some(output) = output {
        output.write(outcome.payload.bytes(), streams)?;
    }
    let failed = outcome.verdict == Verdict::Veto || outcome.runs.iter().any(virt_hooks_engine::Run::failed);
    Ok(if failed { exit::command::VETO } else { exit::command::PROCEED })
}

/// All samples, a line each.
pub(crate) fn samples(look: Look) -> String {
    let mut table = Table::default();
    table.row(["NAME", "PAYLOAD", "WHAT"].map(str::to_owned), Some(Style::Heading));
    for sample in SAMPLES {
        table.row([sample.name.into(), sample.kind.to_string(), sample.about.into()], None);
    }
    table.render(0, look)
}

/// A hook that was asked for and did not run has to say why.
fn not_run(outcome: &Outcome, look: Look) -> String {
    let mut out = String::new();
    if outcome.runs.is_empty() {
        for skipped in &outcome.skipped {
            let word = paint("not run", Style::Odd, look);
            let _ = writeln!(out, "{word}: {}", printable(&skipped.reason.to_string()));
        }
    }
    out
}

/// What libvirt's schema says of the result, where the hook changed it.
fn validity(given: &[u8], result: &[u8], point: &Point, look: Look) -> String {
    if point.payload != PayloadKind::Xml {
        return String::new();
    }
    let mut out = String::new();
    let word = |word, style| paint(word, style, look);
    let _ = match validate(result) {
        Validity::Valid => {
            writeln!(out, "{}: the result is as libvirt's schema allows", word("schema", Style::Good))
        }
        Validity::Unknown(why) => {
            writeln!(out, "{}: not checked: {}", word("schema", Style::Aside), printable(&why))
        }
        Validity::Invalid(lines) => {
            let before = match validate(given) {
                Validity::Invalid(_) => ", nor was what the hook was given",
                _ => "",
            };
            let _ = writeln!(
                out,
                "{}: the result is not as libvirt's schema allows{before}",
                word("schema", Style::Bad)
            );
            for line in &lines {
                let _ = writeln!(out, "    {}", printable(line));
            }
            Ok(())
        }
    };
    out
}

/// Whether a payload was asked for.
fn is_given(it: &Given) -> bool {
    it.payload.is_some() || it.vm.is_some() || it.sample.is_some()
}

/// The payload that was asked for, or the sample of the point.
pub(crate) fn payload(
    it: &Given,
    point: &Point,
    limit: u64,
    streams: &mut Streams<'_>,
) -> Result<Payload, Failure> {
    let name = &point.name;
    if point.payload == PayloadKind::None {
        return if is_given(it) {
            Err(Failure::usage(format!("{name} has no payload: leave out --payload, --vm and --sample")))
        } else {
            Ok(Payload::default())
        };
    }
    let text = |text: &str| payload::read(&Place::Standard, &mut text.as_bytes(), limit, point.payload, true);
    if let Some(place) = &it.payload {
        return payload::read(place, &mut *streams.input, limit, point.payload, true);
    }
    if let Some(vm) = &it.vm {
        let xml = vm_xml(vm, it.connect.as_deref()).map_err(Failure::unusable)?;
        return text(&xml);
    }
    let sample = match &it.sample {
        Some(wanted) => Some(Sample::named(wanted).ok_or_else(|| {
            let names: Vec<&str> = SAMPLES.iter().map(|s| s.name).collect();
            Failure::usage(format!("no sample \"{}\": there are {}", wanted.escape_debug(), names.join(", ")))
        })?),
        None => Sample::for_point(point),
    };
    match sample {
        Some(sample) if sample.kind != point.payload => Err(Failure::usage(format!(
            "sample {} is {}, and {name} has {}: leave out --sample, or see --sample list",
            sample.name, sample.kind, point.payload
        ))),
        Some(sample) => text(sample.text),
        None => text(&point.default_payload),
    }
}
