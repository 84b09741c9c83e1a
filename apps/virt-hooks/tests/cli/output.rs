// SPDX-License-Identifier: Apache-2.0
//! Results in files: whole or not at all.

use crate::case::{Case, DOMAIN};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

#[test]
fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
    let case = Case::new()
        .hook("before_vm_start/10_a", r#"test "$(cat out.xml)" = old && sed -i s/web1/web2/ "$_hook_domxml""#)
        .file("out.xml", "old")
        .says("fire before_vm_start --payload dom.xml --output out.xml");
    fs::set_permissions(case.path("out.xml"), Permissions::from_mode(0o640)).unwrap();
    let done = case.run().ended(0);
    assert_eq!(done.read("out.xml"), DOMAIN.replace("web1", "web2"));
    assert_eq!(fs::metadata(done.path("out.xml")).unwrap().permissions().mode() & 0o7777, 0o640);
    let mut left =
        fs::read_dir(done.path("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.find(|n| n.starts_with('.')), None);
}

#[test]
fn the_payload_may_be_edited_in_its_own_file() {
    let done = Case::new()
        .hook("before_vm_start/10_a", r#"sed -i s/web1/web2/ "$_hook_domxml""#)
        .says("fire before_vm_start --payload dom.xml --output dom.xml")
        .run()
        .ended(0);
    assert_eq!(done.read("dom.xml"), DOMAIN.replace("web1", "web2"));
}

#[test]
fn a_link_stays_a_link() {
    let done = Case::new()
        .file("deep/real.xml", "old")
        .link("out.xml", "deep/real.xml")
        .says("fire before_vm_start --payload dom.xml --output out.xml")
        .run()
        .ended(0);
    assert!(done.path("out.xml").is_symlink());
    assert_eq!(done.read("deep/real.xml"), DOMAIN);
}

#[test]
fn a_device_is_written_to_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    Case::new()
        .says("fire before_vm_start --payload dom.xml --output /dev/null --report /dev/null")
        .run()
        .ended(0);
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn a_full_disk_is_said() {
    let case = Case::new().says("fire before_vm_start --payload dom.xml --output /dev/full");
    let done = case.run().ended(3);
    assert!(
        done.stderr
            .ends_with("virt-hooks: write the payload to /dev/full: No space left on device (os error 28)\n"),
        "{}",
        done.stderr
    );
    let case = Case::new().says("fire before_vm_start --payload dom.xml");
    let mut command = case.command();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.ends_with("virt-hooks: write to standard output: No space left on device (os error 28)\n"),
        "{said}"
    );
}

#[test]
fn where_the_result_cannot_go_is_found_out_before_a_hook_runs() {
    for (place, cause) in [
        (
            "missing/out",
            "write the payload to missing/out: directory missing: No such file or directory (os error 2)",
        ),
        ("hooks", "write the payload to hooks: it is a directory"),
        ("dom.xml/out", "write the payload to dom.xml/out: Not a directory (os error 20)"),
    ] {
        let done = Case::new()
            .hook("before_vm_start/10_a", "touch ran")
            .says(&format!("fire before_vm_start --payload dom.xml --output {place}"))
            .run();
        assert!(!done.path("ran").exists());
        assert_eq!(done.refused(3), cause);
    }
}

#[test]
fn payload_and_report_do_not_mix() {
    for line in ["--report -", "--report - --output -"] {
        let done = Case::new().says(&format!("fire before_vm_start --payload dom.xml {line}")).run();
        assert!(done.refused(2).starts_with("payload and report cannot both go to standard output"));
    }
    let done =
        Case::new().says("fire before_vm_start --payload dom.xml --report - --output out.xml").run().ended(0);
    assert!(done.stdout.starts_with("{\n"));
    assert_eq!(done.read("out.xml"), DOMAIN);
}

#[test]
fn a_reader_that_has_gone_is_not_an_error() {
    for line in ["points", "points --format json", "fire before_vm_start --payload dom.xml", "--help"] {
        let case = Case::new().says(line);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output =
            case.command().stdout(writer).stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains("panick") && !said.contains("pipe"), "{said}");
    }
}
