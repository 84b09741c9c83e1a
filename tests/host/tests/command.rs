// SPDX-License-Identifier: Apache-2.0
//! The command: environment, exit code, and nothing left.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Trial};
use virt_hooks_testhost::requirements;

fn main() {
    let missing = requirements().err();
    if let Some(missing) = &missing {
        eprintln!("tests with a host are ignored: {missing}");
    }
    let reason = missing.as_ref().and_then(|missing| missing.things.first());
    let reason = reason.map(|thing| format!("::needs_{}", thing.what.replace(' ', "_"))).unwrap_or_default();
    let trials = vec![
        Trial::test(format!("a_command_runs_on_a_host_that_is_gone_afterwards{reason}"), || {
            a_command_runs_on_a_host_that_is_gone_afterwards();
            Ok(())
        })
        .with_ignored_flag(missing.is_some()),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_virt-hooks-testhost")).args(arguments).output().unwrap()
}

fn a_command_runs_on_a_host_that_is_gone_afterwards() {
    let script = "grep -q '<name>demo</name>' \"$TESTHOST_XML\" || exit 1
        test \"$LIBVIRT_DEFAULT_URI\" = \"qemu:///embed?root=$TESTHOST_ROOT\" || exit 2
        echo \"$TESTHOST_ROOT\"; exit 7";
    let output = run(&["sh", "-c", script]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let root = String::from_utf8(output.stdout).unwrap();
    assert!(root.starts_with('/') && !Path::new(root.trim()).exists(), "{root}");

    let output = run(&["/nonexistent/command"]);
    assert_eq!(output.status.code(), Some(125));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("virt-hooks-testhost: run /nonexistent/command: No such file"), "{message}");
    assert_eq!(run(&[]).status.code(), Some(125));
}
