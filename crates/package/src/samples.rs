// SPDX-License-Identifier: Apache-2.0
//! Sample payloads, of no machine of anybody: one for each kind of document that hook points give to hooks.

use virt_hooks_contract::{PayloadKind, Point, Subject};

/// A sample payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The name it is asked for by.
    pub name: &'static str,
    /// XML or JSON.
    pub kind: PayloadKind,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The document.
    pub text: &'static str,
}

macro_rules! samples {
    ($($name:literal $kind:ident $file:literal $about:literal;)+) => {
        /// All of them.
        pub const SAMPLES: &[Sample] = &[$(Sample {
            name: $name,
            kind: PayloadKind::$kind,
            about: $about,
            text: include_str!(concat!("../samples/", $file)),
        }),+];
    };
}

samples! {
    "domain" Xml "domain.xml" "a VM with one disk and one interface, machine pc";
    "domain-q35" Xml "domain-q35.xml" "a VM with many devices, NUMA, UEFI and metadata, machine q35";
    "interface" Xml "interface.xml" "a network interface on a bridge";
    "disk" Xml "disk.xml" "a disk in a file, on a SCSI bus";
    "hostdev" Xml "hostdev.xml" "a PCI device of the host";
    "memory" Xml "memory.xml" "a memory module of 1 GiB";
    "drive" Json "drive.json" "a disk that is prepared, as after_disk_prepare has it";
    "network-request" Json "network-request.json" "two networks and a bond to be set up";
    "vm-stats" Json "vm-stats.json" "the statistics of one VM";
    "stats" Json "stats.json" "the statistics of a host";
    "caps" Json "caps.json" "the capabilities of a host";
    "hostdev-list" Json "hostdev-list.json" "the devices of a host";
}

impl Sample {
    /// The sample of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SAMPLES.iter().find(|s| s.name == name)
    }

    /// The one that is most like what hooks get at a point; `None` where they get nothing, or where the point has a
    /// payload of its own.
    pub fn for_point(point: &Point) -> Option<&'static Self> {
        let name = &*point.name;
        let wanted = match point.payload {
            PayloadKind::None => return None,
            _ if !point.default_payload.is_empty() => return None,
            PayloadKind::Json if name.contains("network_setup") => "network-request",
            PayloadKind::Json if name.contains("vm_stats") => "vm-stats",
            PayloadKind::Json if name.contains("stats") => "stats",
            PayloadKind::Json if name.contains("caps") && !name.contains("hostdev") => "caps",
            PayloadKind::Json if name.contains("hostdev") => "hostdev-list",
            PayloadKind::Json => "drive",
            PayloadKind::Xml if name.contains("disk") => "disk",
            PayloadKind::Xml if name.contains("memory") => "memory",
            PayloadKind::Xml if point.subject == Subject::Device => "interface",
            PayloadKind::Xml => "domain",
        };
        Self::named(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_contract::Catalogue;

    #[test]
    fn each_is_what_it_says() {
        for sample in SAMPLES {
            virt_hooks_engine::check_payload(sample.kind, sample.text.as_bytes())
                .unwrap_or_else(|e| panic!("{}: {e}", sample.name));
            assert!(sample.text.ends_with('\n'), "{}", sample.name);
        }
    }

    #[test]
    fn every_point_with_a_payload_has_one_of_its_kind() {
        for point in Catalogue::built_in().iter() {
            match Sample::for_point(point) {
                Some(sample) => assert_eq!(sample.kind, point.payload, "{}", point.name),
                None => assert!(
                    point.payload == PayloadKind::None || !point.default_payload.is_empty(),
                    "{}",
                    point.name
                ),
            }
        }
        let of = |name| Sample::for_point(Catalogue::built_in().get(name).unwrap()).map(|s| s.name);
        assert_eq!(of("before_vm_start"), Some("domain"));
        assert_eq!(of("before_disk_hotplug"), Some("disk"));
        assert_eq!(of("before_nic_hotplug"), Some("interface"));
        assert_eq!(of("after_memory_hotplug"), Some("memory"));
        assert_eq!(of("after_disk_prepare"), Some("drive"));
        assert_eq!(of("after_hostdev_list_by_caps"), Some("hostdev-list"));
        assert_eq!(of("before_get_caps"), None);
    }
}
