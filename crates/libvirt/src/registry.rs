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
}

impl Registry {
    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    // Every change of the table is a single insert or remove, so it is whole even after a panic.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for a new connection.
pub(crate) fn new_connection() -> Ticket {
    registry().ticket()
}

/// A number for a new subscription of `connection`, and where its events arrive.
pub(crate) fn subscribe(connection: Ticket) -> (Ticket, Receiver<Event>) {
    let (sender, receiver) = mpsc::channel();
    let mut registry = registry();
    let ticket = registry.ticket();
    registry.entries.insert(ticket, Entry { connection, sender });
    (ticket, receiver)
}

/// Forgets a subscription; its receiver ends.
pub(crate) fn unsubscribe(subscription: Ticket) {
    registry().entries.remove(&subscription);
}

/// Sends to every subscription of a connection.
pub(crate) fn send(connection: Ticket, event: &Event) {
    for entry in registry().entries.values().filter(|entry| entry.connection == connection) {
        // A receiver that is gone is about to unsubscribe.
        let _ = entry.sender.send(event.clone());
    }
}

/// Sends a last event to every subscription of a connection, and ends them.
pub(crate) fn close(connection: Ticket, event: &Event) {
    send(connection, event);
    registry().entries.retain(|_, entry| entry.connection != connection);
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
        close(closing, &closed);
        assert_eq!(first.iter().collect::<Vec<_>>(), vec![closed.clone()]);
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
