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

#[test]
fn what_a_hook_put_in_place_of_the_file_is_not_read_through() {
    let bed = Bed::new();
    let secret = bed.path("secret");
    fs::write(&secret, "r00tsecret\n").unwrap();
    let with = |plant: &dyn Fn(&std::path::Path)| {
        let flags = LaunchFlags::write(&bed.path("vdsm"), UUID, 1, None).unwrap();
        fs::remove_file(flags.path()).unwrap();
        plant(flags.path());
        let error = flags.read(KNOWN).unwrap_err();
        assert!(matches!(error, FlagsError::File { .. }), "{error}");
        assert!(!error.to_string().contains("r00tsecret"), "{error}");
        drop(flags);
        assert!(!bed.path("vdsm").join(UUID).exists(), "it goes with the value");
    };
    with(&|path| std::os::unix::fs::symlink(&secret, path).unwrap());
    // Nobody writes to it: whoever opens it as a file waits for ever.
    with(&|path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()));
    with(&|path| fs::create_dir(path).unwrap());
    with(&|path| fs::write(path, [b'1'; 1 << 20]).unwrap());
    assert!(secret.exists());
}

#[test]
fn a_directory_of_somebody_else_is_not_given_away() {
    use std::os::unix::fs::MetadataExt;
    let bed = Bed::new();
    if !crate::bench_bed::is_root(bed.dir.path()) {
        eprintln!("only root can give a directory away");
        return;
    }
    // Under VDSM the directory above belongs to the user that hooks run as, who knows the VM's id beforehand.
    let victim = bed.path("victim");
    fs::create_dir(&victim).unwrap();
    fs::create_dir(bed.path("vdsm")).unwrap();
    std::os::unix::fs::symlink(&victim, bed.path("vdsm").join(UUID)).unwrap();
    let user = virt_hooks_spawn::Credentials { uid: 54321, gid: 54321, groups: vec![] };
    let flags = LaunchFlags::write(&bed.path("vdsm"), UUID, 0, Some(&user));
    assert_eq!(fs::metadata(&victim).unwrap().uid(), 0, "root's directory was given to the hooks' user");
    assert!(matches!(flags, Err(FlagsError::File { .. })), "{flags:?}");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}
