// SPDX-License-Identifier: Apache-2.0
//! States, flags and versions as libvirt numbers them.

use std::fmt;
use std::ops::BitOr;

/// Makes an enum out of a numbered C enum: unknown numbers are kept in `Other`, so that a newer
/// libvirt cannot break an older build.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($number:literal $variant:ident $text:literal $doc:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $doc] $variant,)*
            /// A number this build has no name for.
            Other(i32),
        }

        impl $name {
            /// From libvirt's number.
            pub fn from_raw(raw: i32) -> Self {
                match raw {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// libvirt's number.
            pub fn raw(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(raw) => raw,
                }
            }

            /// A lower-case name for people and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(_) => "other",
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    Self::Other(raw) => write!(f, "other ({raw})"),
                    known => f.write_str(known.name()),
                }
            }
        }
    };
}
pub(crate) use numbered;

numbered! {
    /// What a VM is doing. Names are those of `virsh list`.
    State {
        0 NoState "no state" "The hypervisor does not say.",
        1 Running "running" "The VM runs.",
        2 Blocked "idle" "The VM waits for a resource.",
        3 Paused "paused" "The VM exists and its processors stand still.",
        4 ShuttingDown "in shutdown" "The guest is shutting down.",
        5 ShutOff "shut off" "The VM does not run.",
        6 Crashed "crashed" "The VM crashed and is kept for inspection.",
        7 PmSuspended "pmsuspended" "The guest put itself to sleep.",
    }
}

/// A VM's state and why it is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateInfo {
    /// What the VM is doing.
    pub state: State,
    /// libvirt's reason number; its meaning depends on the state (`virDomain*Reason`).
    pub reason: i32,
}

impl StateInfo {
    /// Whether it stands still because it is on its way to this host or from it
    /// (`VIR_DOMAIN_PAUSED_MIGRATION`).
    pub fn is_migrating(self) -> bool {
        self.state == State::Paused && self.reason == 2
    }

    /// Whether it stands still because libvirt is not done with its start (`VIR_DOMAIN_PAUSED_STARTING_UP`): it may yet
    /// come to nothing.
    pub fn is_starting_up(self) -> bool {
        self.state == State::Paused && self.reason == 11
    }
}

/// How to start a VM (`virDomainCreateFlags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CreateFlags(u32);

impl CreateFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Start with processors standing still.
    pub const START_PAUSED: Self = Self(1);
    /// Kill the VM when the connection closes.
    pub const AUTODESTROY: Self = Self(2);
    /// Keep a restored image out of the page cache.
    pub const BYPASS_CACHE: Self = Self(4);
    /// Discard a managed save image and boot.
    pub const FORCE_BOOT: Self = Self(8);
    /// Check the XML against libvirt's schema first.
    pub const VALIDATE: Self = Self(16);
    /// Make the NVRAM anew from its template.
    pub const RESET_NVRAM: Self = Self(32);

    /// Every bit that has a name here.
    pub const KNOWN: u32 = 63;

    /// From libvirt's bits; `None` if a bit has no name here.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::KNOWN == 0 { Some(Self(bits)) } else { None }
    }

    /// libvirt's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for CreateFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a VM's XML should show. The default is the live XML without secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct XmlFlags {
    /// With passwords.
    pub secure: bool,
    /// The XML of the next start, where the VM has one.
    pub inactive: bool,
    /// Without what libvirt adds for itself, fit to be sent to another host.
    pub migratable: bool,
}

impl XmlFlags {
    pub(crate) fn bits(self) -> u32 {
        u32::from(self.secure) | u32::from(self.inactive) << 1 | u32::from(self.migratable) << 3
    }
}

/// Which copy of a VM's configuration a call reads or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Affect {
    /// The live one if the VM runs, else the persistent one.
    #[default]
    Current,
    /// The running VM.
    Live,
    /// The next start.
    Config,
}

impl Affect {
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Current => 0,
            Self::Live => 1,
            Self::Config => 2,
        }
    }
}

/// A libvirt version, `9.0.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub release: u32,
}

impl Version {
    /// libvirt packs a version as `major * 1_000_000 + minor * 1_000 + release`.
    pub(crate) fn from_packed(packed: std::ffi::c_ulong) -> Self {
        let part = |divisor, modulus| u32::try_from(packed / divisor % modulus).unwrap_or(u32::MAX);
        Self { major: part(1_000_000, 1_000_000), minor: part(1_000, 1_000), release: part(1, 1_000) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_flags_refuse_unknown_bits() {
        assert_eq!(CreateFlags::from_bits(64), None);
        let all = CreateFlags::from_bits(CreateFlags::KNOWN).unwrap();
        assert!(all.contains(CreateFlags::RESET_NVRAM | CreateFlags::START_PAUSED));
        assert!(!CreateFlags::START_PAUSED.contains(CreateFlags::AUTODESTROY));
    }

    #[test]
    fn xml_flags_are_libvirts_bits() {
        assert_eq!(XmlFlags::default().bits(), 0);
        assert_eq!(XmlFlags { secure: true, inactive: true, migratable: true }.bits(), 0b1011);
    }

    #[test]
    fn states_keep_numbers_they_do_not_know() {
        for raw in 0..9 {
            assert_eq!(State::from_raw(raw).raw(), raw);
        }
        assert_eq!(State::from_raw(8).to_string(), "other (8)");
    }

    #[test]
    fn versions_unpack_and_order() {
        let version = Version::from_packed(10_002_003);
        assert_eq!(version.to_string(), "10.2.3");
        assert!(version > Version::from_packed(9_010_000));
    }
}
