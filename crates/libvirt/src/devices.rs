// SPDX-License-Identifier: Apache-2.0
//! Devices and processors of a running VM: to plug, to unplug and to update, and what libvirt tells of it.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem;
use std::panic::catch_unwind;
use std::ptr;

use crate::connection::Connection;
use crate::domain::Domain;
use crate::error::Error;
use crate::events::{Event, identity};
use crate::ffi::{
    DeviceCallback, EVENT_ID_DEVICE_ADDED, EVENT_ID_DEVICE_REMOVAL_FAILED, EVENT_ID_DEVICE_REMOVED,
    LifecycleCallback, VirConnect, VirDomain,
};
use crate::library::{Libvirt, c_string};
use crate::registry::{self, Ticket};
use crate::types::Affect;

/// What became of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceChange {
    /// It is there now.
    Added,
    /// It is gone: the guest has let go of it. Only this proves that a device was unplugged.
    Removed,
    /// The guest, or QEMU, refused to let go of it.
    RemovalFailed,
}

/// A device of a running VM that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvent {
    /// The VM's name.
    pub name: String,
    /// The VM's UUID in its usual form with dashes.
    pub uuid: String,
    /// The device's alias, as libvirt says it.
    pub alias: String,
    /// What became of it.
    pub change: DeviceChange,
}

impl DeviceEvent {
    /// Whether this is about the device `alias` of the VM `uuid`.
    ///
    /// libvirt 9.0 calls a memory module `memdimm0` when it comes and `dimm0` when it goes, so both count as the
    /// same.
    pub fn is_about(&self, uuid: &str, alias: &str) -> bool {
        self.uuid == uuid && module(&self.alias) == module(alias)
    }
}

fn module(alias: &str) -> &str {
    alias.strip_prefix("mem").filter(|rest| rest.starts_with("dimm")).unwrap_or(alias)
}

impl Domain {
    /// Plugs a device into the VM.
    ///
    /// # Errors
    /// What libvirt reports: [`ErrorKind::XmlError`](crate::ErrorKind), [`ErrorKind::ConfigUnsupported`](crate::ErrorKind)
    /// for a bus without hot-plug, [`ErrorKind::Internal`](crate::ErrorKind) if there is no free slot or QEMU refuses.
    pub fn attach_device(&self, xml: &str, affect: Affect) -> Result<(), Error> {
        const CALL: &str = "plug a device into VM";
        let xml = c_string(CALL, self.name(), xml)?;
        let attach = self.connection().library().functions.virDomainAttachDeviceFlags;
        // SAFETY: the domain is valid; the string is NUL-terminated and outlives the call.
        self.check(CALL, |domain| unsafe { attach(domain, xml.as_ptr(), affect.bits()) }).map(drop)
    }

    /// Asks the guest to let go of the device with this alias, and does not wait for it. Most devices need the
    /// guest's consent, so success says only that it was asked; [`DeviceChange::Removed`] says that the device
    /// is gone.
    ///
    /// # Errors
    /// What libvirt reports: a device that is not there, or whose guest was asked before and has not answered.
    pub fn detach_device(&self, alias: &str, affect: Affect) -> Result<(), Error> {
        const CALL: &str = "unplug a device from VM";
        let alias = c_string(CALL, self.name(), alias)?;
        let detach = self.connection().library().functions.virDomainDetachDeviceAlias;
        // SAFETY: the domain is valid; the string is NUL-terminated and outlives the call.
        self.check(CALL, |domain| unsafe { detach(domain, alias.as_ptr(), affect.bits()) }).map(drop)
    }

    /// Changes a device to what `xml` says. Start from the device's live XML: libvirt takes what is left out
    /// as a change, and can change little.
    ///
    /// # Errors
    /// What libvirt reports; a property that cannot change on a running VM among it.
    pub fn update_device(&self, xml: &str, affect: Affect) -> Result<(), Error> {
        const CALL: &str = "update a device of VM";
        let xml = c_string(CALL, self.name(), xml)?;
        let update = self.connection().library().functions.virDomainUpdateDeviceFlags;
        // SAFETY: the domain is valid; the string is NUL-terminated and outlives the call.
        self.check(CALL, |domain| unsafe { update(domain, xml.as_ptr(), affect.bits()) }).map(drop)
    }

    /// Sets the number of processors.
    ///
    /// # Errors
    /// What libvirt reports, such as a number above the VM's maximum. Fewer processors need the guest's
    /// consent, which libvirt awaits for five seconds.
    pub fn set_vcpus(&self, count: c_uint, affect: Affect) -> Result<(), Error> {
        const CALL: &str = "set the number of processors of VM";
        let set = self.connection().library().functions.virDomainSetVcpusFlags;
        // SAFETY: the domain is valid.
        self.check(CALL, |domain| unsafe { set(domain, count, affect.bits()) }).map(drop)
    }
}

/// Registers for what becomes of devices; returns the registrations. A driver that knows no such events has
/// no devices to unplug either, so that is no failure.
pub(crate) fn start_events(connection: &Connection) -> Vec<c_int> {
    let register = connection.library().functions.virConnectDomainEventRegisterAny;
    let kinds: [(c_int, DeviceCallback); 3] = [
        (EVENT_ID_DEVICE_REMOVED, on_removed),
        (EVENT_ID_DEVICE_ADDED, on_added),
        (EVENT_ID_DEVICE_REMOVAL_FAILED, on_removal_failed),
    ];
    kinds
        .into_iter()
        .map(|(id, callback)| {
            // SAFETY: libvirt takes callbacks of every type through this one argument, and calls each with the
            // type that goes with its id, which is the one it had before this.
            let callback = unsafe { mem::transmute::<DeviceCallback, LifecycleCallback>(callback) };
            let opaque = connection.ticket().to_opaque();
            // SAFETY: the connection is open; a null domain means all; the opaque value is a number and
            // needs no freeing.
            unsafe { register(connection.as_ptr(), ptr::null_mut(), id, callback, opaque, None) }
        })
        .filter(|&registration| registration >= 0)
        .collect()
}

macro_rules! callbacks {
    ($($name:ident $change:ident,)*) => {
        $(
            /// Told by libvirt when a device comes or goes. `opaque` is the connection's ticket.
            unsafe extern "C" fn $name(
                _connection: *mut VirConnect,
                domain: *mut VirDomain,
                alias: *const c_char,
                opaque: *mut c_void,
            ) {
                // SAFETY: libvirt lends a valid domain and a string for the time of this call.
                unsafe { tell(domain, alias, opaque, DeviceChange::$change) }
            }
        )*
    };
}

callbacks! {
    on_removed Removed,
    on_added Added,
    on_removal_failed RemovalFailed,
}

/// # Safety
/// `domain` must be null or a valid domain, `alias` null or a NUL-terminated string.
unsafe fn tell(domain: *mut VirDomain, alias: *const c_char, opaque: *mut c_void, change: DeviceChange) {
    // Unwinding into libvirt's C frames would abort the process; an event is worth less than that.
    let _ = catch_unwind(|| {
        let Some(library) = Libvirt::loaded() else { return };
        if alias.is_null() {
            return;
        }
        // SAFETY: as the caller promises; libvirt reports a null domain as an error.
        let Some((name, uuid)) = (unsafe { identity(library, domain) }) else { return };
        // SAFETY: a NUL-terminated string by the caller's promise.
        let alias = unsafe { CStr::from_ptr(alias) }.to_string_lossy().into_owned();
        let event = Event::Device(DeviceEvent { name, uuid, alias, change });
        registry::send(Ticket::from_opaque(opaque), &event);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_module_has_two_names() {
        let event = |alias: &str| DeviceEvent {
            name: "web1".into(),
            uuid: "u".into(),
            alias: alias.into(),
            change: DeviceChange::Removed,
        };
        assert!(event("dimm0").is_about("u", "memdimm0") && event("memdimm0").is_about("u", "dimm0"));
        assert!(!event("dimm1").is_about("u", "dimm0") && !event("dimm0").is_about("v", "dimm0"));
        assert!(event("net0").is_about("u", "net0") && !event("net").is_about("u", "memnet"));
    }

    #[test]
    fn an_event_about_nothing_is_dropped() {
        let connection = registry::new_connection();
        let (_, receiver) = registry::subscribe(connection);
        let null = ptr::null_mut();
        let library = Libvirt::load();
        // SAFETY: null is allowed for all.
        unsafe { on_removed(ptr::null_mut(), null, ptr::null(), connection.to_opaque()) };
        if library.is_ok() {
            // SAFETY: as above, with a string.
            unsafe { on_removed(ptr::null_mut(), null, c"net0".as_ptr(), connection.to_opaque()) };
        }
        assert!(receiver.try_recv().is_err());
    }
}
