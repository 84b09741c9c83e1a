// SPDX-License-Identifier: Apache-2.0
//! The statistics of a host, with VDSM's names.

use super::cpu::Sample;
use super::{Files, Inquiry, Sampling, nics, percent};
use crate::driver::Driver;
use crate::error::Error;
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};
use virt_hooks_contract::format_time;
use virt_hooks_libvirt::State;

/// libvirt's `VIR_DOMAIN_PAUSED_MIGRATION`.
const PAUSED_MIGRATION: i32 = 2;

impl Driver {
    /// The statistics of the host, with VDSM's names: `before_get_stats`, then what can be told of it, then
    /// `after_get_stats`, which may change it (VDSM sequence 4.19).
    ///
    /// # Errors
    /// Hooks refuse it; libvirt does not answer. Hooks after it cannot make it fail.
    pub fn host_stats(&self, sampling: Sampling, inquiry: &mut Inquiry<'_>) -> Result<Value, Error> {
        inquiry.may(self, "before_get_stats", "host statistics")?;
        let files = Files::of_host();
        let earlier = match sampling {
            Sampling::SinceBoot => Sample::default(),
            Sampling::Over(_) => Sample::take(&files),
        };
        sampling.wait();
        let mut stats = Map::new();
        Sample::take(&files).report(&earlier, &files, &mut stats);
        gather(&files, &mut stats);
        self.count_vms(&mut stats)?;
        inquiry.changed_by(self, "after_get_stats", stats.into(), Value::is_object)
    }

    fn count_vms(&self, stats: &mut Map<String, Value>) -> Result<(), Error> {
        let vms = self.connection.list().map_err(Error::Unreachable)?;
        let running: Vec<_> = vms.iter().filter(|vm| vm.id.is_some()).map(|vm| vm.state).collect();
        let active = running.iter().filter(|s| matches!(s.state, State::Running | State::Blocked)).count();
        let migrating =
            running.iter().filter(|s| s.state == State::Paused && s.reason == PAUSED_MIGRATION).count();
        stats.insert("vmCount".into(), running.len().into());
        stats.insert("vmActive".into(), active.into());
        stats.insert("vmMigrating".into(), migrating.into());
        Ok(())
    }
}

/// What the kernel says. A value it does not give is left out.
fn gather(files: &Files, stats: &mut Map<String, Value>) {
    let mut set = |key: &str, value: Value| stats.insert(key.to_owned(), value);
    if let Some(load) =
        files.read("proc/loadavg").and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok())
    {
        set("cpuLoad", format!("{load:.2}").into());
    }
    let memory = |key| files.kibibytes("proc/meminfo", key);
    if let (Some(total), Some(free), Some(available)) =
        (memory("MemTotal"), memory("MemFree"), memory("MemAvailable"))
    {
        set("memAvailable", (available >> 10).into());
        // VDSM counts what the kernel can give back at once as free.
        let reclaimable = memory("Buffers").unwrap_or(0) + memory("Cached").unwrap_or(0);
        set("memFree", ((free + reclaimable) >> 10).into());
        let used = percent(total.saturating_sub(available) as f64, total as f64);
        set("memUsed", format!("{used:.0}").into());
    }
    for (key, name) in [("swapTotal", "SwapTotal"), ("swapFree", "SwapFree")] {
        if let Some(size) = memory(name) {
            set(key, (size >> 10).into());
        }
    }
    if let Some(huge) = memory("AnonHugePages") {
        set("anonHugePages", (huge >> 10).to_string().into());
    }
    if let Some(run) = files.number("sys/kernel/mm/ksm/run") {
        set("ksmState", (run == 1).into());
        set("ksmPages", files.number("sys/kernel/mm/ksm/pages_to_scan").unwrap_or(0).into());
    }
    let nodes: Map<String, Value> = files
        .list("sys/devices/system/node")
        .iter()
        .filter_map(|name| name.strip_prefix("node").filter(|n| n.parse::<u32>().is_ok()))
        .filter_map(|n| {
            let path = format!("sys/devices/system/node/node{n}/meminfo");
            let (total, free) = (files.kibibytes(&path, "MemTotal")?, files.kibibytes(&path, "MemFree")?);
            let used = percent(total.saturating_sub(free) as f64, total as f64).round();
            let about = serde_json::json!({"memFree": (free >> 10).to_string(), "memPercent": used as u64});
            Some((n.to_owned(), about))
        })
        .collect();
    set("numaNodeMemFree", nodes.into());
    if let Some(boot) = Sample::take(files).boot {
        set("bootTime", boot.to_string().into());
    }
    let now = SystemTime::now();
    // As VDSM writes it: 2026-01-31T12:00:00 GMT.
    set("dateTime", format!("{} GMT", &format_time(now)[..19]).into());
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    set("network", nics::statistics(files, seconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_recorded_host_in_vdsms_types() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "proc/meminfo",
            "MemTotal:  4096000 kB\nMemFree: 1024000 kB\nMemAvailable: 2048000 kB\nBuffers: 1024 kB\n\
             Cached: 2048 kB\nSwapTotal: 2048 kB\nSwapFree: 1024 kB\nAnonHugePages: 4096 kB\n",
        );
        write("proc/loadavg", "0.5 0.1 0.2 1/100 7\n");
        let mut stats = Map::new();
        gather(&Files::below(dir.path()), &mut stats);
        for (key, value) in [
            ("cpuLoad", Value::from("0.50")),
            ("memAvailable", 2000.into()),
            ("memFree", 1003.into()),
            ("memUsed", "50".into()),
            ("swapTotal", 2.into()),
            ("swapFree", 1.into()),
            ("anonHugePages", "4".into()),
        ] {
            assert_eq!(stats[key], value, "{key}");
        }
        assert!(!stats.contains_key("ksmState"), "this host has no ksm: nothing is made up");
        assert!(stats["dateTime"].as_str().unwrap().ends_with(" GMT"));
    }
}
