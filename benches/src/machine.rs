// SPDX-License-Identifier: Apache-2.0
//! What the figures were taken on, and how it is kept quiet.

use std::process::{Command, Stdio};

/// The machine and the day, for the head of a table.
pub(crate) struct Machine {
    date: String,
    kernel: String,
    cpu: String,
    cpus: usize,
    load: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let uname = rustix::system::uname();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            date: date(now.as_secs() / 86_400),
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            cpu: cpu
                .map_or_else(|| uname.machine().to_string_lossy().into_owned(), |(_, m)| m.trim().to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            load: read("/proc/loadavg").split(' ').next().and_then(|l| l.parse().ok()).unwrap_or(0.0),
        }
    }

    pub(crate) fn describe(&self) -> String {
        let Self { date, kernel, cpu, cpus, load } = self;
        format!("{date}, {kernel} on {cpus} CPUs of {cpu}, load average at the end {load:.1}")
    }
}

/// The date of a day since 1970-01-01 (the proleptic Gregorian calendar, years that begin in March).
fn date(days: u64) -> String {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// How workers are kept from the noise of a machine in use: what their command lines start with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shield {
    /// For one thread: real-time scheduling, on one CPU.
    pub(crate) one: Vec<String>,
    /// For many threads: real-time scheduling.
    pub(crate) many: Vec<String>,
}

impl Shield {
    /// As much as this user may have here.
    pub(crate) fn raise() -> Self {
        let words = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let works = |words: &[String]| {
            let [first, rest @ ..] = words else { return false };
            Command::new(first)
                .args(rest)
                .arg("true")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
        };
        let many = Some(words("chrt --rr 1")).filter(|w| works(w)).unwrap_or_default();
        // The last CPU: the first one often has the interrupts.
        let last = std::thread::available_parallelism().map_or(0, |n| n.get() - 1);
        let pin = Some(words(&format!("taskset -c {last}"))).filter(|w| works(w)).unwrap_or_default();
        Self { one: [many.clone(), pin].concat(), many }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match (self.one.is_empty(), self.many.is_empty()) {
            (true, _) => "no shield",
            (false, true) => "single-threaded work on one CPU",
            (false, false) => "real-time scheduling, single-threaded work on one CPU",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, text) in
            [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_512, "2026-02-28")]
        {
            assert_eq!(date(days), text);
        }
    }
}
