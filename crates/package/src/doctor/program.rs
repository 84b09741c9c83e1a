// SPDX-License-Identifier: Apache-2.0
//! Binaries: is this one for this machine, and is its loader there?

use super::file::File;
use super::finding::{Finding, Kind, Severity};
use super::machine::Machine;
use super::quote;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// ELF's number of a processor, its name, and what the kernel calls an emulator of it.
const MACHINES: &[(u16, &str, &str)] = &[
    (3, "x86 (32 bit)", "qemu-i386"),
    (20, "PowerPC", "qemu-ppc"),
    (21, "PowerPC 64", "qemu-ppc64le"),
    (22, "S/390", "qemu-s390x"),
    (40, "ARM (32 bit)", "qemu-arm"),
    (62, "x86-64", "qemu-x86_64"),
    (183, "ARM 64", "qemu-aarch64"),
    (243, "RISC-V", "qemu-riscv64"),
];

/// What runs here without an emulator: the machine's own, and its 32-bit forerunner.
fn native() -> &'static [u16] {
    match std::env::consts::ARCH {
        "x86_64" => &[62, 3],
        "x86" => &[3],
        "aarch64" => &[183, 40],
        "arm" => &[40],
        "powerpc64" => &[21, 20],
        "s390x" => &[22],
        "riscv64" => &[243],
        _ => &[],
    }
}

pub(super) fn judge(file: &File, machine: &Machine) -> Option<Finding> {
    let elf = Elf { bytes: &file.content.head };
    let wrong = |what: String| {
        Some(
            Finding::new(Severity::Broken, Kind::WrongMachine, &file.path)
                .what(what)
                .why("the kernel cannot execute it, and the hook fails at every event")
                .mend(format!(
                    "file {} # then build or fetch it for {}",
                    quote::path(&file.path),
                    std::env::consts::ARCH
                )),
        )
    };
    let Some(number) = elf.u16(18) else {
        return wrong("is a binary that is cut off after a few bytes".into());
    };
    let known = MACHINES.iter().find(|m| m.0 == number);
    if !native().is_empty() && !native().contains(&number) {
        if known.is_some_and(|m| machine.binfmt.join(m.2).exists()) {
            return None;
        }
        let name = known.map_or_else(|| format!("processor {number}"), |m| m.1.to_owned());
        return wrong(format!("is a binary for {name}; this machine is {}", std::env::consts::ARCH));
    }
    let loader = elf.loader()?;
    let path = Path::new(OsStr::from_bytes(loader));
    if path.exists() {
        return None;
    }
    Some(
        Finding::new(Severity::Broken, Kind::LoaderMissing, &file.path)
            .what(format!("needs the loader {}, which is not installed", path.display()))
            .why("a dynamic binary is started by its loader; without it the kernel says \"No such file or directory\" of the hook itself")
            .mend(format!("ldd {} # then install the C library it was built for, or build it static", quote::path(&file.path))),
    )
}

struct Elf<'a> {
    bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    fn get<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()?;
        if self.bytes.get(5) == Some(&2) {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.get(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.get(at).map(u32::from_le_bytes)
    }

    /// A word of the size of an address.
    fn word(&self, at: usize) -> Option<usize> {
        if self.is_64() {
            usize::try_from(u64::from_le_bytes(self.get(at)?)).ok()
        } else {
            usize::try_from(self.u32(at)?).ok()
        }
    }

    fn is_64(&self) -> bool {
        self.bytes.get(4) == Some(&2)
    }

    /// The path in the program header PT_INTERP.
    fn loader(&self) -> Option<&'a [u8]> {
        const PT_INTERP: u32 = 3;
        let (table, entry, count, offset, size) =
            if self.is_64() { (32, 54, 56, 8, 32) } else { (28, 42, 44, 4, 16) };
        let start = self.word(table)?;
        let step = usize::from(self.u16(entry)?);
        for n in 0..usize::from(self.u16(count)?) {
            let at = start.checked_add(n.checked_mul(step)?)?;
            if self.u32(at)? == PT_INTERP {
                let from = self.word(at + offset)?;
                let path = self.bytes.get(from..from.checked_add(self.word(at + size)?)?)?;
                return path.split(|&b| b == 0).next();
            }
        }
        None
    }
}
