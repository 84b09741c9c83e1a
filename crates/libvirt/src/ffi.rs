// SPDX-License-Identifier: Apache-2.0
//! libvirt's C interface, as far as it is used: types, numbers and the table of functions.
//!
//! Every function here exists since libvirt 1.2 or earlier, but for `virDomainDetachDeviceAlias` (4.4, of 2018).

use std::ffi::{c_char, c_int, c_longlong, c_uint, c_ulong, c_ulonglong, c_void};

use libloading::Library;

/// libvirt's `virConnect`, only ever seen through a pointer.
#[repr(C)]
pub(crate) struct VirConnect {
    _opaque: [u8; 0],
}

/// libvirt's `virDomain`, only ever seen through a pointer.
#[repr(C)]
pub(crate) struct VirDomain {
    _opaque: [u8; 0],
}

/// libvirt's `virError`. Read only, owned by libvirt's thread-local storage.
#[repr(C)]
pub(crate) struct VirError {
    pub(crate) code: c_int,
    pub(crate) domain: c_int,
    pub(crate) message: *mut c_char,
    pub(crate) level: c_int,
    pub(crate) conn: *mut VirConnect,
    pub(crate) dom: *mut VirDomain,
    pub(crate) str1: *mut c_char,
    pub(crate) str2: *mut c_char,
    pub(crate) str3: *mut c_char,
    pub(crate) int1: c_int,
    pub(crate) int2: c_int,
    pub(crate) net: *mut c_void,
}

/// libvirt's `virDomainMemoryStatStruct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct VirDomainMemoryStat {
    pub(crate) tag: c_int,
    pub(crate) value: c_ulonglong,
}

/// libvirt's `virNodeDevice`, only ever seen through a pointer.
#[repr(C)]
pub(crate) struct VirNodeDevice {
    _opaque: [u8; 0],
}

/// libvirt's `virTypedParameter`; which member of the union counts depends on `kind`.
#[repr(C)]
pub(crate) struct VirTypedParameter {
    pub(crate) field: [c_char; 80],
    pub(crate) kind: c_int,
    pub(crate) value: VirTypedValue,
}

/// The union in libvirt's `virTypedParameter`.
#[repr(C)]
pub(crate) union VirTypedValue {
    pub(crate) int: c_int,
    pub(crate) uint: c_uint,
    pub(crate) long: c_longlong,
    pub(crate) ulong: c_ulonglong,
    pub(crate) double: f64,
    pub(crate) boolean: c_char,
    pub(crate) string: *mut c_char,
}

/// libvirt's `virDomainStatsRecord`.
#[repr(C)]
pub(crate) struct VirDomainStatsRecord {
    pub(crate) domain: *mut VirDomain,
    pub(crate) parameters: *mut VirTypedParameter,
    pub(crate) count: c_int,
}

/// libvirt's `virDomainControlInfo`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct VirDomainControlInfo {
    pub(crate) state: c_uint,
    pub(crate) details: c_uint,
    pub(crate) since: c_ulonglong,
}

pub(crate) type ErrorCallback = unsafe extern "C" fn(*mut c_void, *mut VirError);
pub(crate) type CloseCallback = unsafe extern "C" fn(*mut VirConnect, c_int, *mut c_void);
pub(crate) type LifecycleCallback =
    unsafe extern "C" fn(*mut VirConnect, *mut VirDomain, c_int, c_int, *mut c_void) -> c_int;
pub(crate) type DeviceCallback =
    unsafe extern "C" fn(*mut VirConnect, *mut VirDomain, *const c_char, *mut c_void);
pub(crate) type FreeCallback = unsafe extern "C" fn(*mut c_void);

/// `VIR_DOMAIN_EVENT_ID_LIFECYCLE`: the callback has the type [`LifecycleCallback`].
pub(crate) const EVENT_ID_LIFECYCLE: c_int = 0;
/// `VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED`: the callback has the type [`DeviceCallback`].
pub(crate) const EVENT_ID_DEVICE_REMOVED: c_int = 15;
/// `VIR_DOMAIN_EVENT_ID_DEVICE_ADDED`: as above.
pub(crate) const EVENT_ID_DEVICE_ADDED: c_int = 19;
/// `VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED`: as above.
pub(crate) const EVENT_ID_DEVICE_REMOVAL_FAILED: c_int = 22;
/// `VIR_DOMAIN_METADATA_ELEMENT`: an XML element of its own namespace.
pub(crate) const METADATA_ELEMENT: c_int = 2;
/// `VIR_UUID_STRING_BUFLEN`: 36 characters and the NUL.
pub(crate) const UUID_STRING_BUFLEN: usize = 37;

macro_rules! functions {
    ($($name:ident($($arg:ty),*) -> $ret:ty;)*) => {
        /// The functions of `libvirt.so.0`, resolved once.
        #[allow(non_snake_case, reason = "the names are libvirt's")]
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($arg),*) -> $ret,)*
            // Last, so that no pointer above outlives the mapping it points into.
            _library: Library,
        }

        impl Functions {
            /// Resolves every function in `library`.
            ///
            /// # Safety
            /// `library` must be libvirt's client library with the ABI of `libvirt.so.0`.
            pub(crate) unsafe fn resolve(library: Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the caller vouches for the library, and the signature is the one
                        // libvirt's headers declare under this name; the ABI of `.so.0` is stable.
                        *unsafe { library.get::<unsafe extern "C" fn($($arg),*) -> $ret>(stringify!($name)) }?
                    },)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    virInitialize() -> c_int;
    virSetErrorFunc(*mut c_void, Option<ErrorCallback>) -> ();
    virGetLastError() -> *mut VirError;
    virGetVersion(*mut c_ulong, *const c_char, *mut c_ulong) -> c_int;

    virEventRegisterDefaultImpl() -> c_int;
    virEventRunDefaultImpl() -> c_int;

    virConnectOpen(*const c_char) -> *mut VirConnect;
    virConnectClose(*mut VirConnect) -> c_int;
    virConnectGetURI(*mut VirConnect) -> *mut c_char;
    virConnectGetLibVersion(*mut VirConnect, *mut c_ulong) -> c_int;
    virConnectIsAlive(*mut VirConnect) -> c_int;
    virConnectSetKeepAlive(*mut VirConnect, c_int, c_uint) -> c_int;
    virConnectListAllDomains(*mut VirConnect, *mut *mut *mut VirDomain, c_uint) -> c_int;
    virConnectRegisterCloseCallback(*mut VirConnect, CloseCallback, *mut c_void, Option<FreeCallback>) -> c_int;
    virConnectUnregisterCloseCallback(*mut VirConnect, CloseCallback) -> c_int;
    virConnectDomainEventRegisterAny(
        *mut VirConnect, *mut VirDomain, c_int, LifecycleCallback, *mut c_void, Option<FreeCallback>
    ) -> c_int;
    virConnectDomainEventDeregisterAny(*mut VirConnect, c_int) -> c_int;

    virDomainLookupByName(*mut VirConnect, *const c_char) -> *mut VirDomain;
    virDomainLookupByUUIDString(*mut VirConnect, *const c_char) -> *mut VirDomain;
    virDomainCreateXML(*mut VirConnect, *const c_char, c_uint) -> *mut VirDomain;
    virDomainDefineXML(*mut VirConnect, *const c_char) -> *mut VirDomain;
    virDomainFree(*mut VirDomain) -> c_int;
    virDomainGetName(*mut VirDomain) -> *const c_char;
    virDomainGetUUIDString(*mut VirDomain, *mut c_char) -> c_int;
    virDomainGetID(*mut VirDomain) -> c_uint;
    virDomainGetState(*mut VirDomain, *mut c_int, *mut c_int, c_uint) -> c_int;
    virDomainIsActive(*mut VirDomain) -> c_int;
    virDomainIsPersistent(*mut VirDomain) -> c_int;
    virDomainGetXMLDesc(*mut VirDomain, c_uint) -> *mut c_char;
    virDomainCreateWithFlags(*mut VirDomain, c_uint) -> c_int;
    virDomainDestroy(*mut VirDomain) -> c_int;
    virDomainShutdown(*mut VirDomain) -> c_int;
    virDomainSuspend(*mut VirDomain) -> c_int;
    virDomainResume(*mut VirDomain) -> c_int;

    // Saving to a file and restoring from it.
    virDomainSaveFlags(*mut VirDomain, *const c_char, *const c_char, c_uint) -> c_int;
    virDomainRestoreFlags(*mut VirConnect, *const c_char, *const c_char, c_uint) -> c_int;
    virDomainSaveImageGetXMLDesc(*mut VirConnect, *const c_char, c_uint) -> *mut c_char;

    virDomainMigrateToURI3(*mut VirDomain, *const c_char, *mut VirTypedParameter, c_uint, c_uint) -> c_int;
    virDomainAbortJob(*mut VirDomain) -> c_int;

    virDomainUndefine(*mut VirDomain) -> c_int;
    virDomainMemoryStats(*mut VirDomain, *mut VirDomainMemoryStat, c_uint, c_uint) -> c_int;
    virDomainGetMetadata(*mut VirDomain, c_int, *const c_char, c_uint) -> *mut c_char;
    virDomainSetMetadata(*mut VirDomain, c_int, *const c_char, *const c_char, *const c_char, c_uint) -> c_int;

    virDomainAttachDeviceFlags(*mut VirDomain, *const c_char, c_uint) -> c_int;
    virDomainDetachDeviceAlias(*mut VirDomain, *const c_char, c_uint) -> c_int;
    virDomainUpdateDeviceFlags(*mut VirDomain, *const c_char, c_uint) -> c_int;
    virDomainSetVcpusFlags(*mut VirDomain, c_uint, c_uint) -> c_int;

    // For `node`.
    virConnectGetCapabilities(*mut VirConnect) -> *mut c_char;
    virConnectGetVersion(*mut VirConnect, *mut c_ulong) -> c_int;
    virConnectGetAllDomainStats(*mut VirConnect, c_uint, *mut *mut *mut VirDomainStatsRecord, c_uint) -> c_int;
    virDomainListGetStats(*mut *mut VirDomain, c_uint, *mut *mut *mut VirDomainStatsRecord, c_uint) -> c_int;
    virDomainStatsRecordListFree(*mut *mut VirDomainStatsRecord) -> ();
    virDomainRef(*mut VirDomain) -> c_int;
    virDomainGetControlInfo(*mut VirDomain, *mut VirDomainControlInfo, c_uint) -> c_int;
    virConnectListAllNodeDevices(*mut VirConnect, *mut *mut *mut VirNodeDevice, c_uint) -> c_int;
    virNodeDeviceGetName(*mut VirNodeDevice) -> *const c_char;
    virNodeDeviceGetXMLDesc(*mut VirNodeDevice, c_uint) -> *mut c_char;
    virNodeDeviceFree(*mut VirNodeDevice) -> c_int;
}
