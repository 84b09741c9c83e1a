// SPDX-License-Identifier: Apache-2.0
//! `history`, and what `fire` leaves for it.

use crate::case::Case;

#[test]
fn events_are_recorded_and_shown() {
    let case = Case::new()
        .hook("before_vm_start/10_fine", "exit 0")
        .hook("after_vm_start/10_bad", "echo no >&2; exit 1");
    // One run of the command is one case: fire twice through a shell, then ask.
    let program = env!("CARGO_BIN_EXE_virt-hooks");
    let fire = |point: &str| format!("{program} fire {point} --payload \"$DOM\" >/dev/null 2>&1 || :");
    let body = format!(
        "cd \"${{0%/*}}\"; DOM=$PWD/dom.xml; {}; {}; {program} history; {program} history --failed --format json; \
         {program} history --vm nobody; ls -l state",
        fire("before_vm_start"),
        fire("after_vm_start")
    );
    let done = case.executable("script", &body).program("script").run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(lines[0].starts_with("time") && lines[0].contains("verdict"), "{}", done.stdout);
    assert!(lines[1].contains("proceed  before_vm_start  web1  1 hook"), "{}", done.stdout);
    assert!(
        lines[2].contains("after_vm_start") && lines[2].ends_with("10_bad: exit code 1: no"),
        "{}",
        done.stdout
    );
    assert_eq!(done.stdout.matches("\"point\": \"after_vm_start\"").count(), 1, "{}", done.stdout);
    assert!(done.stderr.contains("no such event in"), "{}", done.stderr);
    assert!(done.stdout.contains("-rw------- "), "{}", done.stdout);
}

#[test]
fn an_event_that_cannot_be_recorded_has_happened_all_the_same() {
    let done = Case::new()
        .file("state", "a file in its place")
        .hook("before_vm_start/10_fine", "exit 0")
        .says("fire before_vm_start --payload dom.xml")
        .run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("warning: write the journal"), "{}", done.stderr);
}
