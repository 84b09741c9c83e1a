// SPDX-License-Identifier: Apache-2.0
//! The tiny guests and the XML that boots one.

use std::path::Path;

/// Which guest boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guest {
    /// Grants what it is asked over ACPI: unplug of devices, power off.
    #[default]
    Obliging,
    /// Comes up, and answers nothing.
    Deaf,
    /// Answers nothing, and reads the second sector of its first disk several times a second.
    Reading,
}

impl Guest {
    /// The guest's code, as a file for `qemu -kernel`. Assembled from the sources beside it.
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Obliging => include_bytes!("../guest/ack.bin"),
            Self::Deaf => include_bytes!("../guest/nop.bin"),
            Self::Reading => include_bytes!("../guest/read.bin"),
        }
    }

    /// The name of the file in the host's directory.
    pub(crate) const fn file_name(self) -> &'static str {
        match self {
            Self::Obliging => "ack.bin",
            Self::Deaf => "nop.bin",
            Self::Reading => "read.bin",
        }
    }

    pub(crate) const ALL: [Self; 3] = [Self::Obliging, Self::Deaf, Self::Reading];
}

/// What all guests write to the serial port once they are up; a word before it tells which it is.
pub(crate) const MARKER: &str = "GUEST UP";

/// How a test VM differs from the plain one.
#[derive(Debug, Clone)]
pub struct GuestOptions {
    /// Which guest boots.
    pub guest: Guest,
    /// QEMU's machine type: `pc` or `q35`.
    pub machine: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// A UUID, or `None` for one that libvirt makes up.
    pub uuid: Option<String>,
    /// XML that goes inside `<metadata>`; none if empty.
    pub metadata: String,
    /// XML that goes at the end of `<devices>`.
    pub devices: String,
    /// XML that goes at the end of `<domain>`.
    pub extra: String,
}

impl Default for GuestOptions {
    fn default() -> Self {
        Self {
            guest: Guest::default(),
            machine: "pc".to_owned(),
            memory_mib: 16,
            uuid: None,
            metadata: String::new(),
            devices: String::new(),
            extra: String::new(),
        }
    }
}

/// The XML of the VM `name`. It runs without KVM; its serial port is written to `serial`.
pub(crate) fn domain_xml(
    name: &str,
    options: &GuestOptions,
    emulator: &Path,
    kernel: &Path,
    serial: &Path,
) -> String {
    let element = |tag: &str, content: &str| match content {
        "" => String::new(),
        content => format!("\n  <{tag}>{content}</{tag}>"),
    };
    let path = |path: &Path| escape(&path.to_string_lossy());
    format!(
        "<domain type='qemu'>\n  <name>{name}</name>{uuid}{metadata}\n  \
           <memory unit='MiB'>{memory}</memory>\n  <vcpu>1</vcpu>\n  \
           <os>\n    <type arch='x86_64' machine='{machine}'>hvm</type>\n    \
             <kernel>{kernel}</kernel>\n  </os>\n  \
           <features><acpi/></features>\n  \
           <devices>\n    <emulator>{emulator}</emulator>\n    \
             <controller type='usb' model='none'/>\n    <memballoon model='none'/>\n    \
             <serial type='file'><source path='{serial}'/></serial>{devices}\n  </devices>{extra}\n\
         </domain>\n",
        name = escape(name),
        uuid = element("uuid", options.uuid.as_deref().map(escape).as_deref().unwrap_or_default()),
        metadata = element("metadata", &options.metadata),
        memory = options.memory_mib,
        machine = escape(&options.machine),
        kernel = path(kernel),
        emulator = path(emulator),
        serial = path(serial),
        devices = options.devices,
        extra = options.extra,
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_three_sectors_with_a_boot_header_and_the_marker() {
        for guest in Guest::ALL {
            let bytes = guest.bytes();
            assert_eq!(bytes.len(), 3 * 512);
            assert_eq!(bytes[0x1fe..0x200], [0x55, 0xaa]);
            assert_eq!(bytes[0x202..0x206], *b"HdrS");
            let marker = MARKER.as_bytes();
            assert!(bytes.windows(marker.len()).any(|window| window == marker));
        }
        assert_ne!(Guest::Obliging.bytes(), Guest::Deaf.bytes());
    }

    #[test]
    fn xml_has_the_options_in_their_places() {
        let options = GuestOptions {
            uuid: Some("u".to_owned()),
            metadata: "<m/>".to_owned(),
            devices: "<d/>".to_owned(),
            extra: "<e/>".to_owned(),
            ..GuestOptions::default()
        };
        let at = Path::new;
        let xml = domain_xml("a'<b>&", &options, at("/q"), at("/k"), at("/s"));
        assert!(
            xml.contains("<name>a&apos;&lt;b>&amp;</name>\n  <uuid>u</uuid>\n  <metadata><m/></metadata>")
        );
        assert!(xml.contains("<d/>\n  </devices><e/>\n</domain>"), "{xml}");
        let plain = domain_xml("a", &GuestOptions::default(), at("/q"), at("/k"), at("/s"));
        assert!(!plain.contains("uuid") && !plain.contains("metadata"), "{plain}");
    }
}
