// SPDX-License-Identifier: Apache-2.0
//! From a call to an answer.
//!
//! What began or ended already is told by the agent where one watches, and here where none does; never by both, and
//! never by nobody: see [`virt_hooks_engine::Handover`]. That a socket accepts says nothing: it may be the service
//! manager's, and our own knock start an agent that comes too late to see this VM come or go.

use super::call::Call;
use super::deadline::Deadline;
use super::log;
use super::refusal::Refusal;
use super::stage::{Kind, Stage};
use crate::cli::Locations;
use crate::environ::Environ;
use crate::history;
use crate::streams::Streams;
use std::os::fd::AsFd;
use std::time::Duration;
use virt_hooks_contract::{Failure, Report, Verdict, env, exit};
use virt_hooks_engine::{
    CustomDevice, CustomProperties, Document, Engine, Event, Handover, Host, HostError, Machine, Outcome,
    Settings, Teller, Trouble, Unheeded, Vm, VmLock, agent_watching,
};
use virt_hooks_journal::Journal;

/// How long all hooks of a call may take together.
const DEADLINE: Duration = Duration::from_secs(120);
/// The same where a VM arrives: its source waits in the middle of a migration.
const MIGRATE_DEADLINE: Duration = Duration::from_secs(30);

/// Answers a call: fires what it means, writes XML where libvirt takes it, and gives the exit code.
pub(crate) fn answer(call: &Call, locations: &Locations, environ: &Environ, streams: &mut Streams<'_>) -> u8 {
    match fire_all(call, locations, environ, streams) {
        Ok(()) => exit::command::PROCEED,
        Err(refusal) => {
            log::say(streams, &refusal.to_string());
            // Where libvirt would do worse than refuse, the operation goes on, and the log has it.
            if call.may_refuse() { exit::command::VETO } else { exit::command::PROCEED }
        }
    }
}

fn fire_all(
    call: &Call,
    locations: &Locations,
    environ: &Environ,
    streams: &mut Streams<'_>,
) -> Result<(), Refusal> {
    // The end of a hook is a signal, which libvirt may have had ignored.
    virt_hooks_spawn::keep_ends_of_children();
    let mut host = locations.load(environ)?;
    match host.check_layers() {
        // Nothing is installed: nobody wants anything of this call.
        Err(HostError::NoLayers(..)) => return Ok(()),
        other => other?,
    }
    speak_utf8(&mut host.settings);
    let migrates = call.is("qemu", "migrate");
    let (length, key) = match (migrates, &host.libvirt_hook) {
        (true, set) => (set.migrate_deadline.unwrap_or(MIGRATE_DEADLINE), "migrate_deadline"),
        (false, set) => (set.deadline.unwrap_or(DEADLINE), "deadline"),
    };
    // A hook whose time is up has a while to end: that is part of it.
    let work = length.saturating_sub(host.settings.grace).max(length / 2);
    let system = |doing| move |source| Refusal::System { doing, source };
    let deadline = Deadline::after(work).map_err(system("set the deadline"))?;
    let limit = host.settings.payload_limit;
    let xml = deadline
        .read(rustix::stdio::stdin(), &mut *streams.input, limit)
        .map_err(system("read the XML libvirt gives on standard input"))?;
    let state_dir = host.state_dir.clone();
    let engine = Engine::new(host.settings.clone());
    engine.remove_stale();
    let mut answering = Answering {
        call,
        host: &host,
        engine,
        deadline,
        length,
        key,
        vm: None,
        reason: String::new(),
        attempt: 1,
        lines: Vec::new(),
        reports: Vec::new(),
    };
    let answered = answering.answer(&xml);
    let Answering { lines, reports, .. } = answering;
    for line in lines {
        log::say(streams, &line);
    }
    history::record(&Journal::new(state_dir), &reports, streams);
    if let Some(changed) = answered?
        && let Err(failure) = streams.print(changed.bytes())
    {
        return Err(Refusal::System {
            doing: "give libvirt the XML",
            source: std::io::Error::other(failure.message),
        });
    }
    Ok(())
}

/// libvirt calls its hook scripts in the C locale, where names that are not ASCII are no names to many programs.
fn speak_utf8(settings: &mut Settings) {
    settings.environment.retain(|(name, _)| name != b"LC_ALL");
    settings.environment.push((b"LC_ALL".to_vec(), b"C.UTF-8".to_vec()));
}

struct Answering<'a> {
    call: &'a Call,
    host: &'a Host,
    engine: Engine,
    deadline: Deadline,
    length: Duration,
    key: &'static str,
    vm: Option<Vm>,
    reason: String,
    attempt: u32,
    lines: Vec<String>,
    reports: Vec<Report>,
}

impl Answering<'_> {
    /// Fires what the call means. The XML, where it is to be another.
    fn answer(&mut self, xml: &[u8]) -> Result<Option<Document>, Refusal> {
        if self.call.driver == "network" {
            self.fire_of_host(xml)?;
            return Ok(None);
        }
        let mut machine =
            Machine::read(xml).map_err(|source| Refusal::Xml { object: self.call.object.clone(), source })?;
        self.vm = Some(machine.vm.clone());
        let run_dir = self.host.settings.run_dir.clone();
        let stage = Stage::of(&run_dir, &machine.vm.id);
        let handover = Handover::of(&run_dir, &self.host.state_dir, &machine.vm.id);
        if VmLock::is_held(&run_dir, &machine.vm.id)? {
            // A driver's operation: it fires its points itself.
            stage.remove();
            handover.clear();
            return Ok(None);
        }
        match self.call.operation.as_str() {
            "prepare" => {
                handover.clear();
                self.prepare(&mut machine, &stage)?;
            }
            "started" => {
                let kind = stage.prepared();
                stage.remove();
                self.started(&machine, kind, &handover);
            }
            "migrate" => return self.arrive(&mut machine, &stage),
            "restore" => return self.restore(&mut machine, &stage),
            "release" => {
                let failed = stage.was_starting();
                stage.remove();
                self.release(&machine, failed, &handover);
            }
            _ => self.fire_of_host(xml)?,
        }
        Ok(None)
    }

    fn prepare(&mut self, machine: &mut Machine, stage: &Stage) -> Result<(), Refusal> {
        let kind = stage.under_way().unwrap_or(Kind::Start);
        self.write(stage, kind);
        if matches!(kind, Kind::Arrival(_) | Kind::Restore) {
            // Their own points were fired, with the XML that they may change.
            return Ok(());
        }
        self.reason = "start".to_owned();
        let points = ["before_device_create", "before_vm_start"].map(|name| self.host.catalogue.get(name));
        let points: Vec<_> = points.into_iter().flatten().collect();
        // Before hooks change what it rests on.
        let applied = machine.mark().is_some_and(|mark| {
            self.engine.fingerprint(&points, machine).is_ok_and(|fingerprint| fingerprint == mark)
        });
        let changed = self.fire_devices("start", "before_device_create", machine, true)?;
        let outcome = self.fire("before_vm_start", machine.xml(), None);
        let changed = changed | outcome.changed;
        self.settle("start", outcome)?;
        let notes = Unheeded::of(&self.host.state_dir);
        if !changed || applied {
            notes.forget(&machine.vm.id);
            return Ok(());
        }
        let first = match notes.note(&machine.vm.id, machine.name()) {
            Ok(first) => first,
            Err(e) => {
                self.lines.push(format!("note that hooks change {}: {e}", machine.name()));
                true
            }
        };
        if self.host.require_agent {
            return Err(Refusal::Unheeded(machine.name().to_owned()));
        }
        if first {
            let line = format!(
                "{0}: hooks changed its XML at before_vm_start, and libvirt starts it without these changes: use \
                 \"virt-hooks vm start {0}\" or \"virt-hooks vm apply {0}\" (this is said once)",
                machine.name()
            );
            if let Some(report) = self.reports.last_mut() {
                report.warnings.push(line.clone());
            }
            self.lines.push(line);
        }
        Ok(())
    }

    fn started(&mut self, machine: &Machine, kind: Option<Kind>, handover: &Handover) {
        let agent = self.agent_watches();
        if !matches!(kind, Some(Kind::Arrival(_))) {
            // Before the first hook runs: an agent may be about to come.
            let teller = if agent { Teller::Agent } else { Teller::Script };
            if let Err(e) = handover.note(teller, &machine.life()) {
                self.lines.push(format!("{}: note who tells of its start: {e}", machine.name()));
            }
        }
        if agent {
            return;
        }
        match kind {
            Some(Kind::Restore) => {
                self.reason = "restore".to_owned();
                self.fire("after_vm_dehibernate", machine.xml(), Some(&from_snapshot()));
            }
            Some(Kind::Arrival(_)) => {}
            Some(Kind::Start | Kind::Refused(_)) | None => {
                self.reason = "start".to_owned();
                self.fire("after_vm_start", machine.xml(), None);
                self.fire_after_devices("after_device_create", machine);
            }
        }
    }

    fn arrive(&mut self, machine: &mut Machine, stage: &Stage) -> Result<Option<Document>, Refusal> {
        self.reason = "migrate".to_owned();
        self.attempt = stage.next_attempt();
        self.write(stage, Kind::Arrival(self.attempt));
        let answered = self.arrival_points(machine);
        if answered.is_err() {
            self.write(stage, Kind::Refused(self.attempt));
        }
        answered
    }

    fn arrival_points(&mut self, machine: &mut Machine) -> Result<Option<Document>, Refusal> {
        const OPERATION: &str = "take over";
        let devices = self.fire_devices(OPERATION, "before_device_migrate_destination", machine, false)?;
        let outcome = self.fire("before_vm_migrate_destination", machine.xml(), None);
        let changed = devices | outcome.changed;
        let xml = self.settle(OPERATION, outcome)?;
        Ok(changed.then_some(xml))
    }

    fn restore(&mut self, machine: &mut Machine, stage: &Stage) -> Result<Option<Document>, Refusal> {
        self.reason = "restore".to_owned();
        self.write(stage, Kind::Restore);
        let outcome = self.fire("before_vm_dehibernate", machine.xml(), Some(&from_snapshot()));
        let changed = outcome.changed;
        let settled = self.settle("restore", outcome);
        if settled.is_err() {
            stage.remove();
        }
        Ok(Some(settled?).filter(|_| changed))
    }

    fn release(&mut self, machine: &Machine, failed: bool, handover: &Handover) {
        if self.agent_watches() {
            handover.clear();
            return;
        }
        handover.ended();
        self.reason = if failed { "start-failed".to_owned() } else { self.call.stop_reason() };
        match self.reason.as_str() {
            "migrated" => {
                self.fire("after_vm_migrate_source", machine.xml(), None);
                self.fire_after_devices("after_device_migrate_source", machine);
            }
            "saved" => {
                self.fire("after_vm_hibernate", machine.xml(), None);
            }
            _ => {}
        }
        // As under VDSM also where the VM goes on elsewhere or later (C34): the reason says so.
        self.fire("after_vm_destroy", machine.xml(), None);
        self.fire_after_devices("after_device_destroy", machine);
    }

    /// A point about each device with custom properties, with those that are empty where VDSM fires it for them too.
    /// Whether one was changed; changes are in `machine`.
    fn fire_devices(
        &mut self,
        operation: &'static str,
        point: &str,
        machine: &mut Machine,
        with_empty: bool,
    ) -> Result<bool, Refusal> {
        let mut any = false;
        // The handles of the others stay good when one is replaced.
        for device in machine.custom_devices() {
            if device.properties().is_empty() && !with_empty {
                continue;
            }
            let outcome = self.fire_device(point, machine, &device);
            let changed = outcome.changed;
            let xml = self.settle(operation, outcome)?;
            if changed {
                any = true;
                machine
                    .replace_device(&device, &String::from_utf8_lossy(xml.bytes()))
                    .map_err(|source| Refusal::Xml { object: self.call.object.clone(), source })?;
            }
        }
        Ok(any)
    }

    fn fire_after_devices(&mut self, point: &str, machine: &Machine) {
        for device in machine.custom_devices().into_iter().filter(|d| !d.properties().is_empty()) {
            self.fire_device(point, machine, &device);
        }
    }

    fn fire_device(&mut self, point: &str, machine: &Machine, device: &CustomDevice) -> Outcome {
        self.fire(point, machine.device_xml(device), Some(device.properties()))
    }

    /// A point of this host's own for an operation that is none of VDSM's.
    fn fire_of_host(&mut self, xml: &[u8]) -> Result<(), Refusal> {
        let name = self.call.host_point();
        if self.host.catalogue.get(&name).is_none() {
            return Ok(());
        }
        self.reason = self.call.stop_reason();
        let outcome = self.fire(&name, xml, None);
        self.settle("libvirt", outcome).map(drop)
    }

    fn fire(
        &mut self,
        name: &str,
        payload: impl Into<Document>,
        parameters: Option<&CustomProperties>,
    ) -> Outcome {
        let unknown;
        let point = match self.host.catalogue.get(name) {
            Some(point) => point,
            // Not to be: the table holds every name used here, which a test shows.
            None => {
                unknown = virt_hooks_contract::Point::unknown(name);
                &unknown
            }
        };
        let role = point.role().map(|role| [(env::ROLE, role)]);
        let event = Event {
            vm: self.vm.as_ref(),
            parameters,
            variables: role.as_ref().map_or(&[], |role| role.as_slice()),
            reason: Some(&self.reason),
            attempt: self.attempt,
            failure: (!self.call.may_refuse()).then_some(Failure::Advisory),
            cancel: Some(self.deadline.as_fd()),
            ..Event::new(point, payload)
        };
        let outcome = self.engine.fire(&event);
        if outcome.verdict == Verdict::Proceed {
            let error = outcome.error_text();
            if !error.is_empty() {
                self.lines.push(format!("{}: {name}: {error}", self.call.object));
            }
        }
        self.reports.push(outcome.report(false));
        outcome
    }

    fn settle(&self, operation: &'static str, outcome: Outcome) -> Result<Document, Refusal> {
        let (object, point) = (self.call.object.clone(), outcome.point.clone());
        match (outcome.verdict, &outcome.trouble) {
            (Verdict::Proceed, _) => Ok(outcome.payload),
            (Verdict::Veto, Some(Trouble::Cancelled)) => {
                Err(Refusal::Late { operation, object, point, length: self.length, key: self.key })
            }
            (Verdict::Veto, _) => Err(Refusal::Veto { operation, object, point, text: outcome.error_text() }),
        }
    }

    fn write(&mut self, stage: &Stage, kind: Kind) {
        if let Err(e) = stage.write(kind) {
            self.lines.push(format!("{}: note how far it has come: {e}", self.call.object));
        }
    }

    /// Whether an agent hears what this libvirt tells.
    fn agent_watches(&self) -> bool {
        agent_watching(&self.host.settings.run_dir).is_some_and(|uri| is_of(&self.call.driver, &uri))
    }
}

/// Whether a URI is of the driver of libvirt's that a script is called by.
fn is_of(driver: &str, uri: &str) -> bool {
    let scheme = uri.split([':', '+']).next().unwrap_or_default();
    // The scripts of Xen's driver have a name of their own.
    scheme == if driver == "libxl" { "xen" } else { driver }
}

/// VDSM's parameter of its restore points. libvirt calls about files only, never about snapshots.
fn from_snapshot() -> CustomProperties {
    [("FROM_SNAPSHOT", false)].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_another_driver_does_not_see_this_vm() {
        for uri in ["qemu:///system", "qemu+unix:///system?socket=/x", "qemu:///embed?root=/x"] {
            assert!(is_of("qemu", uri) && !is_of("lxc", uri), "{uri}");
        }
        assert!(is_of("libxl", "xen:///system") && is_of("lxc", "lxc:///system"));
        assert!(!is_of("qemu", "test:///default") && !is_of("qemu", ""));
    }

    #[test]
    fn every_point_is_in_the_table() {
        let table = virt_hooks_contract::Catalogue::built_in();
        for name in include_str!("answer.rs").split('"').filter(|w| {
            ["before_", "after_"].iter().any(|p| w.starts_with(p)) && !w.ends_with('_') && !w.contains(' ')
        }) {
            assert!(table.get(name).is_some(), "{name}");
        }
    }
}
