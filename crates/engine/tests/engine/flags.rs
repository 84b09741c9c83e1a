// SPDX-License-Identifier: Apache-2.0
//! VDSM contract, launch flags (section 5.9).

use crate::bench_bed::{Bed, UUID};
use std::fs;
use virt_hooks_engine::{FlagsError, LaunchFlags};

const KNOWN: u32 = 0x3f;

fn read(content: &str) -> Result<u32, FlagsError> {
    let bed = Bed::new();
    let flags = LaunchFlags::write(&bed.path("vdsm"), UUID, 1, None).unwrap();
    fs::write(flags.path(), content).unwrap();
    flags.read(KNOWN)
}

#[test]
fn written_where_vdsm_writes_them() {
    let bed = Bed::new();
    let flags = LaunchFlags::write(&bed.path("vdsm"), UUID, 1, None).unwrap();
    assert_eq!(flags.path(), bed.path("vdsm").join(UUID).join("launchflags"));
    assert_eq!(fs::read_to_string(flags.path()).unwrap(), "1");
    assert_eq!(flags.read(KNOWN).unwrap(), 1);
    drop(flags);
    assert!(!bed.path("vdsm").join(UUID).exists(), "the directory goes too");
}

#[test]
fn read_as_python_reads_a_number() {
    assert_eq!(read("5\nrest").unwrap(), 5);
    assert_eq!(read("  1 \n").unwrap(), 1);
    assert_eq!(read("+1").unwrap(), 1);
    assert_eq!(read("0").unwrap(), 0, "a hook may clear bits");
    for bad in ["", "0x1", "one", "-1", "_1", "1__0", "99999999999999", "\u{ff11}"] {
        assert!(matches!(read(bad), Err(FlagsError::NotANumber { .. })), "{bad:?}");
    }
    assert!(matches!(read("64"), Err(FlagsError::UnknownBits { unknown: 64, .. })));
    assert!(read("999").unwrap_err().to_string().contains("unknown"));
}

#[test]
fn a_removed_file_keeps_the_drivers_own_flags() {
    let bed = Bed::new();
    let flags = LaunchFlags::write(&bed.path("vdsm"), UUID, 1, None).unwrap();
    fs::remove_file(flags.path()).unwrap();
    assert_eq!(flags.read(KNOWN).unwrap(), 1, "a VM that must start paused does");
    drop(flags);
    assert!(!bed.path("vdsm").join(UUID).exists());
}

#[test]
fn a_stale_or_planted_file_is_replaced() {
    let bed = Bed::new();
    let dir = bed.path("vdsm").join(UUID);
    fs::create_dir_all(&dir).unwrap();
    std::os::unix::fs::symlink(bed.path("victim"), dir.join("launchflags")).unwrap();
    let flags = LaunchFlags::write(&bed.path("vdsm"), UUID, 0, None).unwrap();
    assert_eq!(fs::read_to_string(flags.path()).unwrap(), "0");
    drop(flags);
    assert!(!bed.path("victim").exists());
    assert!(dir.exists(), "a directory that was there stays");
    for id in ["", "../x", "a/b", ".", ".."] {
        assert!(matches!(LaunchFlags::write(&bed.path("vdsm"), id, 0, None), Err(FlagsError::Id(_))), "{id}");
    }
}
