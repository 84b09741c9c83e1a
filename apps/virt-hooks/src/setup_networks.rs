// SPDX-License-Identifier: Apache-2.0
//! `host setup-networks`: needs no libvirt, so this executable does it itself.

use crate::cli::{Backend, HostSetupNetworks, Locations};
use crate::environ::Environ;
use crate::failure::Failure;
use crate::history;
use crate::interrupt::Interrupt;
use crate::operation::{Destined, Operation};
use crate::payload;
use crate::render::{Style, paint};
use crate::screen::Screen;
use crate::streams::Streams;
use std::os::fd::AsFd;
use virt_hooks_contract::{PayloadKind, exit};
use virt_hooks_engine::Engine;
use virt_hooks_journal::Journal;
use virt_hooks_networks::{Error, Setup, Way};

pub(crate) fn run(
    asked: &HostSetupNetworks,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let host = locations.host_with_warnings(environ, streams)?;
    host.check_layers()?;
    let report = Destined::prepare(asked.report.as_ref())?;
    let limit = host.settings.payload_limit;
    let request = payload::read(&asked.request, &mut *streams.input, limit, PayloadKind::Json, true)?;
    let journal = Journal::new(&host.state_dir);
    let engine = Engine::new(host.settings);
    engine.remove_stale();
    let interrupt = Interrupt::listen()?;
    let setup = Setup {
        engine: &engine,
        catalogue: &host.catalogue,
        state_dir: &host.state_dir,
        way: match asked.backend {
            Backend::Auto => Way::Auto,
            Backend::Nmstate => Way::Nmstate,
            Backend::Ip => Way::Ip,
        },
        timeout: asked.timeout,
        cancel: Some(interrupt.as_fd()),
        with_diff: asked.diff,
    };
    let mut screen = Screen::new(streams.errors_look, asked.diff);
    let mut events = Vec::new();
    let done = setup.carry_out(request.bytes.bytes(), &mut events, &mut screen);
    history::record(&journal, &events, streams);
    let operation = Operation {
        verb: "setup-networks",
        result: match &done {
            Ok(_) => "done",
            Err(Error::Veto(_) | Error::Edited(_)) => "vetoed",
            Err(_) => "failed",
        },
        vm_name: None,
        vm_id: None,
        error: done.as_ref().err().map(ToString::to_string),
        events,
    };
    let written = report.write(&operation, streams);
    let done = done.map_err(|e| failure(&e))?;
    written?;
    let until = if done.outlives_boot { "" } else { ", until the next boot" };
    streams.say(&format!(
        "{}: networks, with {}{until}\n",
        paint("set up", Style::Good, streams.errors_look),
        done.way
    ));
    Ok(exit::command::PROCEED)
}

fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Veto(_) | Error::Edited(_) => exit::command::VETO,
        Error::RolledBack(_) | Error::Stuck { .. } => exit::command::REFUSED,
        _ => exit::command::UNUSABLE,
    };
    Failure { code, message: error.to_string() }
}
