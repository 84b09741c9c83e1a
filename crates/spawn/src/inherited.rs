// SPDX-License-Identifier: Apache-2.0
//! The socket a service manager hands over (`sd_listen_fds(3)`).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where handed-over descriptors begin.
const FIRST: RawFd = 3;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the one listening Unix socket that the service manager opened for this process; `None` where there is none.
/// `pid` and `count` are what the environment variables `LISTEN_PID` and `LISTEN_FDS` say.
///
/// # Errors
/// More than one was handed over, it was taken already, or it is no listening Unix socket.
pub fn inherited_listener(pid: Option<&str>, count: Option<&str>) -> io::Result<Option<UnixListener>> {
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<u32>().ok());
    if number(pid) != Some(std::process::id()) {
        return Ok(None);
    }
    match number(count) {
        None | Some(0) => return Ok(None),
        Some(1) => {}
        Some(n) => return Err(io::Error::other(format!("{n} sockets were handed over, and one is wanted"))),
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("the socket was taken already"));
    }
    // SAFETY: LISTEN_PID says that this process was given the descriptor to keep; nothing else here opened it,
    // because it was open before the process began, and the flag above lets it be taken once.
    let socket = unsafe { OwnedFd::from_raw_fd(FIRST) };
    let listener = UnixListener::from(socket);
    // Fails for a socket of another family, and for what is no socket.
    listener.local_addr()?;
    // SAFETY: the descriptor is open, and the call takes no pointer.
    if unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Some(listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_to_another_process_is_left_alone() {
        assert!(inherited_listener(None, None).unwrap().is_none());
        assert!(inherited_listener(Some("1"), Some("1")).unwrap().is_none());
        let me = std::process::id().to_string();
        assert!(inherited_listener(Some(&me), Some("0")).unwrap().is_none());
        assert!(inherited_listener(Some(&me), Some("2")).is_err());
    }
}
