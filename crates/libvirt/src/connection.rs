// SPDX-License-Identifier: Apache-2.0
//! A connection to a hypervisor.

use std::ffi::{c_int, c_ulong};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::devices;
use crate::domain::Domain;
use crate::error::{Error, ErrorKind};
use crate::events::{Subscription, on_close, on_lifecycle};
use crate::ffi::{EVENT_ID_LIFECYCLE, VirConnect, VirDomain};
use crate::library::{Libvirt, c_string};
use crate::registry::{self, Ticket};
use crate::types::{CreateFlags, StateInfo, Version};

/// Seconds between two questions whether the daemon is still there, and how many may go unanswered.
const KEEP_ALIVE: (i32, u32) = (5, 3);

/// Embedded drivers are opened one at a time: the first opening initialises the driver without a lock, and a
/// second one at that moment crashes the process.
static OPENING: Mutex<()> = Mutex::new(());

/// An open connection; clones share it, and the last one closes it.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    library: &'static Libvirt,
    pointer: NonNull<VirConnect>,
    ticket: Ticket,
    uri: String,
    events: Mutex<Events>,
}

/// libvirt takes one registration of a callback per connection, so all subscriptions share it.
#[derive(Default)]
struct Events {
    subscriptions: usize,
    callbacks: Vec<c_int>,
}

// SAFETY: libvirt documents connections as usable from many threads at once; the other fields are
// Send and Sync themselves.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// One line of [`Connection::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// The VM's name.
    pub name: String,
    /// The VM's UUID in its usual form with dashes.
    pub uuid: String,
    /// libvirt's number for a VM that runs.
    pub id: Option<u32>,
    /// What it is doing.
    pub state: StateInfo,
    /// Whether it has a configuration that outlives its run.
    pub persistent: bool,
}

impl Connection {
    /// Connects to `uri`, or to the hypervisor libvirt picks (`LIBVIRT_DEFAULT_URI`) if `None`.
    ///
    /// # Errors
    /// [`ErrorKind::NoLibrary`] without libvirt, [`ErrorKind::Unreachable`] if no daemon answers,
    /// [`ErrorKind::AuthFailed`] without the right to connect, and what else libvirt reports.
    pub fn open(uri: Option<&str>) -> Result<Self, Error> {
        const CALL: &str = "connect to";
        let library = Libvirt::load()?;
        let object = uri.unwrap_or("the default hypervisor");
        let c_uri = uri.map(|uri| c_string(CALL, object, uri)).transpose()?;
        let _turn =
            uri.is_none_or(is_embedded).then(|| OPENING.lock().unwrap_or_else(PoisonError::into_inner));
        // SAFETY: null or a NUL-terminated string that outlives the call.
        let pointer = unsafe {
            (library.functions.virConnectOpen)(c_uri.as_ref().map_or(ptr::null(), |uri| uri.as_ptr()))
        };
        let pointer = library.check_pointer(CALL, object, pointer)?;
        let ticket = registry::new_connection();
        let mut inner = Inner { library, pointer, ticket, uri: object.to_owned(), events: Mutex::default() };

        // SAFETY: the connection is open; the string is ours to free.
        let uri = unsafe { (library.functions.virConnectGetURI)(inner.pointer.as_ptr()) };
        inner.uri = library.check_string("read the URI of", object, uri)?;
        // Drivers that live in this process cannot be lost and support neither; failures do not matter.
        // SAFETY: the connection is open; the callback has the declared type and its opaque value is a
        // number that needs no freeing.
        unsafe {
            (library.functions.virConnectRegisterCloseCallback)(
                inner.pointer.as_ptr(),
                on_close,
                ticket.to_opaque(),
                None,
            )
        };
        // SAFETY: the connection is open.
        unsafe {
            (library.functions.virConnectSetKeepAlive)(inner.pointer.as_ptr(), KEEP_ALIVE.0, KEEP_ALIVE.1)
        };
        let embedded = is_embedded(&inner.uri);
        let connection = Self(Arc::new(inner));
        if embedded {
            // An embedded driver takes up the VMs that an earlier process left running, and does so in
            // the background; a VM that is stopped meanwhile is reported as not found.
            connection.domains()?.iter().for_each(Domain::settle);
        }
        Ok(connection)
    }

    /// The URI as the driver gives it, also if none was asked for.
    pub fn uri(&self) -> &str {
        &self.0.uri
    }

    /// The version of the libvirt that manages the VMs.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the connection is lost.
    pub fn lib_version(&self) -> Result<Version, Error> {
        let mut packed: c_ulong = 0;
        // SAFETY: the connection is open and the number writable.
        let code =
            unsafe { (self.library().functions.virConnectGetLibVersion)(self.as_ptr(), &raw mut packed) };
        self.library().check("read the version of", self.uri(), code)?;
        Ok(Version::from_packed(packed))
    }

    /// Whether the connection still works, as far as is known without asking.
    pub fn is_alive(&self) -> bool {
        // SAFETY: the connection is open.
        unsafe { (self.library().functions.virConnectIsAlive)(self.as_ptr()) == 1 }
    }

    /// All VMs, running or not, by name. One that vanishes meanwhile is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the connection is lost.
    pub fn list(&self) -> Result<Vec<DomainInfo>, Error> {
        let mut infos = Vec::new();
        for domain in self.domains()? {
            match domain.info() {
                Ok(info) => infos.push(info),
                Err(error) if error.kind == ErrorKind::NoDomain => {}
                Err(error) => return Err(error),
            }
        }
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(infos)
    }

    /// The VM with this UUID or, failing that, this name.
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`] if there is none.
    pub fn lookup(&self, name_or_uuid: &str) -> Result<Domain, Error> {
        const CALL: &str = "look up VM";
        let text = c_string(CALL, name_or_uuid, name_or_uuid)?;
        let functions = &self.library().functions;
        if is_uuid(name_or_uuid) {
            // SAFETY: the connection is open, the string NUL-terminated.
            let found = unsafe { (functions.virDomainLookupByUUIDString)(self.as_ptr(), text.as_ptr()) };
            match self.domain(CALL, name_or_uuid, found) {
                Err(error) if error.kind == ErrorKind::NoDomain => {}
                other => return other,
            }
        }
        // SAFETY: as above.
        let found = unsafe { (functions.virDomainLookupByName)(self.as_ptr(), text.as_ptr()) };
        self.domain(CALL, name_or_uuid, found)
    }

    /// Starts a VM that is gone once it stops.
    ///
    /// # Errors
    /// [`ErrorKind::XmlError`], [`ErrorKind::ConfigUnsupported`], [`ErrorKind::DomainExists`],
    /// [`ErrorKind::Internal`] if QEMU ends at start, and what else libvirt reports.
    pub fn create_xml(&self, xml: &str, flags: CreateFlags) -> Result<Domain, Error> {
        const CALL: &str = "start VM from XML";
        let xml = c_string(CALL, "", xml)?;
        // SAFETY: the connection is open, the string NUL-terminated.
        let made = unsafe {
            (self.library().functions.virDomainCreateXML)(self.as_ptr(), xml.as_ptr(), flags.bits())
        };
        self.domain(CALL, "", made)
    }

    /// Makes or changes a VM's persistent configuration, without starting it.
    ///
    /// # Errors
    /// As for [`Connection::create_xml`].
    pub fn define_xml(&self, xml: &str) -> Result<Domain, Error> {
        const CALL: &str = "define VM from XML";
        let xml = c_string(CALL, "", xml)?;
        // SAFETY: the connection is open, the string NUL-terminated.
        let made = unsafe { (self.library().functions.virDomainDefineXML)(self.as_ptr(), xml.as_ptr()) };
        self.domain(CALL, "", made)
    }

    /// Tells of every change in the life of every VM from now on, of devices that come and go, and of the
    /// loss of the connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the connection is lost.
    pub fn lifecycle_events(&self) -> Result<Subscription, Error> {
        Subscription::lifecycle(self)
    }

    pub(crate) fn library(&self) -> &'static Libvirt {
        self.0.library
    }

    pub(crate) fn as_ptr(&self) -> *mut VirConnect {
        self.0.pointer.as_ptr()
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.0.ticket
    }

    /// Registers for events if this is the first subscription.
    pub(crate) fn start_events(&self) -> Result<(), Error> {
        let mut events = self.events();
        if events.subscriptions == 0 {
            // SAFETY: the connection is open; a null domain means all; the callback has the type that
            // the lifecycle id asks for; the opaque value is a number and needs no freeing.
            let callback = unsafe {
                (self.library().functions.virConnectDomainEventRegisterAny)(
                    self.as_ptr(),
                    ptr::null_mut(),
                    EVENT_ID_LIFECYCLE,
                    on_lifecycle,
                    self.ticket().to_opaque(),
                    None,
                )
            };
            let callback = self.library().check("subscribe to events of", self.uri(), callback)?;
            events.callbacks = vec![callback];
            events.callbacks.extend(devices::start_events(self));
        }
        events.subscriptions += 1;
        Ok(())
    }

    /// Ends what [`Connection::start_events`] began once the last subscription goes.
    pub(crate) fn stop_events(&self) {
        let mut events = self.events();
        events.subscriptions -= 1;
        if events.subscriptions == 0 {
            let deregister = self.library().functions.virConnectDomainEventDeregisterAny;
            for callback in std::mem::take(&mut events.callbacks) {
                // SAFETY: the connection is open and the number is the one its registration returned. A
                // failure means that the connection is lost, and its callbacks with it.
                unsafe { deregister(self.as_ptr(), callback) };
            }
        }
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        // The fields change together, after the calls that could fail.
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn domains(&self) -> Result<Vec<Domain>, Error> {
        const CALL: &str = "list the VMs of";
        let mut array: *mut *mut VirDomain = ptr::null_mut();
        // SAFETY: the connection is open; libvirt stores an array of its own making in `array`.
        let count =
            unsafe { (self.library().functions.virConnectListAllDomains)(self.as_ptr(), &raw mut array, 0) };
        let count = self.library().check(CALL, self.uri(), count)?;
        let count = usize::try_from(count).unwrap_or(0);
        let domains = (0..count)
            // SAFETY: the array has `count` entries.
            .map(|index| self.domain(CALL, self.uri(), unsafe { *array.add(index) }))
            // Take all before the first error returns, so that each is freed.
            .collect::<Vec<_>>();
        // SAFETY: the array is ours, from malloc, and its entries were taken over above.
        unsafe { libc::free(array.cast()) };
        domains.into_iter().collect()
    }

    pub(crate) fn domain(
        &self,
        call: &'static str,
        object: &str,
        pointer: *mut VirDomain,
    ) -> Result<Domain, Error> {
        let pointer = self.library().check_pointer(call, object, pointer)?;
        // SAFETY: a domain of this connection, and the reference is passed on.
        unsafe { Domain::from_owned(self.clone(), call, pointer) }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.0.uri).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let functions = &self.library.functions;
        // The close callback holds a reference to the connection, which would never close otherwise.
        // SAFETY: the connection is open; libvirt reports an error if the callback is not registered.
        unsafe { (functions.virConnectUnregisterCloseCallback)(self.pointer.as_ptr(), on_close) };
        // SAFETY: this is the reference that opening returned, released once.
        unsafe { (functions.virConnectClose)(self.pointer.as_ptr()) };
        registry::drop_connection(self.ticket);
    }
}

/// Whether the driver behind `uri` lives in this process and keeps its state in a directory.
fn is_embedded(uri: &str) -> bool {
    uri.split_once(":///").is_some_and(|(_, rest)| rest == "embed" || rest.starts_with("embed?"))
}

/// Whether `text` has the form of a UUID: 32 hexadecimal digits, dashes allowed.
fn is_uuid(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        && text.bytes().filter(|&byte| byte != b'-').count() == 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_may_be_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<Connection>();
    }

    #[test]
    fn embedded_uris_are_told_from_daemons() {
        assert!(is_embedded("qemu:///embed?root=/tmp/x") && is_embedded("qemu:///embed"));
        assert!(!is_embedded("qemu:///system") && !is_embedded("qemu+ssh://embed/system"));
        assert!(!is_embedded("qemu+unix:///system?socket=/embed?"));
    }

    #[test]
    fn uuids_are_told_from_names() {
        assert!(is_uuid("6695eb01-f6a4-8304-79aa-97f2502e193f"));
        assert!(!is_uuid("web1"));
        assert!(!is_uuid("6695eb01-f6a4-8304-79aa-97f2502e193"));
    }
}
