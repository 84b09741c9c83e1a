// SPDX-License-Identifier: Apache-2.0
//! One VM, as libvirt's domain object.

use std::ffi::{c_int, c_uint};
use std::fmt;
use std::ptr::{self, NonNull};

use crate::connection::{Connection, DomainInfo};
use crate::error::{Error, ErrorKind};
use crate::events::identity;
use crate::ffi::{METADATA_ELEMENT, VirDomain, VirDomainMemoryStat};
use crate::library::c_string;
use crate::types::{Affect, CreateFlags, State, StateInfo, XmlFlags};

/// A VM known to libvirt, running or not. It may vanish at any time; calls then fail with
/// [`ErrorKind::NoDomain`].
pub struct Domain {
    pointer: NonNull<VirDomain>,
    connection: Connection,
    name: String,
    uuid: String,
}

// SAFETY: libvirt documents domain objects as usable from many threads at once; the other fields are
// immutable and Send and Sync themselves.
unsafe impl Send for Domain {}
// SAFETY: as above.
unsafe impl Sync for Domain {}

impl Domain {
    /// Takes over a reference.
    ///
    /// # Safety
    /// `pointer` must be a domain of `connection`, whose reference belongs to the caller.
    pub(crate) unsafe fn from_owned(
        connection: Connection,
        call: &'static str,
        pointer: NonNull<VirDomain>,
    ) -> Result<Self, Error> {
        let mut domain = Self { pointer, connection, name: String::new(), uuid: String::new() };
        // SAFETY: valid by the caller's promise.
        let identity = unsafe { identity(domain.connection.library(), pointer.as_ptr()) };
        let Some((name, uuid)) = identity else {
            return Err(Error::own(call, "", ErrorKind::Other, "libvirt does not tell the VM's name"));
        };
        domain.name = name;
        domain.uuid = uuid;
        Ok(domain)
    }

    /// The VM's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The VM's UUID in its usual form with dashes.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The connection it belongs to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// libvirt's number for a VM that runs, as known when this object was made.
    pub fn id(&self) -> Option<u32> {
        // SAFETY: the domain is valid.
        let id = unsafe { (self.connection.library().functions.virDomainGetID)(self.pointer.as_ptr()) };
        (id != c_uint::MAX).then_some(id)
    }

    /// What the VM is doing, and why.
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`] if it is gone.
    pub fn state(&self) -> Result<StateInfo, Error> {
        let (mut state, mut reason): (c_int, c_int) = (0, 0);
        let get = self.connection.library().functions.virDomainGetState;
        self.check("read the state of VM", |domain| {
            // SAFETY: the domain is valid and both numbers are writable.
            unsafe { get(domain, &raw mut state, &raw mut reason, 0) }
        })?;
        Ok(StateInfo { state: State::from_raw(state), reason })
    }

    /// Whether the VM runs (or is paused).
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`] if it is gone.
    pub fn is_active(&self) -> Result<bool, Error> {
        let get = self.connection.library().functions.virDomainIsActive;
        // SAFETY: the domain is valid.
        Ok(self.check("read the state of VM", |domain| unsafe { get(domain) })? == 1)
    }

    /// Whether the VM has a configuration that outlives its run.
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`] if it is gone.
    pub fn is_persistent(&self) -> Result<bool, Error> {
        let get = self.connection.library().functions.virDomainIsPersistent;
        // SAFETY: the domain is valid.
        Ok(self.check("read the state of VM", |domain| unsafe { get(domain) })? == 1)
    }

    pub(crate) fn info(&self) -> Result<DomainInfo, Error> {
        Ok(DomainInfo {
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            id: self.id(),
            state: self.state()?,
            persistent: self.is_persistent()?,
        })
    }

    /// The VM's XML.
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`] if it is gone; [`ErrorKind::AuthFailed`] if passwords are asked for on
    /// a connection that may only read.
    pub fn xml(&self, flags: XmlFlags) -> Result<String, Error> {
        let library = self.connection.library();
        // SAFETY: the domain is valid; the string is ours to free.
        let xml = unsafe { (library.functions.virDomainGetXMLDesc)(self.pointer.as_ptr(), flags.bits()) };
        library.check_string("read the XML of VM", &self.name, xml)
    }

    /// Starts a VM that is defined and does not run.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if it runs, [`ErrorKind::Internal`] if QEMU ends at start, and
    /// what else libvirt reports.
    pub fn create(&self, flags: CreateFlags) -> Result<(), Error> {
        let create = self.connection.library().functions.virDomainCreateWithFlags;
        // SAFETY: the domain is valid.
        self.check("start VM", |domain| unsafe { create(domain, flags.bits()) }).map(drop)
    }

    /// Pulls the plug.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if it does not run.
    pub fn destroy(&self) -> Result<(), Error> {
        let destroy = self.connection.library().functions.virDomainDestroy;
        // SAFETY: the domain is valid.
        self.check("stop VM", |domain| unsafe { destroy(domain) }).map(drop)
    }

    /// Asks the guest to shut down, and does not wait for it.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if it does not run.
    pub fn shutdown(&self) -> Result<(), Error> {
        let shutdown = self.connection.library().functions.virDomainShutdown;
        // SAFETY: the domain is valid.
        self.check("shut down VM", |domain| unsafe { shutdown(domain) }).map(drop)
    }

    /// Makes the VM's processors stand still.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if it does not run.
    pub fn suspend(&self) -> Result<(), Error> {
        let suspend = self.connection.library().functions.virDomainSuspend;
        // SAFETY: the domain is valid.
        self.check("pause VM", |domain| unsafe { suspend(domain) }).map(drop)
    }

    /// Lets the VM's processors run again.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if it is not paused.
    pub fn resume(&self) -> Result<(), Error> {
        let resume = self.connection.library().functions.virDomainResume;
        // SAFETY: the domain is valid.
        self.check("resume VM", |domain| unsafe { resume(domain) }).map(drop)
    }

    /// Removes the VM's persistent configuration. A running VM goes on until it stops.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if it has none, or has a managed save image or NVRAM.
    pub fn undefine(&self) -> Result<(), Error> {
        let undefine = self.connection.library().functions.virDomainUndefine;
        // SAFETY: the domain is valid.
        self.check("undefine VM", |domain| unsafe { undefine(domain) }).map(drop)
    }

    /// The VM's metadata element of the XML namespace `uri`, without prefix and namespace; `None` if
    /// there is none.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] for [`Affect::Live`] on a VM that does not run, and
    /// [`ErrorKind::NoDomain`] if it is gone.
    pub fn metadata(&self, uri: &str, affect: Affect) -> Result<Option<String>, Error> {
        const CALL: &str = "read the metadata of VM";
        let library = self.connection.library();
        let uri = c_string(CALL, &self.name, uri)?;
        let get = library.functions.virDomainGetMetadata;
        // SAFETY: the domain is valid, the string NUL-terminated; what comes back is ours to free.
        let xml = unsafe { get(self.pointer.as_ptr(), METADATA_ELEMENT, uri.as_ptr(), affect.bits()) };
        match library.check_string(CALL, &self.name, xml) {
            Ok(xml) => Ok(Some(xml)),
            Err(error) if error.kind == ErrorKind::NoMetadata => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the VM's metadata element of the XML namespace `uri`, or removes it with `None`.
    ///
    /// The element is given without prefix; libvirt adds `prefix`. The live and the persistent copy are
    /// apart; [`Affect::Current`] changes the live one of a running VM.
    ///
    /// # Errors
    /// As for [`Domain::metadata`], and [`ErrorKind::XmlError`].
    pub fn set_metadata(
        &self,
        uri: &str,
        prefix: &str,
        xml: Option<&str>,
        affect: Affect,
    ) -> Result<(), Error> {
        const CALL: &str = "set the metadata of VM";
        let uri = c_string(CALL, &self.name, uri)?;
        let prefix = c_string(CALL, &self.name, prefix)?;
        let xml = xml.map(|xml| c_string(CALL, &self.name, xml)).transpose()?;
        let set = self.connection.library().functions.virDomainSetMetadata;
        let removed = self.check(CALL, |domain| {
            let xml = xml.as_ref().map_or(ptr::null(), |xml| xml.as_ptr());
            // SAFETY: the domain is valid; the strings are null or NUL-terminated and outlive the call.
            unsafe { set(domain, METADATA_ELEMENT, xml, prefix.as_ptr(), uri.as_ptr(), affect.bits()) }
        });
        match removed {
            // Removing what is not there is no failure.
            Err(error) if error.kind == ErrorKind::NoMetadata && xml.is_none() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Waits until libvirt has no other business with the running VM, for half a minute at most. A VM that
    /// does not run, or is gone, is not waited for.
    ///
    /// A daemon that was just started takes up the running VMs in the background. A VM that is stopped
    /// meanwhile stops, and is reported as not found.
    pub fn settle(&self) {
        let mut stat = VirDomainMemoryStat::default();
        // Reading statistics is the harmless call that waits for its turn; they are of no interest.
        // SAFETY: the domain is valid and there is room for the one entry that is asked for.
        unsafe {
            (self.connection.library().functions.virDomainMemoryStats)(
                self.pointer.as_ptr(),
                &raw mut stat,
                1,
                0,
            )
        };
    }

    pub(crate) fn as_ptr(&self) -> *mut VirDomain {
        self.pointer.as_ptr()
    }

    pub(crate) fn check(
        &self,
        call: &'static str,
        function: impl FnOnce(*mut VirDomain) -> c_int,
    ) -> Result<c_int, Error> {
        let code = function(self.pointer.as_ptr());
        self.connection.library().check(call, &self.name, code)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("name", &self.name).field("uuid", &self.uuid).finish()
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: the reference that `from_owned` took over, released once.
        unsafe { (self.connection.library().functions.virDomainFree)(self.pointer.as_ptr()) };
    }
}
