// SPDX-License-Identifier: Apache-2.0
//! A libvirt daemon of its own, for what the embedded driver cannot show: a connection that breaks.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::host::{Host, HostError};
use crate::requirements::{Missing, MissingThing, find_program, requirements};

/// How long the daemon may take to answer; it takes 0.2 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_millis(10);

/// The places where libvirtd keeps its files, and the directories put over them.
const PLACES: [(&str, &str); 5] = [
    ("etc", "/etc/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("log", "/var/log/libvirt"),
    ("cache", "/var/cache/libvirt"),
    ("run", "/run/libvirt"),
];

/// Puts the directories over libvirt's places, where only this process and its children see them.
const ENTER: &str = "set -e
root=$1
shift
for place in \"$@\"; do
    mkdir -p \"${place#*:}\"
    mount --bind \"$root/${place%%:*}\" \"${place#*:}\"
done
exec libvirtd -p \"$root/libvirtd.pid\"";

/// A private `libvirtd`, in a mount namespace of its own, with its state below a [`Host`]'s directory.
/// Dropping it ends the daemon; its VMs end with the host.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Checks that a daemon can be started here, which only root may do.
    ///
    /// # Errors
    /// Every missing thing, with its packages.
    pub fn requirements() -> Result<(), Missing> {
        requirements()?;
        let mut things = Vec::new();
        if !rustix::process::geteuid().is_root() {
            things.push(MissingThing { what: "root rights", apt: "", dnf: "" });
        }
        if find_program("libvirtd").is_none() {
            things.push(MissingThing { what: "libvirtd", apt: "libvirt-daemon", dnf: "libvirt-daemon" });
        }
        if things.is_empty() { Ok(()) } else { Err(Missing { things }) }
    }

    /// Where the daemon of a host looks for libvirt's own hook scripts. It looks whether there are any when it
    /// starts, and on SIGHUP.
    pub fn hooks_directory(host: &Host) -> PathBuf {
        host.root().join("daemon/etc/hooks")
    }

    /// The process, for signals.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts the daemon and waits until it listens. One per host. Each host has a UUID of its own, so that VMs can
    /// migrate from one to another.
    ///
    /// # Errors
    /// What is missing, or why it does not start.
    pub fn start(host: &Host) -> Result<Self, HostError> {
        Self::requirements()?;
        let root = host.root().join("daemon");
        for (name, _) in PLACES {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(HostError::file("make", &path))?;
        }
        let uuid = host_uuid(&root)?;
        for (name, text) in [("libvirtd.conf", libvirtd_conf(&uuid)), ("qemu.conf", host.qemu_conf())] {
            let path = root.join("etc").join(name);
            fs::write(&path, text).map_err(HostError::file("write", &path))?;
        }
        let log = root.join("libvirtd.log");
        let output = fs::File::create(&log).map_err(HostError::file("make", &log))?;
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"])
            .arg(&root)
            .args(PLACES.map(|(name, place)| format!("{name}:{place}")))
            .env_remove("LIBVIRT_LOG_OUTPUTS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(HostError::file("start a daemon in", &root))?;
        let mut daemon = Self { child, socket: root.join("run/libvirt-sock") };
        daemon.wait_until_it_listens().map_err(HostError::file("wait for the daemon that logs to", &log))?;
        Ok(daemon)
    }

    /// What to connect to.
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket.display())
    }

    /// Ends the daemon and waits for its end. Its VMs go on.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn stop(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            kill_process(pid, Signal::TERM)?;
        }
        self.child.wait().map(drop)
    }

    /// Kills the daemon, as a crash would end it. Its VMs go on.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(error) = UnixStream::connect(&self.socket) else { return Ok(()) };
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended, {status}")));
            }
            if Instant::now() >= deadline {
                return Err(error);
            }
            thread::sleep(REST);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.stop();
    }
}

fn libvirtd_conf(host_uuid: &str) -> String {
    format!("auth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0700\"\nhost_uuid = \"{host_uuid}\"\n")
}

/// The host's UUID: the same for every daemon of it. Two daemons that say the same take each other for one host.
fn host_uuid(root: &Path) -> Result<String, HostError> {
    const NEW: &str = "/proc/sys/kernel/random/uuid";
    let kept = root.join("host_uuid");
    if let Ok(uuid) = fs::read_to_string(&kept) {
        return Ok(uuid);
    }
    let uuid = fs::read_to_string(NEW).map_err(HostError::file("read", Path::new(NEW)))?.trim().to_owned();
    fs::write(&kept, &uuid).map_err(HostError::file("write", &kept))?;
    Ok(uuid)
}
