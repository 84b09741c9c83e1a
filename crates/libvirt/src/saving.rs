// SPDX-License-Identifier: Apache-2.0
//! Saving a running VM to a file, and bringing it back.

use std::ops::BitOr;
use std::path::Path;
use std::ptr;

use crate::connection::Connection;
use crate::domain::Domain;
use crate::error::Error;
use crate::library::{c_path, c_string};

/// How a VM is saved or restored (`virDomainSaveRestoreFlags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SaveFlags(u32);

impl SaveFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Keep the file out of the page cache.
    pub const BYPASS_CACHE: Self = Self(1);
    /// Its processors run after the restore, whatever the file says.
    pub const RUNNING: Self = Self(2);
    /// Its processors stand still after the restore, whatever the file says.
    pub const PAUSED: Self = Self(4);

    /// libvirt's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for SaveFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Domain {
    /// Saves the running VM to a file and ends it. Takes as long as its memory takes to be written.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`](crate::ErrorKind::OperationInvalid) if it does not run, and what else
    /// libvirt reports; the VM goes on then.
    pub fn save(&self, file: &Path, flags: SaveFlags) -> Result<(), Error> {
        const CALL: &str = "save VM";
        let file = c_path(CALL, self.name(), file)?;
        let save = self.connection().library().functions.virDomainSaveFlags;
        self.check(CALL, |domain| {
            // SAFETY: the domain is valid, the string NUL-terminated; a null XML leaves the VM's own.
            unsafe { save(domain, file.as_ptr(), ptr::null(), flags.bits()) }
        })
        .map(drop)
    }
}

impl Connection {
    /// Brings a saved VM back, with `xml` in place of the XML in the file where given. What guests can
    /// notice must be as it was.
    ///
    /// # Errors
    /// [`ErrorKind::ConfigUnsupported`](crate::ErrorKind::ConfigUnsupported) if `xml` changes what a guest can
    /// notice, and what else libvirt reports.
    pub fn restore(&self, file: &Path, xml: Option<&str>, flags: SaveFlags) -> Result<(), Error> {
        const CALL: &str = "restore VM from";
        let name = file.to_string_lossy();
        let path = c_path(CALL, &name, file)?;
        let xml = xml.map(|xml| c_string(CALL, &name, xml)).transpose()?;
        // SAFETY: the connection is open; the strings are null or NUL-terminated and outlive the call.
        let code = unsafe {
            (self.library().functions.virDomainRestoreFlags)(
                self.as_ptr(),
                path.as_ptr(),
                xml.as_ref().map_or(ptr::null(), |xml| xml.as_ptr()),
                flags.bits(),
            )
        };
        self.library().check(CALL, &name, code).map(drop)
    }

    /// The XML of the VM saved in a file, with passwords where `secure`.
    ///
    /// # Errors
    /// What libvirt reports: no such file, not an image.
    pub fn saved_xml(&self, file: &Path, secure: bool) -> Result<String, Error> {
        const CALL: &str = "read the saved VM";
        let name = file.to_string_lossy();
        let path = c_path(CALL, &name, file)?;
        let read = self.library().functions.virDomainSaveImageGetXMLDesc;
        // SAFETY: the connection is open, the string NUL-terminated; what comes back is ours to free.
        let xml = unsafe { read(self.as_ptr(), path.as_ptr(), u32::from(secure)) };
        self.library().check_string(CALL, &name, xml)
    }
}
