// SPDX-License-Identifier: Apache-2.0
//! What happens to VMs, told by libvirt as it happens.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::sync::mpsc::{Iter, Receiver, RecvError, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::connection::Connection;
use crate::devices::DeviceEvent;
use crate::error::Error;
use crate::ffi::{UUID_STRING_BUFLEN, VirConnect, VirDomain};
use crate::library::Libvirt;
use crate::registry::{self, Ticket};
use crate::types::numbered;

/// What a [`Subscription`] delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A VM changed.
    Lifecycle(LifecycleEvent),
    /// A device of a running VM came or went.
    Device(DeviceEvent),
    /// The connection is lost. Nothing comes after this: open a new connection, subscribe there, and
    /// list the VMs to learn what was missed. Only connections to a daemon can end this way.
    Closed(CloseReason),
}

/// A change in the life of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleEvent {
    /// The VM's name.
    pub name: String,
    /// The VM's UUID in its usual form with dashes.
    pub uuid: String,
    /// What happened.
    pub lifecycle: Lifecycle,
}

/// What happened to a VM, and why. A plain number is libvirt's detail where virt-hooks has no use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lifecycle {
    /// Its persistent configuration was made or changed.
    Defined(i32),
    /// Its persistent configuration was removed.
    Undefined(i32),
    /// It exists now. On a plain start libvirt tells `Resumed` first.
    Started(StartReason),
    /// Its processors stand still.
    Suspended(SuspendReason),
    /// Its processors run.
    Resumed(ResumeReason),
    /// It is gone.
    Stopped(StopReason),
    /// It is about to stop; `Stopped` follows.
    Shutdown(ShutdownReason),
    /// The guest put itself to sleep.
    PmSuspended(i32),
    /// The guest crashed and is kept.
    Crashed(i32),
    /// A kind of event this build has no name for.
    Other {
        /// libvirt's event number.
        event: i32,
        /// libvirt's detail number.
        detail: i32,
    },
}

numbered! {
    /// Why a VM started.
    StartReason {
        0 Booted "booted" "A plain start.",
        1 Migrated "migrated" "It arrived from another host.",
        2 Restored "restored" "It was restored from a file.",
        3 FromSnapshot "from snapshot" "It was reverted to a snapshot.",
        4 Wakeup "wakeup" "It woke up.",
    }
}

numbered! {
    /// Why a VM's processors stopped.
    SuspendReason {
        0 Paused "paused" "Somebody paused it.",
        1 Migrated "migrated" "It is about to leave for another host.",
        2 IoError "i/o error" "A disk failed.",
        3 Watchdog "watchdog" "Its watchdog fired.",
        4 Restored "restored" "It was restored from the file of a paused VM.",
        5 FromSnapshot "from snapshot" "It was reverted to the snapshot of a paused VM.",
        6 ApiError "api error" "A libvirt call on it failed half way.",
        7 PostCopy "post-copy" "It waits for a post-copy migration.",
        8 PostCopyFailed "post-copy failed" "A post-copy migration failed.",
    }
}

numbered! {
    /// Why a VM's processors run again.
    ResumeReason {
        0 Unpaused "unpaused" "Somebody resumed it, or it starts.",
        1 Migrated "migrated" "Its migration to this host ended.",
        2 FromSnapshot "from snapshot" "It was restored from a file or a snapshot.",
        3 PostCopy "post-copy" "It runs here while a post-copy migration goes on.",
        4 PostCopyFailed "post-copy failed" "It runs here although a post-copy migration failed.",
    }
}

numbered! {
    /// Why a VM is gone.
    StopReason {
        0 Shutdown "shutdown" "The guest shut down.",
        1 Destroyed "destroyed" "Somebody pulled the plug.",
        2 Crashed "crashed" "The guest crashed.",
        3 Migrated "migrated" "It runs on another host now.",
        4 Saved "saved" "It was saved to a file.",
        5 Failed "failed" "QEMU died or never came up.",
        6 FromSnapshot "from snapshot" "It was reverted to the snapshot of a stopped VM.",
    }
}

numbered! {
    /// Who made a VM shut down.
    ShutdownReason {
        0 Finished "finished" "Unknown.",
        1 Guest "guest" "The guest.",
        2 Host "host" "The host.",
    }
}

numbered! {
    /// Why a connection is lost.
    CloseReason {
        0 Error "i/o error" "Reading or writing failed.",
        1 EndOfFile "end of file" "The daemon closed it, or ended.",
        2 KeepAlive "keepalive timeout" "The daemon does not answer.",
        3 Client "client" "This side closed it.",
    }
}

impl Lifecycle {
    /// From libvirt's event and detail numbers.
    pub fn from_raw(event: i32, detail: i32) -> Self {
        match event {
            0 => Self::Defined(detail),
            1 => Self::Undefined(detail),
            2 => Self::Started(StartReason::from_raw(detail)),
            3 => Self::Suspended(SuspendReason::from_raw(detail)),
            4 => Self::Resumed(ResumeReason::from_raw(detail)),
            5 => Self::Stopped(StopReason::from_raw(detail)),
            6 => Self::Shutdown(ShutdownReason::from_raw(detail)),
            7 => Self::PmSuspended(detail),
            8 => Self::Crashed(detail),
            event => Self::Other { event, detail },
        }
    }

    /// libvirt's detail number.
    pub fn detail(self) -> i32 {
        match self {
            Self::Started(reason) => reason.raw(),
            Self::Suspended(reason) => reason.raw(),
            Self::Resumed(reason) => reason.raw(),
            Self::Stopped(reason) => reason.raw(),
            Self::Shutdown(reason) => reason.raw(),
            Self::Defined(detail)
            | Self::Undefined(detail)
            | Self::PmSuspended(detail)
            | Self::Crashed(detail)
            | Self::Other { detail, .. } => detail,
        }
    }
}

/// A stream of events; iterate over `&subscription` to wait for one after the other.
///
/// libvirt stops telling when this is dropped. Events of a VM arrive in the order of their happening.
pub struct Subscription {
    receiver: Receiver<Event>,
    ticket: Ticket,
    connection: Connection,
}

impl Subscription {
    pub(crate) fn lifecycle(connection: &Connection) -> Result<Self, Error> {
        let (ticket, receiver) = registry::subscribe(connection.ticket());
        match connection.start_events() {
            Ok(()) => Ok(Self { receiver, ticket, connection: connection.clone() }),
            Err(error) => {
                registry::unsubscribe(ticket);
                Err(error)
            }
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// Once the connection is lost and [`Event::Closed`] was delivered.
    pub fn recv(&self) -> Result<Event, RecvError> {
        self.receiver.recv()
    }

    /// Waits for the next event, at most for `timeout`.
    ///
    /// # Errors
    /// On timeout, and as for [`Subscription::recv`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Event, RecvTimeoutError> {
        self.receiver.recv_timeout(timeout)
    }

    /// The next event if one is there already.
    ///
    /// # Errors
    /// If none is there, and as for [`Subscription::recv`].
    pub fn try_recv(&self) -> Result<Event, TryRecvError> {
        self.receiver.try_recv()
    }
}

impl<'a> IntoIterator for &'a Subscription {
    type Item = Event;
    type IntoIter = Iter<'a, Event>;

    fn into_iter(self) -> Iter<'a, Event> {
        self.receiver.iter()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        registry::unsubscribe(self.ticket);
        self.connection.stop_events();
    }
}

/// Told by libvirt when a VM changes. `opaque` is the connection's ticket.
pub(crate) unsafe extern "C" fn on_lifecycle(
    _connection: *mut VirConnect,
    domain: *mut VirDomain,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // Unwinding into libvirt's C frames would abort the process; an event is worth less than that.
    let _ = catch_unwind(|| {
        let Some(library) = Libvirt::loaded() else { return };
        // SAFETY: libvirt lends a valid domain for the time of this call.
        let Some((name, uuid)) = (unsafe { identity(library, domain) }) else { return };
        let lifecycle = Lifecycle::from_raw(event, detail);
        let event = Event::Lifecycle(LifecycleEvent { name, uuid, lifecycle });
        registry::send(Ticket::from_opaque(opaque), &event);
    });
    0
}

/// Told by libvirt when a connection to a daemon is lost. `opaque` is the connection's ticket.
pub(crate) unsafe extern "C" fn on_close(_connection: *mut VirConnect, reason: c_int, opaque: *mut c_void) {
    // As in `on_lifecycle`.
    let _ = catch_unwind(|| {
        registry::close(Ticket::from_opaque(opaque), Event::Closed(CloseReason::from_raw(reason)));
    });
}

/// Name and UUID of a domain. Neither asks the daemon, so this may run on the event thread.
///
/// # Safety
/// `domain` must be a valid domain.
pub(crate) unsafe fn identity(library: &Libvirt, domain: *mut VirDomain) -> Option<(String, String)> {
    // SAFETY: a valid domain by the caller's promise.
    let name = unsafe { (library.functions.virDomainGetName)(domain) };
    if name.is_null() {
        return None;
    }
    // SAFETY: a NUL-terminated string owned by the domain, which outlives this function.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let mut buffer = [0; UUID_STRING_BUFLEN];
    // SAFETY: a valid domain, and a buffer of the length libvirt asks for.
    let code =
        unsafe { (library.functions.virDomainGetUUIDString)(domain, buffer.as_mut_ptr().cast::<c_char>()) };
    if code < 0 {
        return None;
    }
    let uuid = CStr::from_bytes_until_nul(&buffer).ok()?.to_string_lossy().into_owned();
    Some((name, uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_events_and_back() {
        assert_eq!(Lifecycle::from_raw(5, 3), Lifecycle::Stopped(StopReason::Migrated));
        assert_eq!(Lifecycle::from_raw(5, 77), Lifecycle::Stopped(StopReason::Other(77)));
        assert_eq!(Lifecycle::from_raw(9, 1), Lifecycle::Other { event: 9, detail: 1 });
        for event in 0..10 {
            assert_eq!(Lifecycle::from_raw(event, 4).detail(), 4);
        }
    }

    #[test]
    fn a_callback_before_load_or_without_a_domain_sends_nothing() {
        let connection = registry::new_connection();
        let (_, receiver) = registry::subscribe(connection);
        if let Ok(library) = Libvirt::load() {
            // SAFETY: libvirt checks its arguments and reports a null domain as an error.
            assert_eq!(unsafe { identity(library, std::ptr::null_mut()) }, None);
        }
        let null = std::ptr::null_mut();
        // SAFETY: as above.
        let code = unsafe { on_lifecycle(std::ptr::null_mut(), null, 2, 0, connection.to_opaque()) };
        assert_eq!(code, 0);
        assert!(receiver.try_recv().is_err());
    }
}
