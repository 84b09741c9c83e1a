// SPDX-License-Identifier: Apache-2.0
//! libvirt's daemons: which run, whether they call us, and how they are told to look again.

use super::{DRIVERS, Entry, FILE_NAME, Places, ScriptError};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The daemons, with the drivers that each may run.
const DAEMONS: [(&str, &[&str]); 3] =
    [("libvirtd", &["qemu", "network"]), ("virtqemud", &["qemu"]), ("virtnetworkd", &["network"])];
/// `USER_HZ`, the unit of times in `/proc/PID/stat`: 100 on every architecture that libvirt runs on.
const TICKS: u64 = 100;
/// The boot time is known to the second: what lies closer together cannot be told apart.
const BLUR: Duration = Duration::from_secs(2);
const NOTE: &str = "libvirt-reloads";

/// A daemon that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Its name.
    pub name: &'static str,
    /// Its process.
    pub pid: i32,
    /// Since when it runs, in ticks from the boot: with the number it tells one process from all others.
    ticks: u64,
    /// The same as a time.
    since: SystemTime,
    /// What it may run.
    pub drivers: &'static [&'static str],
}

/// How a daemon was told to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// By systemd.
    Systemd,
    /// By SIGHUP.
    Signal,
}

impl Places {
    /// The daemons that run.
    pub fn daemons(&self) -> Vec<Daemon> {
        DAEMONS.into_iter().filter_map(|(name, drivers)| self.daemon(name, drivers)).collect()
    }

    fn daemon(&self, name: &'static str, drivers: &'static [&'static str]) -> Option<Daemon> {
        let pid: i32 = fs::read_to_string(self.run.join(format!("{name}.pid"))).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (start, rest) = stat.rsplit_once(") ")?;
        // The number may be somebody else's by now.
        if start.split_once(" (")?.1 != name {
            return None;
        }
        let ticks: u64 = rest.split(' ').nth(19)?.parse().ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot: u64 = boot.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()?;
        let since = UNIX_EPOCH + Duration::from_secs(boot) + Duration::from_millis(ticks * 1000 / TICKS);
        Some(Daemon { name, pid, ticks, since, drivers })
    }

    /// Whether a daemon calls the script of a driver: it looked when there was something to run.
    pub fn is_seen(&self, daemon: &Daemon, driver: &str) -> bool {
        let before = |path: &Path| {
            // When the entry was made, not what it leads to.
            fs::symlink_metadata(path).is_ok_and(|meta| {
                let made = Duration::new(
                    meta.ctime().try_into().unwrap_or(0),
                    meta.ctime_nsec().try_into().unwrap_or(0),
                );
                UNIX_EPOCH + made + BLUR < daemon.since
            })
        };
        let runs = |path: &Path| {
            fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        let any = fs::read_dir(self.hooks.join(format!("{driver}.d"))).into_iter().flatten().flatten();
        let scripts = any.map(|entry| entry.path()).chain([self.hooks.join(driver)]);
        scripts.into_iter().any(|path| runs(&path) && before(&path)) || self.was_reloaded(daemon)
    }

    fn was_reloaded(&self, daemon: &Daemon) -> bool {
        let noted = fs::read_to_string(self.state.join(NOTE)).unwrap_or_default();
        noted.lines().any(|line| line == note(daemon))
    }

    /// Tells the daemons that run to look for scripts again, by systemd where they are its own.
    ///
    /// # Errors
    /// One cannot be told, or it cannot be noted that it was.
    pub fn reload(&self) -> Result<Vec<(Daemon, Reload)>, ScriptError> {
        let mut told = Vec::new();
        for daemon in self.daemons() {
            let how = if self.systemd && reload_unit(daemon.name).is_ok() {
                Reload::Systemd
            } else {
                signal(&daemon)?;
                Reload::Signal
            };
            told.push((daemon, how));
        }
        // One that found a link to nothing found nothing.
        let something = DRIVERS.iter().any(|d| matches!(self.entry(d), Ok(Entry::Installed(_))));
        if !told.is_empty() && something {
            let path = self.state.join(NOTE);
            let text: String = told.iter().map(|(daemon, _)| note(daemon) + "\n").collect();
            fs::create_dir_all(&self.state)
                .and_then(|()| fs::write(&path, text))
                .map_err(ScriptError::file("write", &path))?;
        }
        Ok(told)
    }
}

fn note(daemon: &Daemon) -> String {
    format!("{} {} {} {FILE_NAME}", daemon.name, daemon.pid, daemon.ticks)
}

fn reload_unit(name: &str) -> io::Result<()> {
    let status = Command::new("systemctl")
        .args(["reload", &format!("{name}.service")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("systemctl: {status}"))) }
}

fn signal(daemon: &Daemon) -> Result<(), ScriptError> {
    let failed = |source| ScriptError::Reload { name: daemon.name, pid: daemon.pid, source };
    let pid = Pid::from_raw(daemon.pid).ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    kill_process(pid, Signal::HUP).map_err(|e| failed(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A process that looks like libvirtd to whoever asks the kernel.
    struct Fake(std::process::Child);

    impl Fake {
        fn start(run: &Path) -> Self {
            let program = run.join("libvirtd");
            symlink("/bin/sleep", &program).unwrap();
            let child = Command::new(&program).arg("3600").stdin(Stdio::null()).spawn().unwrap();
            fs::write(run.join("libvirtd.pid"), format!("{}\n", child.id())).unwrap();
            Self(child)
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_daemon_sees_what_was_there_when_it_looked() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(Some(dir.path()), "/bin/true".into(), dir.path().join("state"));
        fs::create_dir_all(&places.run).unwrap();
        assert!(places.daemons().is_empty() && places.reload().unwrap().is_empty());
        let mut fake = Fake::start(&places.run);
        let mut daemon = places.daemons().remove(0);
        assert_eq!((daemon.name, daemon.drivers), ("libvirtd", &["qemu", "network"][..]));
        assert!(daemon.since.duration_since(SystemTime::now()).unwrap_or_default() < Duration::from_secs(60));
        let directory = places.hooks.join("qemu.d");
        fs::create_dir_all(&directory).unwrap();
        let command = dir.path().join("virt-hooks");
        fs::copy("/bin/true", &command).unwrap();
        symlink(&command, directory.join(FILE_NAME)).unwrap();
        assert!(!places.is_seen(&daemon, "qemu"), "it came later");
        // As if it had been started an hour later.
        daemon.since += Duration::from_secs(3600);
        assert!(places.is_seen(&daemon, "qemu") && !places.is_seen(&daemon, "network"));
        daemon.since -= Duration::from_secs(3600);
        let told = places.reload().unwrap();
        assert_eq!(
            told.iter().map(|(d, how)| (d.name, *how)).collect::<Vec<_>>(),
            [("libvirtd", Reload::Signal)]
        );
        assert!(places.is_seen(&daemon, "qemu"), "it was told");
        // This one ends at SIGHUP; the number alone says nothing of another process.
        fake.0.wait().unwrap();
        assert!(places.daemons().is_empty());
        daemon.ticks += 1;
        assert!(!places.is_seen(&daemon, "qemu"));
    }

    #[test]
    fn a_number_that_is_somebody_elses_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("libvirtd.pid"), std::process::id().to_string()).unwrap();
        let places = Places { run: dir.path().to_owned(), ..Places::below(None, "/x".into(), "/y".into()) };
        assert!(places.daemons().is_empty());
    }
}
