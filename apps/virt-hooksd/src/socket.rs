// SPDX-License-Identifier: Apache-2.0
//! The socket to listen on, our own or one handed over; and what a service manager is told.

use rustix::fs::Gid;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use virt_hooks::{Environ, Failure};
use virt_hooks_spawn::inherited_listener;

/// A listening socket; our own goes with the value.
pub(crate) struct Listener {
    socket: UnixListener,
    own: Option<PathBuf>,
}

impl Listener {
    /// Takes the one that was handed over, or makes one, in the place of one that a killed agent left.
    pub(crate) fn open(
        environ: &Environ,
        path: &Path,
        mode: Option<u32>,
        group: Option<u32>,
    ) -> Result<Self, Failure> {
        let text = |name| environ.variable(name).and_then(|v| v.into_string().ok());
        let handed = inherited_listener(text("LISTEN_PID").as_deref(), text("LISTEN_FDS").as_deref());
        match handed.map_err(|e| Failure::unusable(format!("take the socket handed over: {e}")))? {
            Some(socket) => Ok(Self { socket, own: None }),
            None => {
                let failed = |e: io::Error| Failure::unusable(format!("listen on {}: {e}", path.display()));
                let mode = mode.unwrap_or(if group.is_some() { 0o660 } else { 0o600 });
                Self::make(path, mode, group).map_err(failed)
            }
        }
    }

    fn make(path: &Path, mode: u32, group: Option<u32>) -> io::Result<Self> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o711).create(dir)?;
        // Who starts here is the only agent of this run directory, so nobody listens there. What is no socket
        // is not ours.
        if fs::symlink_metadata(path).is_ok_and(|m| !m.file_type().is_socket()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // Nobody may connect before mode and group are right. A umask would be that of all threads, some of which
        // make files for hooks already.
        let private = dir.join(".agent-socket");
        let made = private.join("s");
        let clear = || {
            let _ = fs::remove_file(&made);
            let _ = fs::remove_dir(&private);
        };
        clear();
        fs::DirBuilder::new().mode(0o700).create(&private)?;
        let make = || {
            let socket = UnixListener::bind(&made)?;
            if let Some(gid) = group {
                rustix::fs::chown(&made, None, Some(Gid::from_raw(gid)))?;
            }
            fs::set_permissions(&made, fs::Permissions::from_mode(mode))?;
            fs::rename(&made, path)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = make();
        clear();
        let socket = socket?;
        Ok(Self { socket, own: Some(path.to_owned()) })
    }

    /// What to accept from.
    pub(crate) fn socket(&self) -> &UnixListener {
        &self.socket
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.own {
            let _ = fs::remove_file(path);
        }
    }
}

/// A mode in octal.
pub(crate) fn parse_mode(text: &str) -> Result<u32, Failure> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| Failure::usage(format!("socket mode \"{text}\": give it in octal, such as 0660")))
}

/// Whether an environment variable is between us and the service manager.
pub(crate) fn is_of_service_manager(name: &[u8]) -> bool {
    name.starts_with(b"LISTEN_") || matches!(name, b"NOTIFY_SOCKET" | b"WATCHDOG_PID" | b"WATCHDOG_USEC")
}

/// Tells the service manager, if there is one that listens (`sd_notify(3)`).
pub(crate) fn notify(environ: &Environ, state: &str) {
    let Some(place) = environ.variable("NOTIFY_SOCKET").and_then(|v| v.into_string().ok()) else { return };
    let send = || -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        let address = match place.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&place)?,
        };
        socket.send_to_addr(state.as_bytes(), &address).map(drop)
    };
    // It is of use to nobody but the service manager, which notices by itself.
    let _ = send();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_has_its_mode_replaces_a_stale_one_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/agent.sock");
        let stale = Listener::make(&path, 0o600, None).unwrap();
        std::mem::forget(stale);
        let listener = Listener::make(&path, 0o640, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing beside it");
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "not ours").unwrap();
        assert!(Listener::make(&path, 0o600, None).is_err());
        assert!(path.exists());
    }

    #[test]
    fn modes() {
        assert_eq!(parse_mode("0660").unwrap(), 0o660);
        for bad in ["rw", "7777", "8", ""] {
            assert!(parse_mode(bad).is_err(), "{bad}");
        }
    }
}
