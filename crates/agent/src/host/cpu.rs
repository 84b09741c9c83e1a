// SPDX-License-Identifier: Apache-2.0
//! How busy the host's processors are.

use super::Files;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Clock ticks of one processor since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    user: u64,
    system: u64,
    idle: u64,
}

impl Ticks {
    /// From a line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. What guests take
    /// is part of user.
    fn read(line: &str) -> Self {
        let n: Vec<u64> = line.split_whitespace().skip(1).map(|n| n.parse().unwrap_or(0)).collect();
        let at = |i: usize| n.get(i).copied().unwrap_or(0);
        Self { user: at(0) + at(1), system: at(2) + at(5) + at(6), idle: at(3) + at(4) }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            // iowait may go backwards.
            idle: self.idle.saturating_sub(earlier.idle),
        }
    }

    /// Percent of the time.
    fn shares(self) -> [String; 3] {
        let all = self.user + self.system + self.idle;
        // No tick was counted between two samples: nothing ran.
        let idle = if all == 0 { 100.0 } else { percent(self.idle as f64, all as f64) };
        let share = |n: u64| if all == 0 { 0.0 } else { percent(n as f64, all as f64) };
        [share(self.user), share(self.system), idle].map(|n| format!("{n:.2}"))
    }
}

/// What part is of a whole, in percent, between 0 and 100.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (100.0 * part / whole).clamp(0.0, 100.0) } else { 0.0 }
}

/// A sample of `/proc/stat`.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    all: Ticks,
    each: BTreeMap<u32, Ticks>,
    /// When the host booted, in seconds since 1970.
    pub(crate) boot: Option<u64>,
}

impl Sample {
    pub(crate) fn take(files: &Files) -> Self {
        let mut sample = Self::default();
        for line in files.read("proc/stat").unwrap_or_default().lines() {
            match line.split_whitespace().next() {
                Some("cpu") => sample.all = Ticks::read(line),
                Some("btime") => sample.boot = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()),
                Some(name) => {
                    if let Some(n) = name.strip_prefix("cpu").and_then(|n| n.parse().ok()) {
                        sample.each.insert(n, Ticks::read(line));
                    }
                }
                None => {}
            }
        }
        sample
    }

    /// VDSM's keys about the time from an earlier sample to this one.
    pub(crate) fn report(&self, earlier: &Self, files: &Files, stats: &mut Map<String, Value>) {
        let [user, system, idle] = self.all.since(earlier.all).shares();
        stats.insert("cpuUser".into(), user.into());
        stats.insert("cpuSys".into(), system.into());
        stats.insert("cpuIdle".into(), idle.into());
        let each: Map<String, Value> = self
            .each
            .iter()
            .map(|(n, ticks)| {
                let earlier = earlier.each.get(n).copied().unwrap_or_default();
                let [user, system, idle] = ticks.since(earlier).shares();
                let node = files
                    .list(&format!("sys/devices/system/cpu/cpu{n}"))
                    .iter()
                    .find_map(|name| name.strip_prefix("node").and_then(|n| n.parse::<u32>().ok()));
                let about = json!({
                    "cpuUser": user, "cpuSys": system, "cpuIdle": idle, "nodeIndex": node.unwrap_or(0)
                });
                (n.to_string(), about)
            })
            .collect();
        stats.insert("cpuStatistics".into(), each.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(stat: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        std::fs::write(dir.path().join("proc/stat"), stat).unwrap();
        dir
    }

    #[test]
    fn shares_are_those_between_two_samples() {
        let earlier = host("cpu 100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0\nbtime 1700000000\n");
        let later = host("cpu 130 20 130 910 0 5 5 0 0 0\ncpu0 130 20 130 910 0 5 5\nbtime 1700000000\n");
        let (earlier, files) = (Sample::take(&Files::below(earlier.path())), Files::below(later.path()));
        let later = Sample::take(&files);
        assert_eq!(later.boot, Some(1_700_000_000));
        let mut stats = Map::new();
        later.report(&earlier, &files, &mut stats);
        // 50 user, 40 system, 110 idle of 200 ticks.
        let about = ["cpuUser", "cpuSys", "cpuIdle"].map(|k| stats[k].as_str().unwrap());
        assert_eq!(about, ["25.00", "20.00", "55.00"]);
        assert_eq!(stats["cpuStatistics"]["0"]["cpuIdle"], "55.00");
        // Since boot.
        later.report(&Sample::default(), &files, &mut stats);
        assert_eq!(stats["cpuIdle"], "75.83");
    }

    #[test]
    fn no_tick_between_two_samples_is_an_idle_host() {
        assert_eq!(Ticks::default().shares(), ["0.00", "0.00", "100.00"]);
    }
}
