// SPDX-License-Identifier: Apache-2.0
//! What the process is started with: signals, umask, user.

use crate::case::Case;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The command of the case after some shell words.
fn after(words: &str, case: &Case) -> Command {
    let plain = case.command();
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!("{words}; exec \"$0\" \"$@\""))
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(plain.get_current_dir().unwrap())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn hooks_have_an_end_where_whoever_started_it_ignores_children() {
    let case = Case::new()
        .hook("before_vm_start/10_fine", "exit 0")
        .hook("before_vm_start/20_veto", "exit 7")
        .says("fire before_vm_start --payload dom.xml --report report.json");
    let command = after("trap '' CHLD", &case);
    let done = case.run_as(command).ended(1);
    let codes =
        ["0", "1"].map(|n| done.json("report.json").pointer(&format!("/runs/{n}/exit_code")).cloned());
    assert_eq!(codes.map(|c| c.and_then(|c| c.as_i64())), [Some(0), Some(7)], "{}", done.stderr);
}

#[test]
fn a_narrow_umask_does_not_keep_hooks_of_another_user_out() {
    let case = Case::new().hook("before_vm_start/10_x", "").says("fire before_vm_start --payload dom.xml");
    let command = after("umask 077", &case);
    let done = case.run_as(command).ended(0);
    assert_eq!(fs::metadata(done.path("run")).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn hook_user_is_for_root_others_hooks_run_as_themselves() {
    let case = Case::new()
        .file("config.toml", "hook_user = \"root\"\n")
        .hook("before_vm_start/10_id", "id -u >&2")
        .says("fire before_vm_start --payload dom.xml")
        .program("virt-hooks");
    let mut uid = fs::metadata(case.path("hooks")).unwrap().uid();
    // The executable may lie where nobody else gets to.
    fs::copy(env!("CARGO_BIN_EXE_virt-hooks"), case.path("virt-hooks")).unwrap();
    let mut command = case.command();
    if uid == 0 {
        uid = 65534;
        fs::set_permissions(case.path("."), Permissions::from_mode(0o777)).unwrap();
        command.uid(uid).gid(uid);
    }
    let done = case.run_as(command).ended(0);
    assert!(done.stderr.contains(&format!("| {uid}\n")), "{}", done.stderr);
}
