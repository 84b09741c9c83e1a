// SPDX-License-Identifier: Apache-2.0
//! What went wrong in a libvirt call: which call, on what, why, and what to do next.

use std::ffi::CStr;

use crate::ffi::VirError;

/// A failed libvirt call. Displays as one line, `start VM web1: <libvirt's message>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.line())]
#[non_exhaustive]
pub struct Error {
    /// What was tried, as a verb phrase: `connect to`, `start VM`.
    pub call: &'static str,
    /// What it was tried on: the name of a VM, a URI; may be empty.
    pub object: String,
    /// libvirt's error number (`VIR_ERR_*`); 0 if the call never reached libvirt.
    pub code: i32,
    /// The cause, as far as a program can act on it.
    pub kind: ErrorKind,
    /// libvirt's message, on one line.
    pub message: String,
}

/// The causes a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `libvirt.so.0` is not installed or is too old.
    NoLibrary,
    /// No libvirt daemon answers at the URI, or the connection broke.
    Unreachable,
    /// libvirt has no driver for the URI, or the driver cannot work on this host.
    NoConnect,
    /// The caller may not do this.
    AuthFailed,
    /// There is no such VM.
    NoDomain,
    /// A VM with that name or UUID exists already, or runs already.
    DomainExists,
    /// The VM's state does not allow the call: it runs already, or it does not run.
    OperationInvalid,
    /// The VM has no metadata of that namespace.
    NoMetadata,
    /// The XML is malformed, or does not follow libvirt's schema.
    XmlError,
    /// The XML asks for something the hypervisor cannot do.
    ConfigUnsupported,
    /// The driver behind the URI lacks the call or the flag.
    Unsupported,
    /// The VM is busy with another operation for too long.
    Timeout,
    /// An argument cannot be passed to libvirt.
    InvalidArgument,
    /// An error inside libvirt, most often QEMU ending at start.
    Internal,
    /// Any other cause; see the code and the message.
    Other,
}

// `VIR_FROM_RPC`: the part of libvirt that talks to the daemon.
const FROM_RPC: i32 = 7;

impl ErrorKind {
    /// Sorts libvirt's `code` (`VIR_ERR_*`) with what else the error says: the part of libvirt it
    /// comes from, the errno, and for causes without a number of their own, the message.
    fn of(code: i32, domain: i32, errno: i32, message: &str) -> Self {
        match (code, domain) {
            (38, _) if matches!(errno, libc::EACCES | libc::EPERM) => Self::AuthFailed,
            (1 | 38 | 39, FROM_RPC) | (4 | 6 | 40 | 85 | 98, _) => Self::Unreachable,
            (5, _) => Self::NoConnect,
            (29 | 45 | 79 | 88 | 94, _) => Self::AuthFailed,
            (42, _) => Self::NoDomain,
            (28, _) => Self::DomainExists,
            // Creating or defining a VM under a taken name reports "operation failed", as much else does.
            (9, _) if message.contains("already exists") => Self::DomainExists,
            (55, _) if message.contains("already active") => Self::DomainExists,
            (55, _) => Self::OperationInvalid,
            (80, _) => Self::NoMetadata,
            (27 | 35 | 92, _) => Self::XmlError,
            (67 | 91, _) => Self::ConfigUnsupported,
            (3 | 26 | 74 | 84, _) => Self::Unsupported,
            (68 | 87, _) => Self::Timeout,
            // A flag the driver does not know is an invalid argument to libvirt.
            (8, _) if message.contains("unsupported flags") => Self::Unsupported,
            (8, _) => Self::InvalidArgument,
            (1, _) => Self::Internal,
            _ => Self::Other,
        }
    }
}

impl Error {
    /// The error behind a call that failed on this thread just now.
    ///
    /// # Safety
    /// `error` must be null or what `virGetLastError` returned on this thread, with no call into
    /// libvirt in between.
    pub(crate) unsafe fn from_last(call: &'static str, object: &str, error: *const VirError) -> Self {
        // SAFETY: null or valid by the caller's promise; libvirt keeps it until this thread's next call.
        let Some(error) = (unsafe { error.as_ref() }) else {
            return Self::own(call, object, ErrorKind::Other, "libvirt gave no reason");
        };
        let message = if error.message.is_null() {
            "libvirt gave no message".to_owned()
        } else {
            // SAFETY: a non-null message is a NUL-terminated string that lives as long as the error.
            one_line(&unsafe { CStr::from_ptr(error.message) }.to_string_lossy())
        };
        let kind = ErrorKind::of(error.code, error.domain, error.int1, &message);
        Self { call, object: object.to_owned(), code: error.code, kind, message }
    }

    /// An error found on this side of libvirt.
    pub(crate) fn own(call: &'static str, object: &str, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { call, object: object.to_owned(), code: 0, kind, message: message.into() }
    }

    /// What to do next, if there is something to do.
    pub fn hint(&self) -> Option<&str> {
        match self.kind {
            ErrorKind::NoLibrary => {
                Some("install libvirt's client library: `apt install libvirt0` or `dnf install libvirt-libs`")
            }
            ErrorKind::Unreachable => Some(
                "start libvirt: `systemctl start virtqemud.socket` (or `libvirtd.socket`), then try `virsh list --all`",
            ),
            ErrorKind::NoConnect => Some(
                "check the URI (`qemu:///system` on most hosts) and that libvirt's QEMU driver is installed: \
                 `apt install libvirt-daemon-driver-qemu` or `dnf install libvirt-daemon-driver-qemu`",
            ),
            ErrorKind::AuthFailed => Some("run as root, or join the group `libvirt` and log in again"),
            ErrorKind::NoDomain => Some("see which VMs there are: `virsh list --all`"),
            ErrorKind::DomainExists => Some(
                "see which VMs there are: `virsh list --all`; stop that one or take another name and UUID",
            ),
            ErrorKind::OperationInvalid => Some("see the VM's state: `virsh list --all`"),
            ErrorKind::XmlError => Some("check the XML: `virt-xml-validate FILE domain`"),
            ErrorKind::ConfigUnsupported => Some("see what this host can do: `virsh domcapabilities`"),
            ErrorKind::Timeout => Some("see what the VM is busy with: `virsh domjobinfo VM`"),
            ErrorKind::NoMetadata
            | ErrorKind::Unsupported
            | ErrorKind::InvalidArgument
            | ErrorKind::Internal
            | ErrorKind::Other => None,
        }
    }

    fn line(&self) -> String {
        if self.object.is_empty() {
            format!("{}: {}", self.call, self.message)
        } else {
            format!("{} {}: {}", self.call, self.object, self.message)
        }
    }
}

/// libvirt passes on QEMU's stderr, which has many lines.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_with_call_object_and_reason() {
        let error = Error::own("start VM", "web1", ErrorKind::Internal, one_line("qemu died:\n  no ROM\n\n"));
        assert_eq!(error.to_string(), "start VM web1: qemu died:; no ROM");
        let error = Error::own("load libvirt", "", ErrorKind::NoLibrary, "not found");
        assert_eq!(error.to_string(), "load libvirt: not found");
    }

    #[test]
    fn kinds_follow_code_origin_errno_and_message() {
        let of = ErrorKind::of;
        assert_eq!(of(38, FROM_RPC, libc::ENOENT, "Failed to connect socket"), ErrorKind::Unreachable);
        assert_eq!(of(38, FROM_RPC, libc::EACCES, "Failed to connect socket"), ErrorKind::AuthFailed);
        assert_eq!(of(38, 10, libc::ENOSPC, "cannot write"), ErrorKind::Other);
        assert_eq!(of(1, FROM_RPC, 0, "client socket is closed"), ErrorKind::Unreachable);
        assert_eq!(of(1, 10, 0, "process exited"), ErrorKind::Internal);
        assert_eq!(of(9, 20, 0, "domain 'a' already exists with uuid b"), ErrorKind::DomainExists);
        assert_eq!(of(9, 20, 0, "operation failed: disk is full"), ErrorKind::Other);
        assert_eq!(of(55, 20, 0, "domain is already active as 'a'"), ErrorKind::DomainExists);
        assert_eq!(of(55, 10, 0, "domain is not running"), ErrorKind::OperationInvalid);
    }

    #[test]
    fn a_null_error_still_names_the_call() {
        // SAFETY: null is allowed.
        let error = unsafe { Error::from_last("stop VM", "a", std::ptr::null()) };
        assert_eq!(error.to_string(), "stop VM a: libvirt gave no reason");
    }
}
