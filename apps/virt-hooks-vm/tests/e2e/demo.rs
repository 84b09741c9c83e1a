// SPDX-License-Identifier: Apache-2.0
//! What `make demo` shows, as a test.

use crate::{Result, bed, tests};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

tests! {
    Demo it_shows_what_it_says_and_leaves_nothing,
}

/// What it needs; the host's program first.
pub(crate) fn parts() -> [PathBuf; 3] {
    let command = bed::command();
    let dir = command.parent().unwrap_or(Path::new("")).to_owned();
    [dir.join("virt-hooks-testhost"), dir.join("examples/firmware_note"), command]
}

fn run() -> std::io::Result<Output> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let [host, ..] = parts();
    Command::new(&host)
        .arg(repository.join("examples/demo/run.sh"))
        .args([host.parent().unwrap_or(Path::new("")), &repository])
        .env("TESTHOST_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .output()
}

fn it_shows_what_it_says_and_leaves_nothing() -> Result {
    let done = run()?;
    let said = String::from_utf8(done.stdout)?;
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    for expected in [
        // The chain as it runs, and what each of three hooks of three languages changed.
        "fine          10_title, changed the payload",
        "fine          50_smbios_serial, changed the payload",
        "fine          60_firmware_note, changed the payload",
        "+  <title>Mail &amp; web</title>",
        // The running domain, and QEMU's own command line.
        "<entry name='serial'>VH-0042</entry>",
        "type=1,serial=VH-0042",
        "name=opt/virt-hooks/note,string=hello from a hook",
        // A veto, and the end.
        "vetoed at before_vm_start: Hook Error: 90_refuse: exit code 2: not on a Friday\nexit code 1",
        "after_vm_start: VM ",
        "after_vm_destroy: VM ",
        "no VMs",
    ] {
        assert!(said.contains(expected), "\"{expected}\" is not in\n{said}");
    }
    // The script names its host's directory.
    let root =
        said.split_whitespace().find_map(|w| w.strip_suffix("/demo.xml")).ok_or("no host in the output")?;
    assert!(!Path::new(root).exists(), "{root} is left");
    Ok(())
}
