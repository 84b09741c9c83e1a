// SPDX-License-Identifier: Apache-2.0
//! A libvirt host in a temporary directory.

use std::env;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use tempfile::TempDir;

use crate::capabilities;
use crate::guest::{self, Guest, GuestOptions, MARKER};
use crate::process::{Stat, arguments, descendants, kill, wait_readable};
use crate::reaper::become_subreaper;
use crate::requirements::{Missing, emulator, requirements};

/// A Unix socket's path may have 107 bytes, of which libvirt and QEMU take up to 70 below the root.
const LONGEST_ROOT: usize = 36;

/// How long a killed QEMU may take to die.
const PATIENCE: Duration = Duration::from_secs(20);

/// A libvirt host of its own. Dropping it ends its VMs and removes its directory.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    directory: Mutex<Option<TempDir>>,
    emulator: PathBuf,
    cache: Option<PathBuf>,
}

/// Why a host cannot be made, used or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Something is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The kernel does not let this process adopt orphans.
    #[error("cannot adopt orphaned processes")]
    Subreaper(#[source] io::Error),
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A guest did not come up in time.
    #[error("guest {name} is not up after {waited:?}; its serial port said {said:?}")]
    GuestNotUp {
        /// The VM's name.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// What it wrote so far.
        said: String,
    },
    /// A QEMU process is still there.
    #[error("cannot kill qemu process {pid} of VM {name}")]
    Unkillable {
        /// Its number.
        pid: i32,
        /// The VM's name, empty for a QEMU that runs no VM.
        name: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl HostError {
    /// For `map_err` on a file operation.
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }
}

/// A QEMU process of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// Its number.
    pub pid: i32,
    /// The VM's name, empty for a QEMU that libvirt only asks what it can do.
    pub name: String,
    /// Its arguments, the first being the program.
    pub arguments: Vec<String>,
}

/// What [`Host::cleanup`] had to clean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Cleanup {
    /// QEMU processes that were still running and had to be killed.
    pub killed: Vec<Qemu>,
}

impl Host {
    /// Makes a host under the temporary directory, and this process a subreaper.
    ///
    /// `cache` is a directory, made if needed, that keeps what libvirt finds out about QEMU for the
    /// next host. Without it, or if it cannot be used, each host's first VM waits for that. It may be
    /// shared by processes of one user.
    ///
    /// # Errors
    /// [`HostError::Missing`] if something is not installed; else what the system refuses.
    pub fn create(cache: Option<&Path>) -> Result<Self, HostError> {
        requirements()?;
        // It was there a moment ago.
        let emulator = emulator().unwrap_or_default();
        become_subreaper().map_err(HostError::Subreaper)?;
        let base = short_base(env::temp_dir());
        let directory = tempfile::Builder::new()
            .prefix("vh-")
            .tempdir_in(&base)
            .map_err(HostError::file("make a directory in", &base))?;
        let root = directory.path().to_owned();
        let host =
            Self { root, directory: Mutex::new(Some(directory)), emulator, cache: cache.map(Path::to_owned) };
        for name in ["etc", "guest", "serial"] {
            let path = host.root.join(name);
            fs::create_dir(&path).map_err(HostError::file("make", &path))?;
        }
        host.write("etc/qemu.conf", host.qemu_conf().as_bytes())?;
        for guest in Guest::ALL {
            host.write(&format!("guest/{}", guest.file_name()), guest.bytes())?;
        }
        if let Some(cache) = &host.cache {
            // Without it the first VM takes longer, that is all.
            let _ = capabilities::copy(cache, &host.capabilities());
        }
        Ok(host)
    }

    /// Where the host lives.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What to connect to. One process can use one host in its life, and one process at a time a host.
    pub fn uri(&self) -> String {
        format!("qemu:///embed?root={}", self.root.display())
    }

    /// Environment variables for other programs that shall use this host: libvirt's default URI, and a
    /// file in place of stderr for the warnings that the embedded driver logs.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let log = self.root.join("libvirt.log");
        [("LIBVIRT_DEFAULT_URI", self.uri()), ("LIBVIRT_LOG_OUTPUTS", format!("3:file:{}", log.display()))]
    }

    /// The XML of a VM that boots a tiny guest. `name` must not have a slash in it.
    pub fn domain_xml(&self, name: &str, options: &GuestOptions) -> String {
        let kernel = self.root.join("guest").join(options.guest.file_name());
        guest::domain_xml(name, options, &self.emulator, &kernel, &self.serial(name))
    }

    /// Waits until the guest of a running VM says that it is up, which takes it 0.1 s on an idle machine.
    ///
    /// # Errors
    /// [`HostError::GuestNotUp`] after `timeout`.
    pub fn wait_for_guest(&self, name: &str, timeout: Duration) -> Result<(), HostError> {
        let path = self.serial(name);
        let failed = HostError::file("watch", &path);
        let deadline = Instant::now() + timeout;
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|errno| failed(errno.into()))?;
        inotify::add_watch(
            &watch,
            self.root.join("serial"),
            inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY,
        )
        .map_err(|errno| failed(errno.into()))?;
        loop {
            let said = fs::read(&path).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            if said.contains(MARKER) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(HostError::GuestNotUp {
                    name: name.to_owned(),
                    waited: timeout,
                    said: said.into_owned(),
                });
            }
            if wait_readable(&watch, deadline).map_err(&failed)? {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = inotify::Reader::new(&watch, &mut buffer);
                while reader.next().is_ok() && !reader.is_buffer_empty() {}
            }
        }
    }

    /// The QEMU processes of this host that descend from this process.
    pub fn qemus(&self) -> Vec<Qemu> {
        let Ok(me) = i32::try_from(std::process::id()) else { return Vec::new() };
        let found = descendants(me, &Stat::all()).into_iter();
        found.filter_map(|pid| self.qemu(pid)).collect()
    }

    /// The arguments of the QEMU that runs the VM `name`; `None` if it does not run.
    pub fn qemu_cmdline(&self, name: &str) -> Option<Vec<String>> {
        self.qemus().into_iter().find(|qemu| qemu.name == name).map(|qemu| qemu.arguments)
    }

    /// Kills the QEMU processes that are left, keeps what libvirt found out about QEMU, and removes the
    /// directory. Close the connections first. A second call finds nothing to do.
    ///
    /// # Errors
    /// What could not be killed or removed; the rest is done all the same.
    pub fn cleanup(&self) -> Result<Cleanup, HostError> {
        let Some(directory) = self.directory.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(Cleanup::default());
        };
        let mut cleanup = Cleanup::default();
        let mut result = Ok(());
        // A process that was just being started may appear while others die.
        loop {
            let left = self.qemus();
            if left.is_empty() || result.is_err() {
                break;
            }
            for qemu in left {
                if let Err(source) = kill(qemu.pid, |pid| self.qemu(pid).is_some(), PATIENCE) {
                    result = Err(HostError::Unkillable { pid: qemu.pid, name: qemu.name.clone(), source });
                }
                cleanup.killed.push(qemu);
            }
        }
        if let Some(cache) = &self.cache {
            // As above: the next host's first VM takes longer.
            let _ = capabilities::copy(&self.capabilities(), cache);
        }
        let removed = directory.close().map_err(HostError::file("remove", &self.root));
        result.and(removed).map(|()| cleanup)
    }

    fn qemu(&self, pid: i32) -> Option<Qemu> {
        let arguments = arguments(pid);
        let prefix = format!("{}/", self.root.display());
        let ours = arguments.first()?.contains("qemu")
            && arguments.iter().any(|argument| argument.contains(&prefix));
        ours.then(|| Qemu { pid, name: vm_name(&arguments), arguments })
    }

    /// The driver's configuration, fit for this user.
    pub(crate) fn qemu_conf(&self) -> String {
        qemu_conf(rustix::process::geteuid().is_root())
    }

    fn serial(&self, name: &str) -> PathBuf {
        self.root.join("serial").join(format!("{name}.log"))
    }

    fn capabilities(&self) -> PathBuf {
        self.root.join("cache/qemu/capabilities")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        let path = self.root.join(name);
        fs::write(&path, bytes).map_err(HostError::file("write", &path))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Whoever wants to know calls `cleanup`.
        let _ = self.cleanup();
    }
}

/// `base` if the host's directory fits there: short, and with no character that means something in a
/// URI or in QEMU's options.
fn short_base(base: PathBuf) -> PathBuf {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let text = base.as_os_str().as_encoded_bytes();
    if base.is_absolute()
        && text.len() + "/vh-abcdef".len() <= LONGEST_ROOT
        && text.iter().copied().all(plain)
    {
        base
    } else {
        PathBuf::from("/tmp")
    }
}

/// libvirt's configuration: no helper daemon, no security driver, nothing outside the root.
fn qemu_conf(as_root: bool) -> String {
    let mut conf = String::from(
        "stdio_handler = \"file\"\n\
         security_driver = \"none\"\n\
         dynamic_ownership = 0\n\
         remember_owner = 0\n",
    );
    if as_root {
        // Without these QEMU would run as another user, who cannot read a private directory.
        conf.push_str("user = \"root\"\ngroup = \"root\"\nnamespaces = []\ncgroup_controllers = []\n");
    }
    conf
}

/// The VM's name in QEMU's arguments: `-name guest=NAME,debug-threads=on`, with commas doubled.
fn vm_name(arguments: &[String]) -> String {
    let value = arguments.iter().skip_while(|argument| *argument != "-name").nth(1);
    let Some(mut rest) = value.and_then(|value| value.strip_prefix("guest=")) else { return String::new() };
    let mut name = String::new();
    while let Some((part, after)) = rest.split_once(',') {
        name.push_str(part);
        let Some(doubled) = after.strip_prefix(',') else { return name };
        name.push(',');
        rest = doubled;
    }
    name + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_short_and_plain() {
        assert_eq!(short_base("/var/tmp".into()), Path::new("/var/tmp"));
        for unfit in ["/a/very/long/temporary/directory/of/some/user", "/tmp/a&b", "tmp", "/tmp/a,b"] {
            assert_eq!(short_base(unfit.into()), Path::new("/tmp"), "{unfit}");
        }
    }

    #[test]
    fn names_are_found_in_arguments() {
        let name = |value: &str| vm_name(&["qemu".into(), "-name".into(), value.into(), "-S".into()]);
        assert_eq!(name("guest=web1,debug-threads=on"), "web1");
        assert_eq!(name("guest=a,,b,debug-threads=on"), "a,b");
        assert_eq!(name("guest=web1"), "web1");
        assert_eq!(vm_name(&["qemu".into(), "-S".into()]), "");
    }

    #[test]
    fn only_root_configures_users() {
        assert!(qemu_conf(true).contains("user = \"root\""));
        assert!(!qemu_conf(false).contains("user"));
    }
}
