// SPDX-License-Identifier: Apache-2.0
//! Has libvirt call `virt-hooks` as its own hook script, and tells whether it does.
//!
//! libvirt runs `hooks/<driver>`, then every executable file of `hooks/<driver>.d/` in the order of their names (6.5.0
//! and later). The one file often belongs to somebody: what is installed here is a link of our own in the directory, to
//! the command itself. By the link's place the command knows what it is called as.
//!
//! A daemon looks whether there is anything to run when it starts and when it is reloaded, and not in between.

mod daemons;
mod link;

pub use daemons::{Daemon, Reload};
pub use link::{Change, Entry};

use std::io;
use std::path::{Path, PathBuf};

/// The drivers of libvirt's whose calls are answered.
pub const DRIVERS: [&str; 2] = ["qemu", "network"];
/// The name of the link in each driver's directory.
pub const FILE_NAME: &str = "50-virt-hooks";

/// Why the set-up did not work, in one line.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A file or directory cannot be made, read or removed.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is something else under our name.
    #[error("{} is not a link to virt-hooks: somebody else put it there; move it away first", .0.display())]
    Foreign(PathBuf),
    /// A daemon could not be told.
    #[error("reload {name} (process {pid}): {source}; restart it")]
    Reload {
        /// The daemon.
        name: &'static str,
        /// Its process.
        pid: i32,
        /// What the kernel said.
        source: io::Error,
    },
}

impl ScriptError {
    fn file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}

/// Where things lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// libvirt's hook scripts: `/etc/libvirt/hooks`.
    pub hooks: PathBuf,
    /// What the links lead to: `/usr/bin/virt-hooks`.
    pub command: PathBuf,
    /// The daemons' pid files: `/run`.
    pub run: PathBuf,
    /// Where it is noted which daemon was reloaded.
    pub state: PathBuf,
    /// Whether the daemons belong to systemd, which then reloads them.
    pub systemd: bool,
}

impl Places {
    /// Of this host, or below `root`, where nothing runs under systemd.
    pub fn below(root: Option<&Path>, command: PathBuf, state: PathBuf) -> Self {
        let base = root.unwrap_or(Path::new("/"));
        Self {
            hooks: base.join("etc/libvirt/hooks"),
            command,
            run: base.join("run"),
            state: if root.is_some() { base.join("var/lib/virt-hooks") } else { state },
            systemd: root.is_none() && Path::new("/run/systemd/system").is_dir(),
        }
    }

    /// The link of a driver.
    pub fn link(&self, driver: &str) -> PathBuf {
        self.hooks.join(format!("{driver}.d")).join(FILE_NAME)
    }
}

/// What mandatory access control of this host may say to it, in a line each. `command` is what the links lead to.
pub fn remarks(command: &Path) -> Vec<String> {
    let mut remarks = Vec::new();
    if Path::new("/sys/fs/selinux/enforce").exists() {
        remarks.push(
            "SELinux: hooks run in libvirt's domain: \"setsebool -P virt_hooks_unconfined on\" where they may do more, \
             \"restorecon -R /etc/libvirt/hooks\" for the labels, and \"ausearch -m avc -ts recent\" for what was denied"
                .to_owned(),
        );
    }
    let profiles = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
    if profiles.contains("libvirtd") && command.parent() != Some(Path::new("/usr/bin")) {
        remarks.push(format!(
            "AppArmor: the profile of libvirtd lets it run what lies in /usr/bin, not {}: install virt-hooks there",
            command.display()
        ));
    }
    remarks
}
