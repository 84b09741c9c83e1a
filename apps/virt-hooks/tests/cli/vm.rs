// SPDX-License-Identifier: Apache-2.0
//! `vm`: the same arguments for another executable.

use crate::case::Case;
use std::fs;
use std::path::Path;

/// A case that runs a copy of the command, so that nothing of this build lies beside it.
fn installed() -> Case {
    let case = Case::new().file("usr/bin/.keep", "").program("usr/bin/virt-hooks");
    fs::copy(env!("CARGO_BIN_EXE_virt-hooks"), case.path("usr/bin/virt-hooks")).unwrap();
    case
}

const ECHO: &str = r#"printf '%s\n' "$@"; exit 7"#;

#[test]
fn arguments_and_exit_code_go_through() {
    for place in ["usr/bin/virt-hooks-vm", "usr/libexec/virt-hooks/virt-hooks-vm"] {
        let line = "--hooks-dir hooks vm start web1 --connect test:///default -p a=b --run-dir r";
        let done = installed().executable(place, ECHO).says(line).run().ended(7);
        assert_eq!(done.stdout.lines().collect::<Vec<_>>().join(" "), line);
    }
}

#[test]
fn a_mistake_is_found_without_it() {
    let done = installed().says("vm start").run();
    assert_eq!(done.refused(2), "the following required arguments were not provided: <NAME>");
    let done = installed().says("vm start web1 --xml x.xml").run();
    assert!(done.refused(2).contains("cannot be used with"));
}

#[test]
fn where_it_is_missing_it_is_named() {
    if Path::new("/usr/libexec/virt-hooks/virt-hooks-vm").exists() {
        // Installed on this host, and so found.
        return;
    }
    let line = installed().variable("PATH", "/nowhere").says("vm list").run().refused(2);
    assert_eq!(
        line,
        "vm: virt-hooks-vm is missing, the part that needs libvirt: it is not in usr/bin, \
         /usr/libexec/virt-hooks or PATH; install the package virt-hooks-vm, or put the file there"
    );
}

#[test]
fn it_is_found_in_path() {
    if Path::new("/usr/libexec/virt-hooks/virt-hooks-vm").exists() {
        return;
    }
    let case = installed().executable("elsewhere/virt-hooks-vm", ECHO);
    let path = format!("{}:/usr/bin:/bin", case.path("elsewhere").display());
    let done = case.variable("PATH", path).says("vm list").run().ended(7);
    assert_eq!(done.stdout, "vm\nlist\n");
}

#[test]
fn changes_of_a_running_vm_are_checked_without_it() {
    let says = |line: &str| installed().says(line).run().refused(2).to_owned();
    assert!(says("vm nic-plug web1").contains("--xml <FILE|->"));
    assert!(says("vm nic-update web1 net0").contains("not provided"));
    assert!(says("vm nic-update web1 net0 --link up --xml x.xml").contains("cannot be used with"));
    assert!(says("vm memory-plug web1 --size 1000000").contains("give whole MiB, such as 512MiB"));
    assert!(says("vm set-cpus web1 0").contains("0 is not in 1.."));
    // Nobody gets into the habit of giving a password where every process can read it.
    assert!(says("vm set-ticket web1 s3cret").contains("unexpected argument"));
}
