// SPDX-License-Identifier: Apache-2.0
//! libvirt's names of node devices, and the host devices of a domain they mean.

use super::before_vm_start::PROPERTY;
use crate::shared::messages::shown;
use virt_hooks_sdk::{Domain, Element, Failure, Host};

/// Where a device is on the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NodeDevice {
    Pci { domain: u64, bus: u64, slot: u64, function: u64 },
    Scsi { host: u64, bus: u64, target: u64, unit: u64 },
    Usb { bus: u64, device: u64 },
}

impl NodeDevice {
    /// Reads a name; the ports of a USB name are looked up in sysfs.
    ///
    /// # Errors
    /// A name of another form, or a device without its numbers in sysfs.
    pub(crate) fn resolve(name: &str, host: &Host) -> Result<Self, Failure> {
        let mut parts = name.split('_');
        let kind = parts.next().unwrap_or_default();
        let parts: Vec<&str> = parts.collect();
        let device = match (kind, parts.as_slice()) {
            ("pci", &[domain, bus, slot, function, ..]) => numbers([domain, bus, slot, function], 16)
                .map(|[domain, bus, slot, function]| Self::Pci { domain, bus, slot, function }),
            ("scsi", &[adapter, bus, target, unit, ..]) => numbers([adapter, bus, target, unit], 10)
                .map(|[host, bus, target, unit]| Self::Scsi { host, bus, target, unit }),
            ("usb", &[hub]) => hub
                .strip_prefix("usb")
                .and_then(|bus| number(bus, 10))
                .map(|bus| Self::Usb { bus, device: 1 }),
            ("usb", &[bus, port, ..]) => match at_port(&parts, host)? {
                Some(device) => Some(device),
                // Nothing is plugged in there: a device number, as VDSM's hook has it.
                None => numbers([bus, port], 10).map(|[bus, device]| Self::Usb { bus, device }),
            },
            _ => None,
        };
        device.ok_or_else(|| {
            Failure::go_on(format_args!(
                "{PROPERTY}: expected the name of a PCI, SCSI or USB device such as pci_0000_3b_00_1, got {}",
                shown(name)
            ))
        })
    }

    /// Whether a host device of a domain is this one.
    pub(crate) fn is(&self, domain: &Domain, hostdev: Element) -> bool {
        let first = |top: Element, name| domain.all_named_below(top, name).first().copied();
        let Some(source) = first(hostdev, "source") else { return false };
        let Some(address) = first(source, "address") else { return false };
        let kind = domain.attribute(hostdev, "type");
        let at = |wanted: &[(&str, u64)]| {
            wanted.iter().all(|&(name, number)| {
                domain.attribute(address, name).is_some_and(|value| written(&value) == Some(number))
            })
        };
        match *self {
            Self::Pci { domain, bus, slot, function } => {
                kind.as_deref() == Some("pci")
                    && at(&[("domain", domain), ("bus", bus), ("slot", slot), ("function", function)])
            }
            Self::Scsi { host, bus, target, unit } => {
                kind.as_deref() == Some("scsi")
                    && first(source, "adapter")
                        .is_some_and(|a| domain.has(a, "name", &format!("scsi_host{host}")))
                    && at(&[("bus", bus), ("target", target), ("unit", unit)])
            }
            Self::Usb { bus, device } => {
                kind.as_deref() == Some("usb") && at(&[("bus", bus), ("device", device)])
            }
        }
    }
}

/// The device at a bus and the ports behind it, none if sysfs has none there.
fn at_port(parts: &[&str], host: &Host) -> Result<Option<NodeDevice>, Failure> {
    // Digits only: the name becomes part of a path.
    let &[bus, ref ports @ ..] = parts else { return Ok(None) };
    if !parts.iter().all(|part| part.len() <= 5 && number(part, 10).is_some()) {
        return Ok(None);
    }
    let directory = format!("/sys/bus/usb/devices/{bus}-{}", ports.join("."));
    if !host.path(&directory).is_dir() {
        return Ok(None);
    }
    let read = |file: &str| {
        let text = host.read(format!("{directory}/{file}")).ok().flatten();
        text.and_then(|text| number(&text, 10)).ok_or_else(|| {
            Failure::go_on(format_args!(
                "{PROPERTY}: {directory}/{file} cannot be read, expected a number there"
            ))
        })
    };
    Ok(Some(NodeDevice::Usb { bus: read("busnum")?, device: read("devnum")? }))
}

fn numbers<const N: usize>(parts: [&str; N], radix: u32) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for (number_of, part) in numbers.iter_mut().zip(parts) {
        *number_of = number(part, radix)?;
    }
    Some(numbers)
}

/// Digits and nothing else; a sign is none.
fn number(text: &str, radix: u32) -> Option<u64> {
    if text.chars().all(|c| c.is_digit(radix)) { u64::from_str_radix(text, radix).ok() } else { None }
}

/// A number as libvirt and engines write it into an address.
fn written(value: &str) -> Option<u64> {
    match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => number(digits, 16),
        None => number(value, 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Context;

    fn resolve(name: &str) -> Option<NodeDevice> {
        NodeDevice::resolve(name, Context::for_test().host()).ok()
    }

    #[test]
    fn names() {
        use NodeDevice::{Pci, Scsi, Usb};
        for (name, device) in [
            ("pci_0000_3b_00_1", Some(Pci { domain: 0, bus: 0x3b, slot: 0, function: 1 })),
            ("pci_0001_3B_1f_7_more", Some(Pci { domain: 1, bus: 0x3b, slot: 0x1f, function: 7 })),
            ("scsi_5_0_2_1", Some(Scsi { host: 5, bus: 0, target: 2, unit: 1 })),
            ("usb_usb3", Some(Usb { bus: 3, device: 1 })),
            ("usb_4_9", Some(Usb { bus: 4, device: 9 })),
            ("usb_4_9_x", Some(Usb { bus: 4, device: 9 })),
            ("pci", None),
            ("pci_0000_3b_00", None),
            ("pci_0000_3g_00_0", None),
            ("pci_+000_3b_00_0", None),
            ("pci_0000__00_0", None),
            ("scsi_a_0_0_0", None),
            ("usb_usb", None),
            ("usb_3", None),
            ("usb_1_99999999999999999999", None),
            ("net_eth0", None),
            ("_", None),
        ] {
            assert_eq!(resolve(name), device, "{name}");
        }
    }

    #[test]
    fn usb_ports_are_looked_up() {
        let root = tempfile::tempdir().unwrap();
        for (name, files) in [
            ("1-1", &[("busnum", "1\n"), ("devnum", "2\n")][..]),
            ("1-1.4", &[("busnum", "1\n"), ("devnum", "10\n")]),
            ("2-1", &[]),
        ] {
            let dir = root.path().join("sys/bus/usb/devices").join(name);
            std::fs::create_dir_all(&dir).unwrap();
            for (file, text) in files {
                std::fs::write(dir.join(file), text).unwrap();
            }
        }
        let hook = Context::for_test().with_host(root.path());
        let resolve = |name| NodeDevice::resolve(name, hook.host());
        assert_eq!(resolve("usb_1_1"), Ok(NodeDevice::Usb { bus: 1, device: 2 }));
        assert_eq!(resolve("usb_1_1_4"), Ok(NodeDevice::Usb { bus: 1, device: 10 }));
        assert_eq!(resolve("usb_1_7"), Ok(NodeDevice::Usb { bus: 1, device: 7 }));
        assert!(resolve("usb_2_1").unwrap_err().message().contains("2-1/busnum"));
    }

    #[test]
    fn host_devices() {
        let scsi = "<hostdev type='scsi'><source><adapter name='scsi_host5'/><address bus='0' target='2' unit='0x1'/></source></hostdev>";
        for (name, hostdev, is) in [
            ("scsi_5_0_2_1", scsi, true),
            ("scsi_6_0_2_1", scsi, false),
            ("scsi_5_1_2_1", scsi, false),
            (
                "usb_4_9",
                "<hostdev type='usb'><source><address type='usb' bus='4' device='9' port='1'/></source></hostdev>",
                true,
            ),
            ("usb_4_9", "<hostdev type='usb'><source><vendor id='0x1'/></source></hostdev>", false),
            ("usb_4_9", "<hostdev type='usb'><source><address bus='4'/></source></hostdev>", false),
            ("usb_4_9", "<hostdev type='usb'><source/><address bus='4' device='9'/></hostdev>", false),
            (
                "usb_4_9",
                "<hostdev type='pci'><source><address bus='4' device='9'/></source></hostdev>",
                false,
            ),
            ("usb_4_9", "<hostdev/>", false),
        ] {
            let hook = Context::for_test().with_xml(hostdev);
            let domain = hook.domain().unwrap();
            assert_eq!(resolve(name).unwrap().is(&domain, domain.root()), is, "{name} {hostdev}");
        }
    }
}
