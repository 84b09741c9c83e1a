// SPDX-License-Identifier: Apache-2.0
//! Who gets which event. libvirt holds only numbers; this table gives them their meaning.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::events::Event;

/// Names a connection or a subscription to libvirt. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(usize);

impl Ticket {
    /// As the opaque argument of a callback.
    pub(crate) fn to_opaque(self) -> *mut std::ffi::c_void {
        std::ptr::without_provenance_mut(self.0)
    }

    /// Back from the opaque argument of a callback.
    pub(crate) fn from_opaque(opaque: *mut std::ffi::c_void) -> Self {
        Self(opaque.addr())
    }
}

struct Entry {
    connection: Ticket,
    sender: Sender<Event>,
}

#[derive(Default)]
struct Registry {
    last: usize,
    entries: HashMap<Ticket, Entry>,
    /// Connections that are lost and not dropped yet, each with its last event.
    lost: HashMap<Ticket, Event>,
}

impl Registry {
    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    fn send(&self, connection: Ticket, event: &Event) {
        for entry in self.entries.values().filter(|entry| entry.connection == connection) {
            // A receiver that is gone is about to unsubscribe.
            let _ = entry.sender.send(event.clone());
        }
    }
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    // Nothing under the lock panics, and no step depends on the one before it.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for a new connection.
pub(crate) fn new_connection() -> Ticket {
    registry().ticket()
}

/// Forgets a connection that is about to close.
pub(crate) fn drop_connection(connection: Ticket) {
    registry().lost.remove(&connection);
}

/// A number for a new subscription of `connection`, and where its events arrive. On a lost connection
/// that is its last event.
pub(crate) fn subscribe(connection: Ticket) -> (Ticket, Receiver<Event>) {
    let (sender, receiver) = mpsc::channel();
    let mut registry = registry();
    let ticket = registry.ticket();
    if let Some(last) = registry.lost.get(&connection) {
        // The receiver is right below.
        let _ = sender.send(last.clone());
    } else {
        registry.entries.insert(ticket, Entry { connection, sender });
    }
    (ticket, receiver)
}

/// Forgets a subscription; its receiver ends.
pub(crate) fn unsubscribe(subscription: Ticket) {
    registry().entries.remove(&subscription);
}

/// Sends to every subscription of a connection.
pub(crate) fn send(connection: Ticket, event: &Event) {
    registry().send(connection, event);
}

/// Sends a last event to every subscription of a connection, and ends them.
pub(crate) fn close(connection: Ticket, event: Event) {
    let mut registry = registry();
    registry.send(connection, &event);
    registry.entries.retain(|_, entry| entry.connection != connection);
    registry.lost.insert(connection, event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::CloseReason;

    #[test]
    fn a_closed_connection_ends_its_own_subscriptions_only() {
        let (closing, staying) = (new_connection(), new_connection());
        let (_, first) = subscribe(closing);
        let (second_ticket, second) = subscribe(staying);
        let closed = Event::Closed(CloseReason::EndOfFile);
        close(closing, closed.clone());
        assert_eq!(first.iter().collect::<Vec<_>>(), vec![closed.clone()]);
        let (_, late) = subscribe(closing);
        assert_eq!(late.iter().collect::<Vec<_>>(), vec![closed.clone()], "no waiting for ever");
        drop_connection(closing);
        assert!(second.try_recv().is_err());
        send(staying, &closed);
        assert_eq!(second.recv().unwrap(), closed);
        unsubscribe(second_ticket);
        assert!(second.recv().is_err());
    }

    #[test]
    fn tickets_survive_the_way_through_libvirt() {
        let connection = new_connection();
        let (subscription, receiver) = subscribe(connection);
        send(Ticket::from_opaque(connection.to_opaque()), &Event::Closed(CloseReason::Client));
        assert!(receiver.recv().is_ok());
        unsubscribe(subscription);
        // A late event for a forgotten subscription is discarded.
        send(connection, &Event::Closed(CloseReason::Client));
        assert!(receiver.recv().is_err());
    }
}
