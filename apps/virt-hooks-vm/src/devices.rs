// SPDX-License-Identifier: Apache-2.0
//! The verbs that change a running VM.

use crate::verbs::{finish, text};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use virt_hooks::cli::{
    Connected, Console, Link, Place, Property, VmChange, VmMemoryPlug, VmNicUpdate, VmPlug, VmSetCpus,
    VmSetTicket, VmUnplug, custom_properties,
};
use virt_hooks::operation::Destined;
use virt_hooks::render::{Style, paint, printable};
use virt_hooks::{Failure, Interrupt, Screen, Streams, payload};
use virt_hooks_agent::{
    Changed, CpusRequest, Driver, Error, Graphics, MemoryModule, NicChange, NicUpdate, PlugRequest, Ticket,
    TicketRequest, UnplugRequest, WhenConnected,
};
use virt_hooks_contract::{PayloadKind, Report, exit};
use virt_hooks_engine::Host;
use virt_hooks_journal::Journal;

/// How long a ticket may be, its line end included.
const LONGEST_TICKET: u64 = 4096;

type Plug = fn(
    &Driver,
    &PlugRequest<'_>,
    &mut dyn virt_hooks_agent::Watch,
    &mut Vec<Report>,
) -> Result<Changed, Error>;
type Unplug = fn(
    &Driver,
    &UnplugRequest<'_>,
    &mut dyn virt_hooks_agent::Watch,
    &mut Vec<Report>,
) -> Result<Changed, Error>;

pub(crate) fn nic_plug(plug: &VmPlug, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    plug_given("nic-plug", Driver::nic_plug, plug, host, streams)
}

pub(crate) fn disk_plug(plug: &VmPlug, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    plug_given("disk-plug", Driver::disk_plug, plug, host, streams)
}

pub(crate) fn memory_plug(plug: &VmMemoryPlug, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let xml = match (&plug.xml, plug.size) {
        (Some(place), _) => device_xml(place, &host, streams)?,
        (None, Some(size_mib)) => MemoryModule { size_mib, node: plug.node }.xml().into_bytes(),
        (None, None) => return Err(Failure::usage("how much? give --size SIZE or --xml FILE")),
    };
    change("memory-plug", &plug.change, plug.diff, host, streams, |driver, cancel, screen, events| {
        let request = PlugRequest {
            vm: &plug.change.vm,
            xml,
            properties: Vec::new(),
            timeout: plug.time.timeout,
            with_diff: plug.diff,
            cancel: Some(cancel),
        };
        driver.memory_plug(&request, screen, events)
    })
}

fn plug_given(
    verb: &'static str,
    function: Plug,
    plug: &VmPlug,
    host: Host,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let xml = device_xml(&plug.xml, &host, streams)?;
    let properties = texts(&plug.property)?;
    change(verb, &plug.change, plug.diff, host, streams, |driver, cancel, screen, events| {
        let request = PlugRequest {
            vm: &plug.change.vm,
            xml,
            properties,
            timeout: plug.time.timeout,
            with_diff: plug.diff,
            cancel: Some(cancel),
        };
        function(driver, &request, screen, events)
    })
}

pub(crate) fn nic_unplug(unplug: &VmUnplug, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    unplug_given("nic-unplug", Driver::nic_unplug, unplug, host, streams)
}

pub(crate) fn disk_unplug(unplug: &VmUnplug, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    unplug_given("disk-unplug", Driver::disk_unplug, unplug, host, streams)
}

fn unplug_given(
    verb: &'static str,
    function: Unplug,
    unplug: &VmUnplug,
    host: Host,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    change(verb, &unplug.change, false, host, streams, |driver, cancel, screen, events| {
        let request = UnplugRequest {
            vm: &unplug.change.vm,
            device: &unplug.device,
            wait: unplug.timeout,
            grace: unplug.grace,
            with_diff: false,
            cancel: Some(cancel),
        };
        function(driver, &request, screen, events)
    })
}

pub(crate) fn nic_update(update: &VmNicUpdate, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let wanted = match &update.xml {
        Some(place) => NicChange::Xml(device_xml(place, &host, streams)?),
        None => NicChange::Parts {
            link_up: update.link.map(|link| link == Link::Up),
            bridge: update.bridge.as_deref(),
            network: update.network.as_deref(),
        },
    };
    let properties = texts(&update.property)?;
    change("nic-update", &update.change, update.diff, host, streams, |driver, cancel, screen, events| {
        let request = NicUpdate {
            vm: &update.change.vm,
            nic: &update.nic,
            change: wanted,
            properties,
            timeout: update.time.timeout,
            with_diff: update.diff,
            cancel: Some(cancel),
        };
        driver.nic_update(&request, screen, events)
    })
}

pub(crate) fn set_cpus(set: &VmSetCpus, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    change("set-cpus", &set.change, false, host, streams, |driver, cancel, screen, events| {
        let request = CpusRequest {
            vm: &set.change.vm,
            count: set.count,
            timeout: set.time.timeout,
            cancel: Some(cancel),
        };
        driver.set_cpus(&request, screen, events)
    })
}

pub(crate) fn set_ticket(set: &VmSetTicket, host: Host, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let ticket = ticket(&set.ticket, streams)?;
    change("set-ticket", &set.change, false, host, streams, |driver, cancel, screen, events| {
        let request = TicketRequest {
            vm: &set.change.vm,
            ticket,
            graphics: set.graphics.map(|console| match console {
                Console::Vnc => Graphics::Vnc,
                Console::Spice => Graphics::Spice,
            }),
            valid: set.valid,
            connected: set.connected.map(|connected| match connected {
                Connected::Keep => WhenConnected::Keep,
                Connected::Disconnect => WhenConnected::Disconnect,
                Connected::Fail => WhenConnected::Fail,
            }),
            parameters: custom_properties(&set.parameter),
            timeout: set.time.timeout,
            cancel: Some(cancel),
        };
        driver.set_ticket(&request, screen, events)
    })
}

/// One change of a running VM, with its record and its words.
fn change(
    verb: &'static str,
    change: &VmChange,
    with_diffs: bool,
    host: Host,
    streams: &mut Streams<'_>,
    act: impl FnOnce(&Driver, BorrowedFd<'_>, &mut Screen, &mut Vec<Report>) -> Result<Changed, Error>,
) -> Result<u8, Failure> {
    host.check_layers()?;
    let report = Destined::prepare(change.report.as_ref())?;
    let journal = Journal::new(&host.state_dir);
    let driver = Driver::connect(change.connect.as_deref(), host);
    // Not before: as long as nothing was done a signal may simply end us.
    let interrupt = Interrupt::listen()?;
    let mut screen = Screen::new(streams.errors_look, with_diffs);
    let mut events = Vec::new();
    let done = driver.and_then(|driver| act(&driver, interrupt.as_fd(), &mut screen, &mut events));
    let vm = done.as_ref().ok().map(|c| (c.name.clone(), c.uuid.clone()));
    let (changed, error) = match done {
        Ok(changed) => (Some(changed), None),
        Err(error) => (None, Some(error)),
    };
    finish(verb, &report, error, vm.as_ref(), events, &journal, streams)?;
    if let Some(changed) = changed {
        for warning in &changed.warnings {
            let word = paint("warning", Style::Odd, streams.errors_look);
            streams.say(&format!("{word}: {}\n", printable(warning)));
        }
        let late = if changed.late { ", late" } else { "" };
        let word = paint(verb, Style::Good, streams.errors_look);
        streams.say(&format!(
            "{word}: {} of VM {}{late}\n",
            printable(&changed.what),
            printable(&changed.name)
        ));
    }
    Ok(exit::command::PROCEED)
}

fn device_xml(place: &Place, host: &Host, streams: &mut Streams<'_>) -> Result<Vec<u8>, Failure> {
    let limit = host.settings.payload_limit;
    let read = payload::read(place, &mut *streams.input, limit, PayloadKind::Xml, true)?;
    Ok(read.bytes.bytes().to_vec())
}

fn texts(properties: &[Property]) -> Result<Vec<(String, String)>, Failure> {
    properties.iter().map(text).collect()
}

fn ticket(place: &Place, streams: &mut Streams<'_>) -> Result<Ticket, Failure> {
    let mut bytes = Vec::new();
    let read = match place {
        Place::Standard => (&mut *streams.input).take(LONGEST_TICKET + 1).read_to_end(&mut bytes),
        Place::File(path) => {
            File::open(path).and_then(|file| file.take(LONGEST_TICKET + 1).read_to_end(&mut bytes))
        }
    };
    read.map_err(|e| Failure::unusable(format!("read the ticket: {e}")))?;
    if bytes.len() as u64 > LONGEST_TICKET {
        return Err(Failure::unusable(format!("the ticket is longer than {LONGEST_TICKET} bytes")));
    }
    Ticket::read(&bytes).map_err(Failure::unusable)
}
