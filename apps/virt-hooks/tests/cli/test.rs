// SPDX-License-Identifier: Apache-2.0
//! `test`.

use crate::case::{Case, Done, then};
use std::fs;
use std::process::Stdio;

fn package() -> Done {
    Case::new().says("new hook a --point before_vm_start").run().ended(0)
}

#[test]
fn what_passes_and_what_fails() {
    let done = then(package(), &["test", "a", "-v"]).ended(0);
    assert!(
        done.stdout.starts_with("passed   a/before_vm_start\npassed   a/before_vm_start-unset\n2 passed, "),
        "{}",
        done.stdout
    );
    let expected = done.path("a/tests/before_vm_start/expected.xml");
    let text = fs::read_to_string(&expected).unwrap().replace("Mail server", "Web server");
    fs::write(&expected, text).unwrap();
    let done = then(done, &["test", "a", "--junit", "out.xml"]).ended(1);
    for line in [
        "FAILED   a/before_vm_start\n",
        "    the payload is not the one expected\n",
        "      -  <title>Web server</title>\n",
        "      +  <title>Mail server</title>\n",
        "1 passed, 1 failed, ",
    ] {
        assert!(done.stdout.contains(line), "{line} is missing in {}", done.stdout);
    }
    let junit = done.read("out.xml");
    assert!(junit.contains("<testsuite name=\"a\" tests=\"2\" failures=\"1\" skipped=\"0\""), "{junit}");
    let done = then(done, &["test", "a", "--bless"]).ended(0);
    assert!(done.stdout.contains("written  a/before_vm_start\n1 passed, 1 written, "), "{}", done.stdout);
    let done = then(done, &["test", "a"]).ended(0);
    let done = then(done, &["test", "a", "--case", "unset"]).ended(0);
    assert!(done.stdout.starts_with("1 passed, "), "{}", done.stdout);
    let done = then(done, &["test", "a", "--junit", "-"]).ended(0);
    assert!(done.stdout.starts_with("<?xml") && done.stderr.starts_with("2 passed"), "{}", done.stdout);
}

#[test]
fn bad_input() {
    let said = then(package(), &["test", "a", "--case", "none"]).refused(2);
    assert_eq!(said, "no case has \"none\" in its name");
    let said = Case::new().says("test hooks").run().refused(3);
    assert!(said.starts_with("hooks is no hook package: it has no hook.toml"), "{said}");
    let done = package();
    fs::remove_file(done.path("a/tests/before_vm_start/payload.xml")).unwrap();
    let said = then(done, &["test", "a"]).refused(3);
    assert_eq!(
        said,
        "a/tests/before_vm_start: payload.xml is missing: the hook at before_vm_start needs a payload"
    );
    let said = then(package(), &["test", "a", "--junit", "none/out.xml"]).refused(3);
    assert!(said.starts_with("write the results to none/out.xml: "), "{said}");
    assert!(then(package(), &["test", "a", "-j", "0"]).refused(2).contains("--jobs"));
}

#[test]
fn an_interrupt_ends_hooks_and_leaves_nothing() {
    let done = package();
    let pipe = done.path("started");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let script = format!("#!/bin/sh\necho x >{}\nexec sleep 1000\n", pipe.display());
    fs::write(done.path("a/before_vm_start.sh"), script).unwrap();
    let temporary = done.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let case = done.again().says("test a -j 1").variable("TMPDIR", &temporary);
    let mut child = case.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The hook runs when it has written.
    assert_eq!(fs::read_to_string(&pipe).unwrap(), "x\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}
