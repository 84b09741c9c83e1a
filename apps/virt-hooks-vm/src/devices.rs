// SPDX-License-Identifier: Apache-2.0
//! The verbs that change a running VM, as requests.

use crate::request::{Done, Request, milliseconds, properties, read_xml};
use std::fs::File;
use std::io::Read;
use virt_hooks::cli::{
    Connected, Console, Link, Place, VmChange, VmCommand, VmMemoryPlug, VmNicUpdate, VmPlug, VmSetCpus,
    VmSetTicket, VmUnplug,
};
use virt_hooks::{Failure, Streams};
use virt_hooks_agent::protocol::Parameters;
use virt_hooks_agent::{Graphics, MemoryModule, Ticket, WhenConnected};

/// How long a ticket may be, its line end included.
const LONGEST_TICKET: u64 = 4096;

/// The change of a command; `None` for one that is no such change.
pub(crate) fn request<'a>(
    command: &'a VmCommand,
    limit: u64,
    streams: &mut Streams<'_>,
) -> Result<Option<Request<'a>>, Failure> {
    let (names, change, parameters) = match command {
        VmCommand::NicPlug(it) => (("NicPlug", "nic-plug"), &it.change, plug(it, limit, streams)?),
        VmCommand::DiskPlug(it) => (("DiskPlug", "disk-plug"), &it.change, plug(it, limit, streams)?),
        VmCommand::MemoryPlug(it) => (("MemoryPlug", "memory-plug"), &it.change, memory(it, limit, streams)?),
        VmCommand::NicUnplug(it) => (("NicUnplug", "nic-unplug"), &it.change, unplug(it)),
        VmCommand::DiskUnplug(it) => (("DiskUnplug", "disk-unplug"), &it.change, unplug(it)),
        VmCommand::NicUpdate(it) => (("NicUpdate", "nic-update"), &it.change, update(it, limit, streams)?),
        VmCommand::SetCpus(it) => (("SetCpus", "set-cpus"), &it.change, cpus(it)),
        VmCommand::SetTicket(it) => (("SetTicket", "set-ticket"), &it.change, with_ticket(it, streams)?),
        _ => return Ok(None),
    };
    let VmChange { vm, whom, report } = change;
    let (method, verb) = names;
    let diff = parameters.diff;
    let parameters = Parameters { vm: Some(vm.clone()), ..parameters };
    Ok(Some(Request { method, verb, done: Done::Change, parameters, whom, report: report.as_ref(), diff }))
}

fn plug(plug: &VmPlug, limit: u64, streams: &mut Streams<'_>) -> Result<Parameters, Failure> {
    Ok(Parameters {
        xml: Some(read_xml("device", &plug.xml, limit, streams)?),
        properties: properties(&plug.property)?,
        timeout_ms: plug.time.timeout.map(milliseconds),
        diff: plug.diff,
        ..Parameters::default()
    })
}

fn memory(plug: &VmMemoryPlug, limit: u64, streams: &mut Streams<'_>) -> Result<Parameters, Failure> {
    let xml = match (&plug.xml, plug.size) {
        (Some(place), _) => read_xml("device", place, limit, streams)?,
        (None, Some(size_mib)) => MemoryModule { size_mib, node: plug.node }.xml(),
        (None, None) => return Err(Failure::usage("how much? give --size SIZE or --xml FILE")),
    };
    Ok(Parameters {
        xml: Some(xml),
        timeout_ms: plug.time.timeout.map(milliseconds),
        diff: plug.diff,
        ..Parameters::default()
    })
}

fn unplug(unplug: &VmUnplug) -> Parameters {
    Parameters {
        device: Some(unplug.device.clone()),
        wait_ms: Some(milliseconds(unplug.timeout)),
        grace_ms: Some(milliseconds(unplug.grace)),
        ..Parameters::default()
    }
}

fn update(update: &VmNicUpdate, limit: u64, streams: &mut Streams<'_>) -> Result<Parameters, Failure> {
    let xml = update.xml.as_ref().map(|place| read_xml("device", place, limit, streams)).transpose()?;
    Ok(Parameters {
        device: Some(update.nic.clone()),
        xml,
        link_up: update.link.map(|link| link == Link::Up),
        bridge: update.bridge.clone(),
        network: update.network.clone(),
        properties: properties(&update.property)?,
        timeout_ms: update.time.timeout.map(milliseconds),
        diff: update.diff,
        ..Parameters::default()
    })
}

fn cpus(set: &VmSetCpus) -> Parameters {
    Parameters {
        count: Some(set.count),
        timeout_ms: set.time.timeout.map(milliseconds),
        ..Parameters::default()
    }
}

fn with_ticket(set: &VmSetTicket, streams: &mut Streams<'_>) -> Result<Parameters, Failure> {
    Ok(Parameters {
        ticket: Some(ticket(&set.ticket, streams)?),
        graphics: set.graphics.map(|console| match console {
            Console::Vnc => Graphics::Vnc,
            Console::Spice => Graphics::Spice,
        }),
        valid_ms: set.valid.map(milliseconds),
        connected: set.connected.map(|connected| match connected {
            Connected::Keep => WhenConnected::Keep,
            Connected::Disconnect => WhenConnected::Disconnect,
            Connected::Fail => WhenConnected::Fail,
        }),
        properties: properties(&set.parameter)?,
        timeout_ms: set.time.timeout.map(milliseconds),
        ..Parameters::default()
    })
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
