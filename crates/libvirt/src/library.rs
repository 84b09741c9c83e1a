// SPDX-License-Identifier: Apache-2.0
//! libvirt's client library: opened once, initialised once, with its one event loop thread.

use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use libloading::Library;

use crate::error::{Error, ErrorKind};
use crate::ffi::{Functions, VirError};
use crate::types::Version;

const SONAME: &str = "libvirt.so.0";
const LOAD: &str = "load libvirt";

/// How long the event loop rests after libvirt refused to turn it, so as not to spin.
const LOOP_BACK_OFF: Duration = Duration::from_millis(100);

static LIBVIRT: OnceLock<Result<Libvirt, Error>> = OnceLock::new();

/// libvirt's client library, loaded for the life of the process.
pub struct Libvirt {
    pub(crate) functions: Functions,
}

impl Libvirt {
    /// Opens `libvirt.so.0`, silences its printing to stderr and starts its event loop.
    ///
    /// The first call does the work; later calls return its result.
    ///
    /// # Errors
    /// [`ErrorKind::NoLibrary`] if the library is missing or lacks a function.
    pub fn load() -> Result<&'static Self, Error> {
        LIBVIRT.get_or_init(|| open(SONAME)?.initialise()).as_ref().map_err(Clone::clone)
    }

    /// The library, if [`Libvirt::load`] succeeded before.
    pub(crate) fn loaded() -> Option<&'static Self> {
        LIBVIRT.get()?.as_ref().ok()
    }

    /// The version of the client library (a daemon's may differ).
    ///
    /// # Errors
    /// What libvirt reports.
    pub fn version(&self) -> Result<Version, Error> {
        let mut packed: c_ulong = 0;
        // SAFETY: the first pointer is writable, the other two may be null.
        let code = unsafe { (self.functions.virGetVersion)(&raw mut packed, ptr::null(), ptr::null_mut()) };
        self.check("read the version of", "libvirt", code)?;
        Ok(Version::from_packed(packed))
    }

    fn initialise(self) -> Result<Self, Error> {
        // SAFETY: the handler has the declared type, uses none of its arguments and stays valid.
        unsafe { (self.functions.virSetErrorFunc)(ptr::null_mut(), Some(discard_error)) };
        // SAFETY: no arguments; libvirt allows these from any thread, and the OnceLock runs them once.
        let ready = self.check(LOAD, "", unsafe { (self.functions.virInitialize)() }).and_then(|_| {
            // SAFETY: as above; it must come before the first connection, which this function precedes.
            self.check(LOAD, "", unsafe { (self.functions.virEventRegisterDefaultImpl)() })
        });
        let run = self.functions.virEventRunDefaultImpl;
        let started = ready.and_then(|_| {
            thread::Builder::new()
                .name("libvirt-events".to_owned())
                .spawn(move || turn_event_loop(run))
                .map_err(|source| {
                    Error::own(LOAD, "", ErrorKind::Other, format!("start the event thread: {source}"))
                })
        });
        match started {
            Ok(_runs_for_ever) => Ok(self),
            Err(error) => {
                // An initialised libvirt has thread-local state and must not be unmapped.
                std::mem::forget(self);
                Err(error)
            }
        }
    }

    /// Turns a negative return value into libvirt's last error of this thread.
    pub(crate) fn check(&self, call: &'static str, object: &str, code: c_int) -> Result<c_int, Error> {
        if code < 0 { Err(self.last_error(call, object)) } else { Ok(code) }
    }

    /// Turns a null pointer into libvirt's last error of this thread.
    pub(crate) fn check_pointer<T>(
        &self,
        call: &'static str,
        object: &str,
        pointer: *mut T,
    ) -> Result<NonNull<T>, Error> {
        NonNull::new(pointer).ok_or_else(|| self.last_error(call, object))
    }

    /// Like [`Libvirt::check_pointer`], for a string that the caller has to free.
    pub(crate) fn check_string(
        &self,
        call: &'static str,
        object: &str,
        string: *mut c_char,
    ) -> Result<String, Error> {
        let string = self.check_pointer(call, object, string)?;
        // SAFETY: libvirt returned a non-null, NUL-terminated string that now belongs to us.
        let owned = unsafe { CStr::from_ptr(string.as_ptr()) }.to_string_lossy().into_owned();
        // SAFETY: it was allocated with malloc, as libvirt documents, and is not used after this.
        unsafe { libc::free(string.as_ptr().cast()) };
        Ok(owned)
    }

    fn last_error(&self, call: &'static str, object: &str) -> Error {
        // SAFETY: no arguments; returns null or this thread's error.
        let error = unsafe { (self.functions.virGetLastError)() };
        // SAFETY: it is what virGetLastError returned on this thread, with nothing in between.
        unsafe { Error::from_last(call, object, error) }
    }
}

/// The path of a file as libvirt takes it. Another that only looks like it would be another file.
pub(crate) fn c_path(call: &'static str, object: &str, path: &Path) -> Result<CString, Error> {
    match path.to_str() {
        Some(text) => c_string(call, object, text),
        None => Err(Error::own(
            call,
            object,
            ErrorKind::InvalidArgument,
            format!("the path {} is not UTF-8: give the file another name", path.display()),
        )),
    }
}

/// `text` as libvirt wants it.
pub(crate) fn c_string(call: &'static str, object: &str, text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| {
        Error::own(call, object, ErrorKind::InvalidArgument, "the text has a NUL character in it, remove it")
    })
}

fn open(name: &str) -> Result<Libvirt, Error> {
    let failed = |source: libloading::Error| Error::own(LOAD, "", ErrorKind::NoLibrary, describe(&source));
    // SAFETY: libvirt's initialisers run on any thread and have no precondition.
    let library = unsafe { Library::new(name) }.map_err(failed)?;
    // SAFETY: the soname promises libvirt's ABI; a library without its functions is refused.
    let functions = unsafe { Functions::resolve(library) }.map_err(failed)?;
    Ok(Libvirt { functions })
}

/// libloading's own message names only the failed call; the reason is in its source.
fn describe(error: &libloading::Error) -> String {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    format!("{reason}; install it: Debian package libvirt0, Fedora package libvirt-libs")
}

fn turn_event_loop(run: unsafe extern "C" fn() -> c_int) {
    loop {
        // SAFETY: no arguments; the default implementation is registered, this is its only runner,
        // and the library is never unmapped once this thread exists.
        if unsafe { run() } < 0 {
            thread::sleep(LOOP_BACK_OFF);
        }
    }
}

/// Stands in for libvirt's default handler, which prints to stderr.
unsafe extern "C" fn discard_error(_data: *mut c_void, _error: *mut VirError) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_the_packages() {
        let error = open("libvirt-that-is-not-there.so.0").err().unwrap();
        assert_eq!(error.kind, ErrorKind::NoLibrary);
        let line = error.to_string();
        assert!(line.starts_with("load libvirt: libvirt-that-is-not-there.so.0: cannot open"), "{line}");
        assert!(line.contains("libvirt0") && line.contains("libvirt-libs"), "{line}");
        assert!(error.hint().unwrap().contains("apt install libvirt0"));
    }

    #[test]
    fn a_library_without_the_functions_is_refused() {
        let error = open("libc.so.6").err().unwrap();
        assert_eq!(error.kind, ErrorKind::NoLibrary);
        assert!(error.message.contains("virInitialize"), "{error}");
    }

    #[test]
    fn a_path_is_passed_as_it_is_or_refused() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes| Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned();
        assert_eq!(
            c_path("save VM", "a", &path("/x/\u{e9}".as_bytes())).unwrap().as_bytes(),
            "/x/\u{e9}".as_bytes()
        );
        for bad in [&b"/x/\xe9"[..], b"/x/\0"] {
            let error = c_path("save VM", "a", &path(bad)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
            assert!(error.to_string().starts_with("save VM a: the "), "{error}");
        }
    }

    #[test]
    fn text_with_nul_is_refused() {
        let error = c_string("look up VM", "a", "a\0b").unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
    }
}
