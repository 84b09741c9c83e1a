// SPDX-License-Identifier: Apache-2.0
//! Moving a running VM to another host.

use std::ffi::{CString, c_char};
use std::ops::BitOr;

use crate::domain::Domain;
use crate::error::{Error, ErrorKind};
use crate::ffi::{VirTypedParameter, VirTypedValue};
use crate::library::c_string;

/// `VIR_TYPED_PARAM_STRING`.
const KIND_STRING: i32 = 7;
/// `VIR_MIGRATE_PARAM_URI`: where the memory goes.
const PARAM_URI: &str = "migrate_uri";
/// `VIR_MIGRATE_PARAM_DISKS_URI`: where the contents of disks go.
const PARAM_DISKS_URI: &str = "disks_uri";

/// How a VM is migrated (`virDomainMigrateFlags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MigrateFlags(u32);

impl MigrateFlags {
    /// It runs meanwhile.
    pub const LIVE: Self = Self(1);
    /// The daemon of its host speaks with that of the other one: it goes on without who asked for it.
    pub const PEER_TO_PEER: Self = Self(2);
    /// Its configuration is kept at the destination.
    pub const PERSIST_DESTINATION: Self = Self(8);
    /// Its configuration is removed from its host.
    pub const UNDEFINE_SOURCE: Self = Self(16);
    /// The contents of its disks go along.
    pub const NON_SHARED_DISKS: Self = Self(64);

    /// libvirt's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for MigrateFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Domain {
    /// Moves the running VM to the host whose libvirt is at `to`, as this host's daemon reaches it. Its memory goes
    /// to `uri`, and the contents of its disks to `disks_uri` where they go along; libvirt chooses what is not given,
    /// but for disks beside a Unix socket for the memory. Takes as long as the memory takes.
    ///
    /// # Errors
    /// What libvirt reports, also of the destination; the VM goes on where it was.
    pub fn migrate(
        &self,
        to: &str,
        uri: Option<&str>,
        disks_uri: Option<&str>,
        flags: MigrateFlags,
    ) -> Result<(), Error> {
        const CALL: &str = "migrate VM";
        let to = c_string(CALL, self.name(), to)?;
        let mut texts = Vec::new();
        for (name, uri) in [(PARAM_URI, uri), (PARAM_DISKS_URI, disks_uri)] {
            if let Some(uri) = uri {
                texts.push((name, c_string(CALL, self.name(), uri)?));
            }
        }
        let mut parameters: Vec<VirTypedParameter> =
            texts.iter().map(|(name, text)| string_parameter(name, text)).collect();
        let count = u32::try_from(parameters.len())
            .map_err(|_| Error::own(CALL, self.name(), ErrorKind::InvalidArgument, "too many parameters"))?;
        let migrate = self.connection().library().functions.virDomainMigrateToURI3;
        self.check(CALL, |domain| {
            // SAFETY: the domain is valid, the string NUL-terminated; there are `count` parameters, whose strings
            // outlive the call, and libvirt only reads them.
            unsafe { migrate(domain, to.as_ptr(), parameters.as_mut_ptr(), count, flags.bits()) }
        })
        .map(drop)
    }

    /// Gives up what libvirt is at with the VM: a migration, a save.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if libvirt is at nothing, and what else it reports.
    pub fn abort_job(&self) -> Result<(), Error> {
        let abort = self.connection().library().functions.virDomainAbortJob;
        // SAFETY: the domain is valid.
        self.check("give up the migration of VM", |domain| unsafe { abort(domain) }).map(drop)
    }
}

/// A parameter that points into `text`.
fn string_parameter(name: &str, text: &CString) -> VirTypedParameter {
    let mut field: [c_char; 80] = [0; 80];
    // The last stays NUL.
    for (to, from) in field[..79].iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    VirTypedParameter { field, kind: KIND_STRING, value: VirTypedValue { string: text.as_ptr().cast_mut() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_its_name_with_a_nul() {
        let text = CString::new("tcp://b").unwrap();
        let parameter = string_parameter(PARAM_URI, &text);
        let name: Vec<u8> =
            parameter.field.iter().map(|c| c.cast_unsigned()).take_while(|c| *c != 0).collect();
        assert_eq!((name.as_slice(), parameter.kind), (PARAM_URI.as_bytes(), 7));
        let long = string_parameter(&"x".repeat(100), &text);
        assert_eq!(long.field[79], 0);
    }
}
