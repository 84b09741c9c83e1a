// SPDX-License-Identifier: Apache-2.0
//! The statistics of VMs, with VDSM's names.

use crate::driver::Driver;
use crate::error::Error;
use crate::host::{Files, Inquiry, Sampling, attribute_at, percent, read_xml};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use virt_hooks_domxml::Document;
use virt_hooks_libvirt::{Control, Domain, DomainStats, ErrorKind, State, StateInfo, XmlFlags};

/// How long QEMU may owe libvirt an answer before the VM counts as not responding, in milliseconds: VDSM's
/// `vm_command_timeout`.
const RESPONSIVE: u64 = 60_000;

impl Driver {
    /// The statistics of one VM: `before_get_vm_stats`, then what libvirt counts, then `after_get_vm_stats` on an
    /// array of one, whose first element is the answer (VDSM sequence 4.19).
    ///
    /// # Errors
    /// There is no such VM, and then no hook is run; hooks refuse it. Hooks after it cannot make it fail.
    pub fn vm_stats(&self, vm: &str, sampling: Sampling, inquiry: &mut Inquiry<'_>) -> Result<Value, Error> {
        let domain = self.connection.lookup(vm).map_err(Error::Unreachable)?;
        inquiry.may(self, "before_get_vm_stats", &format!("statistics of VM {}", domain.name()))?;
        let take = || domain.stats().map(|stats| vec![stats]);
        let answer = self.sample(sampling, take)?;
        let whole = |answer: &Value| answer.as_array().and_then(|a| a.first()).is_some_and(Value::is_object);
        let changed = inquiry.changed_by(self, "after_get_vm_stats", answer, whole)?;
        Ok(changed.get(0).cloned().unwrap_or_default())
    }

    /// The statistics of all VMs that run, a VM that is busy with fewer of them: `before_get_all_vm_stats`, then
    /// what libvirt counts, then `after_get_all_vm_stats` (VDSM sequence 4.19).
    ///
    /// # Errors
    /// Hooks refuse it; libvirt does not answer. Hooks after it cannot make it fail.
    pub fn all_vm_stats(&self, sampling: Sampling, inquiry: &mut Inquiry<'_>) -> Result<Value, Error> {
        inquiry.may(self, "before_get_all_vm_stats", "statistics of all VMs")?;
        let answer = self.sample(sampling, || self.connection.stats())?;
        inquiry.changed_by(self, "after_get_all_vm_stats", answer, Value::is_array)
    }

    fn sample(
        &self,
        sampling: Sampling,
        take: impl Fn() -> Result<Vec<DomainStats>, virt_hooks_libvirt::Error>,
    ) -> Result<Value, Error> {
        let earlier = match sampling {
            Sampling::SinceBoot => Vec::new(),
            Sampling::Over(_) => take().map_err(Error::Unreachable)?,
        };
        let between = if earlier.is_empty() { None } else { sampling.wait() };
        let earlier: BTreeMap<&str, &DomainStats> = earlier.iter().map(|s| (s.domain.uuid(), s)).collect();
        let files = Files::of_host();
        let mut answer = Vec::new();
        for now in take().map_err(Error::Unreachable)? {
            let rates = between.zip(earlier.get(now.domain.uuid()).copied());
            match of_vm(&now, rates, &files) {
                Ok(stats) => answer.push(Value::Object(stats)),
                // It went meanwhile.
                Err(e) if matches!(e.kind, ErrorKind::NoDomain) => {}
                Err(e) => return Err(Error::Unreachable(e)),
            }
        }
        Ok(answer.into())
    }
}

fn of_vm(
    now: &DomainStats,
    rates: Option<(Duration, &DomainStats)>,
    files: &Files,
) -> Result<Map<String, Value>, virt_hooks_libvirt::Error> {
    let domain = &now.domain;
    let state = domain.state()?;
    let mut stats = Map::new();
    let mut set = |key: &str, value: Value| stats.insert(key.to_owned(), value);
    set("vmId", domain.uuid().into());
    set("vmName", domain.name().into());
    set("status", status(state).into());
    // Milliseconds of the host's clock that is never set.
    let uptime = files.read("proc/uptime").and_then(|t| t.split_whitespace().next()?.parse::<f64>().ok());
    set("statusTime", format!("{:.0}", uptime.unwrap_or(0.0) * 1e3).into());
    if matches!(state.state, State::ShutOff | State::Crashed) {
        return Ok(stats);
    }
    set("monitorResponse", monitor(domain).into());
    set("pauseCode", pause_code(state).into());
    if let Ok(doc) = read_xml(&domain.xml(XmlFlags::default())?) {
        of_xml(&doc, &mut stats);
        stats.insert("network".into(), nics(now, rates, &doc));
    }
    let mut set = |key: &str, value: Value| stats.insert(key.to_owned(), value);
    if let Some(vcpus) = now.count("vcpu.current") {
        set("vcpuCount", vcpus.to_string().into());
    }
    if let Some(time) = now.count("cpu.time") {
        set("cpuUsage", time.to_string().into());
    }
    for (key, name) in [("cpuUser", "cpu.user"), ("cpuSys", "cpu.system")] {
        if let Some(rate) = per_second(now, rates, name) {
            // Nanoseconds in a second, in percent of one processor.
            set(key, format!("{:.2}", rate / 1e7).into());
        }
    }
    if let (Some(available), Some(unused)) = (now.count("balloon.available"), now.count("balloon.unused")) {
        let used = percent(available.saturating_sub(unused) as f64, available as f64);
        set("memUsage", format!("{used:.0}").into());
    }
    let mut balloon = Map::new();
    for (key, name) in [("balloon_cur", "balloon.current"), ("balloon_max", "balloon.maximum")] {
        if let Some(size) = now.count(name) {
            balloon.insert(key.to_owned(), size.to_string().into());
        }
    }
    set("balloonInfo", balloon.into());
    set("disks", disks(now, rates));
    Ok(stats)
}

/// VDSM's word for a state.
fn status(info: StateInfo) -> &'static str {
    // Reasons are libvirt's virDomainPausedReason.
    match (info.state, info.reason) {
        (State::ShutOff | State::Crashed, _) => "Down",
        (State::ShuttingDown, _) => "Powering down",
        (State::Paused, 2) => "Migration Source",
        (State::Paused, 3) => "Saving State",
        (State::Paused, 11) => "Powering up",
        (State::Paused | State::PmSuspended, _) => "Paused",
        _ => "Up",
    }
}

/// Why VDSM says a VM is paused. Which error of a disk it was, libvirt's statistics do not tell.
fn pause_code(info: StateInfo) -> &'static str {
    if info.state == State::Paused && info.reason == 5 { "EOTHER" } else { "NOERR" }
}

/// "0" where QEMU answers, "-1" where it does not.
fn monitor(domain: &Domain) -> &'static str {
    match domain.control() {
        Ok(Control::Broken) => "-1",
        Ok(Control::Occupied(since)) if since > RESPONSIVE => "-1",
        // A driver that cannot say has no monitor that could hang.
        _ => "0",
    }
}

fn of_xml(doc: &Document, stats: &mut Map<String, Value>) {
    let root = doc.root();
    let mut set = |key: &str, value: Value| stats.insert(key.to_owned(), value);
    set("vmType", "kvm".into());
    set("kvmEnable", doc.has(root, "type", "kvm").to_string().into());
    set("acpiEnable", doc.find("features/acpi").is_some().to_string().into());
    set(
        "timeOffset",
        attribute_at(doc, root, "clock", "adjustment").unwrap_or_else(|| "0".to_owned()).into(),
    );
    let displays: Vec<Value> = doc
        .find_all("devices/graphics")
        .into_iter()
        .map(|graphics| {
            let text = |name| doc.attribute(graphics, name).map(std::borrow::Cow::into_owned).unwrap_or_default();
            let listen = attribute_at(doc, graphics, "listen", "address").unwrap_or_else(|| text("listen"));
            json!({"type": text("type"), "port": text("port"), "tlsPort": text("tlsPort"), "ipAddress": listen})
        })
        .collect();
    set("displayInfo", displays.into());
}

/// How much a counter grew in a second.
fn per_second(now: &DomainStats, rates: Option<(Duration, &DomainStats)>, name: &str) -> Option<f64> {
    let (between, earlier) = rates?;
    let grown = now.count(name)?.saturating_sub(earlier.count(name)?);
    Some(grown as f64 / between.as_secs_f64().max(1e-3))
}

/// By the name the guest's device has in the XML.
fn disks(now: &DomainStats, rates: Option<(Duration, &DomainStats)>) -> Value {
    let mut disks = Map::new();
    for n in 0..now.count("block.count").unwrap_or(0) {
        let key = |part: &str| format!("block.{n}.{part}");
        let Some(name) = now.text(&key("name")) else { continue };
        // Disks may have come or gone between the samples; then their numbers are others.
        let rates = rates.filter(|(_, earlier)| earlier.text(&key("name")) == Some(name));
        let mut about = Map::new();
        for (to, from) in [
            ("readBytes", "rd.bytes"),
            ("writtenBytes", "wr.bytes"),
            ("readOps", "rd.reqs"),
            ("writeOps", "wr.reqs"),
            ("apparentsize", "capacity"),
            ("truesize", "allocation"),
        ] {
            if let Some(count) = now.count(&key(from)) {
                about.insert(to.to_owned(), count.to_string().into());
            }
        }
        for (to, from) in [("readRate", "rd.bytes"), ("writeRate", "wr.bytes")] {
            if let Some(rate) = per_second(now, rates, &key(from)) {
                about.insert(to.to_owned(), format!("{rate:.1}").into());
            }
        }
        // Nanoseconds an operation took.
        for (to, times, operations) in [
            ("readLatency", "rd.times", "rd.reqs"),
            ("writeLatency", "wr.times", "wr.reqs"),
            ("flushLatency", "fl.times", "fl.reqs"),
        ] {
            let done = per_second(now, rates, &key(operations));
            if let Some((done, time)) = done.zip(per_second(now, rates, &key(times))) {
                let each = if done > 0.0 { time / done } else { 0.0 };
                about.insert(to.to_owned(), format!("{each:.0}").into());
            }
        }
        disks.insert(name.to_owned(), about.into());
    }
    disks.into()
}

/// By the name of the device on the host.
fn nics(now: &DomainStats, rates: Option<(Duration, &DomainStats)>, doc: &Document) -> Value {
    let mut network = Map::new();
    for n in 0..now.count("net.count").unwrap_or(0) {
        let key = |part: &str| format!("net.{n}.{part}");
        let Some(name) = now.text(&key("name")) else { continue };
        let rates = rates.filter(|(_, earlier)| earlier.text(&key("name")) == Some(name));
        let element = doc
            .find_all("devices/interface")
            .into_iter()
            .find(|&nic| attribute_at(doc, nic, "target", "dev").as_deref() == Some(name));
        let mac = element.and_then(|nic| attribute_at(doc, nic, "mac", "address")).unwrap_or_default();
        let mut about = Map::from_iter([
            ("name".to_owned(), Value::from(name)),
            ("macAddr".to_owned(), mac.into()),
            ("state".to_owned(), "unknown".into()),
        ]);
        for (to, from) in [
            ("rx", "rx.bytes"),
            ("tx", "tx.bytes"),
            ("rxErrors", "rx.errs"),
            ("txErrors", "tx.errs"),
            ("rxDropped", "rx.drop"),
            ("txDropped", "tx.drop"),
        ] {
            if let Some(count) = now.count(&key(from)) {
                about.insert(to.to_owned(), count.to_string().into());
            }
        }
        for (to, from) in [("rxRate", "rx.bytes"), ("txRate", "tx.bytes")] {
            if let Some(rate) = per_second(now, rates, &key(from)) {
                about.insert(to.to_owned(), format!("{rate:.1}").into());
            }
        }
        network.insert(name.to_owned(), about.into());
    }
    network.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vdsms_words_for_libvirts_states() {
        let say = |state, reason| status(StateInfo { state, reason });
        let cases = [
            (State::Running, 1, "Up"),
            (State::Paused, 1, "Paused"),
            (State::Paused, 2, "Migration Source"),
            (State::Paused, 3, "Saving State"),
            (State::Paused, 5, "Paused"),
            (State::Paused, 11, "Powering up"),
            (State::ShuttingDown, 1, "Powering down"),
            (State::ShutOff, 1, "Down"),
            (State::Crashed, 1, "Down"),
        ];
        for (state, reason, word) in cases {
            assert_eq!(say(state, reason), word, "{state} {reason}");
        }
        assert_eq!(pause_code(StateInfo { state: State::Paused, reason: 5 }), "EOTHER");
        assert_eq!(pause_code(StateInfo { state: State::Paused, reason: 1 }), "NOERR");
    }
}
