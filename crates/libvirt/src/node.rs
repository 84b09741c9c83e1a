// SPDX-License-Identifier: Apache-2.0
//! The host a connection leads to: its capabilities, its devices, and the statistics of its VMs.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_uint, c_ulong};
use std::ptr;

use crate::connection::Connection;
use crate::domain::Domain;
use crate::error::{Error, ErrorKind};
use crate::ffi::{VirDomain, VirDomainControlInfo, VirDomainStatsRecord, VirNodeDevice, VirTypedParameter};
use crate::types::Version;

/// State, CPU time, memory, processors, NICs and disks (`VIR_DOMAIN_STATS_*`).
const GROUPS: c_uint = 0b11_1111;
/// `VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE`.
const ACTIVE: c_uint = 1;
/// `VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT`: a VM that is busy gives what needs no answer of QEMU.
const NOWAIT: c_uint = 1 << 29;

/// One number, truth value or text of a VM's statistics.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StatValue {
    /// With a sign.
    Integer(i64),
    /// Without.
    Unsigned(u64),
    /// With a fraction.
    Number(f64),
    /// Yes or no.
    Truth(bool),
    /// Words.
    Text(String),
}

/// What libvirt counts of a VM, by libvirt's names: `cpu.time`, `block.0.rd.bytes`, …
#[derive(Debug)]
pub struct DomainStats {
    /// The VM.
    pub domain: Domain,
    /// The values. A VM that is busy gives fewer.
    pub values: BTreeMap<String, StatValue>,
}

impl DomainStats {
    /// A value that is a whole number of 0 or more.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            StatValue::Unsigned(n) => Some(*n),
            StatValue::Integer(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// A value that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            StatValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Whether QEMU answers libvirt (`virDomainControlState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// It does.
    Ready,
    /// A long job runs, which does not keep it from answering.
    Job,
    /// It was asked something this many milliseconds ago, and has not answered yet.
    Occupied(u64),
    /// libvirt can no longer reach it.
    Broken,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDevice {
    /// libvirt's name of it, such as `pci_0000_00_19_0`.
    pub name: String,
    /// libvirt's XML of it.
    pub xml: String,
}

impl Connection {
    /// What the host and its hypervisor can do: libvirt's capabilities XML.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the connection is lost.
    pub fn capabilities(&self) -> Result<String, Error> {
        let library = self.library();
        // SAFETY: the connection is open; the string is ours to free.
        let xml = unsafe { (library.functions.virConnectGetCapabilities)(self.as_ptr()) };
        library.check_string("read the capabilities of", self.uri(), xml)
    }

    /// The version of the hypervisor, which is QEMU's.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the connection is lost; what libvirt reports where QEMU is missing.
    pub fn hypervisor_version(&self) -> Result<Version, Error> {
        let mut packed: c_ulong = 0;
        // SAFETY: the connection is open and the number writable.
        let code = unsafe { (self.library().functions.virConnectGetVersion)(self.as_ptr(), &raw mut packed) };
        self.library().check("read the hypervisor's version of", self.uri(), code)?;
        Ok(Version::from_packed(packed))
    }

    /// The statistics of all VMs that run. Does not wait for a VM that is busy.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the connection is lost; [`ErrorKind::Unsupported`] by some drivers.
    pub fn stats(&self) -> Result<Vec<DomainStats>, Error> {
        let mut records = ptr::null_mut();
        // SAFETY: the connection is open; libvirt stores a list of its own making in `records`.
        let count = unsafe {
            (self.library().functions.virConnectGetAllDomainStats)(
                self.as_ptr(),
                GROUPS,
                &raw mut records,
                ACTIVE | NOWAIT,
            )
        };
        self.take_records(count, records)
    }

    fn take_records(
        &self,
        count: c_int,
        records: *mut *mut VirDomainStatsRecord,
    ) -> Result<Vec<DomainStats>, Error> {
        const CALL: &str = "read the statistics of";
        let count = self.library().check(CALL, self.uri(), count)?;
        let functions = &self.library().functions;
        let take = |index: usize| {
            // SAFETY: the list has `count` records, each with `count` parameters and a valid domain.
            let record = unsafe { &**records.add(index) };
            // SAFETY: the domain is valid; the list keeps its own reference, this one is for us.
            unsafe { (functions.virDomainRef)(record.domain) };
            let domain = self.domain(CALL, self.uri(), record.domain)?;
            let values = (0..usize::try_from(record.count).unwrap_or(0))
                // SAFETY: there are so many parameters.
                .filter_map(|n| unsafe { value(&*record.parameters.add(n)) })
                .collect();
            Ok(DomainStats { domain, values })
        };
        let taken: Vec<_> = (0..usize::try_from(count).unwrap_or(0)).map(take).collect();
        // SAFETY: the list is ours; all that is needed of it was copied.
        unsafe { (functions.virDomainStatsRecordListFree)(records) };
        taken.into_iter().collect()
    }

    /// The devices of the host, as far as libvirt knows them.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] by drivers without node devices, such as the embedded one.
    pub fn node_devices(&self) -> Result<Vec<NodeDevice>, Error> {
        const CALL: &str = "list the devices of";
        let library = self.library();
        let functions = &library.functions;
        let mut array: *mut *mut VirNodeDevice = ptr::null_mut();
        // SAFETY: the connection is open; libvirt stores an array of its own making in `array`.
        let count = unsafe { (functions.virConnectListAllNodeDevices)(self.as_ptr(), &raw mut array, 0) };
        let count = usize::try_from(library.check(CALL, self.uri(), count)?).unwrap_or(0);
        let mut devices = Vec::new();
        for index in 0..count {
            // SAFETY: the array has `count` devices.
            let device = unsafe { *array.add(index) };
            // SAFETY: the device is valid; the name belongs to it.
            let name = unsafe { (functions.virNodeDeviceGetName)(device) };
            if !name.is_null() {
                // SAFETY: libvirt returns a NUL-terminated string, copied before the device goes.
                let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
                // SAFETY: the device is valid; the string is ours to free.
                let xml = unsafe { (functions.virNodeDeviceGetXMLDesc)(device, 0) };
                // One that was unplugged meanwhile has none.
                if let Ok(xml) = library.check_string("read the XML of device", &name, xml) {
                    devices.push(NodeDevice { name, xml });
                }
            }
            // SAFETY: the reference came with the array, and is given back once.
            unsafe { (functions.virNodeDeviceFree)(device) };
        }
        // SAFETY: the array is ours, from malloc.
        unsafe { libc::free(array.cast()) };
        Ok(devices)
    }
}

impl Domain {
    /// The statistics of this VM. Does not wait where the VM is busy.
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`] if it is gone; [`ErrorKind::Unsupported`] by some drivers.
    pub fn stats(&self) -> Result<DomainStats, Error> {
        let connection = self.connection();
        let mut list: [*mut VirDomain; 2] = [self.as_ptr(), ptr::null_mut()];
        let mut records = ptr::null_mut();
        // SAFETY: the list holds a valid domain and ends with null; libvirt stores a list of its own
        // making in `records`.
        let count = unsafe {
            (connection.library().functions.virDomainListGetStats)(
                list.as_mut_ptr(),
                GROUPS,
                &raw mut records,
                NOWAIT,
            )
        };
        let stats = connection.take_records(count, records)?.pop();
        stats.ok_or_else(|| {
            Error::own("read the statistics of VM", self.name(), ErrorKind::NoDomain, "it is gone")
        })
    }

    /// Whether QEMU answers libvirt, as far as is known without asking.
    ///
    /// # Errors
    /// [`ErrorKind::OperationInvalid`] if the VM does not run.
    pub fn control(&self) -> Result<Control, Error> {
        let mut info = VirDomainControlInfo::default();
        let get = self.connection().library().functions.virDomainGetControlInfo;
        // SAFETY: the domain is valid and the structure writable.
        self.check("see whether QEMU answers for VM", |domain| unsafe { get(domain, &raw mut info, 0) })?;
        Ok(match info.state {
            0 => Control::Ready,
            1 => Control::Job,
            2 => Control::Occupied(info.since),
            _ => Control::Broken,
        })
    }
}

/// The name and value of a parameter; `None`: of a type this build does not know.
///
/// # Safety
/// `parameter` must come from libvirt.
unsafe fn value(parameter: &VirTypedParameter) -> Option<(String, StatValue)> {
    // SAFETY: libvirt ends the name with NUL within the array.
    let name = unsafe { CStr::from_ptr(parameter.field.as_ptr()) }.to_string_lossy().into_owned();
    let value = &parameter.value;
    // SAFETY: the kind says which member was set, and a string is null or NUL-terminated.
    let value = unsafe {
        match parameter.kind {
            1 => StatValue::Integer(value.int.into()),
            2 => StatValue::Unsigned(value.uint.into()),
            3 => StatValue::Integer(value.long),
            4 => StatValue::Unsigned(value.ulong),
            5 => StatValue::Number(value.double),
            6 => StatValue::Truth(value.boolean != 0),
            7 if !value.string.is_null() => {
                StatValue::Text(CStr::from_ptr(value.string).to_string_lossy().into_owned())
            }
            _ => return None,
        }
    };
    Some((name, value))
}
