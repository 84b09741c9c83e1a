// SPDX-License-Identifier: Apache-2.0
//! Bad input: each a line with its cause, the right exit code, nothing half done.

use crate::case::{Case, DOMAIN};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

/// A case with a hook that must not run and an output that must stay as it is; asserts both.
#[track_caller]
fn refused(case: Case, arguments: &str, code: i32) -> String {
    let done = case
        .hook("before_vm_start/10_never", "touch ran")
        .hook("before_get_caps/10_never", "touch ran")
        .file("out", "as before")
        .says(arguments)
        .run();
    assert!(!done.path("ran").exists());
    assert_eq!(done.read("out"), "as before");
    done.refused(code)
}

#[track_caller]
fn fire(payload: &[u8], arguments: &str) -> String {
    let case = Case::new().file("payload", payload);
    refused(case, &format!("fire --payload payload --output out {arguments}"), 3)
}

#[test]
fn unknown_point() {
    for verb in ["fire before_vm_strat --output out", "points before_vm_strat", "list before_vm_strat"] {
        assert_eq!(
            refused(Case::new(), verb, 2),
            "no hook point \"before_vm_strat\": did you mean \"before_vm_start\"? \"virt-hooks points\" lists all"
        );
    }
    assert_eq!(
        refused(Case::new(), "points zzz", 2),
        "no hook point \"zzz\": \"virt-hooks points\" lists all"
    );
}

#[test]
fn a_name_no_directory_can_have() {
    for name in ["../x", "/etc", "a/b", "A"] {
        let line = refused(Case::new(), &format!("fire {name} --kind none"), 2);
        assert!(line.starts_with(&format!("\"{name}\" cannot name a hook point")), "{line}");
    }
}

#[test]
fn payload_missing() {
    assert_eq!(
        refused(Case::new(), "fire before_vm_start --output out", 2),
        "before_vm_start needs a payload: give one with --payload FILE, or - for standard input"
    );
}

#[test]
fn payload_unreadable() {
    let fire =
        |file: &str| refused(Case::new(), &format!("fire before_vm_start --output out --payload {file}"), 3);
    assert_eq!(
        fire("missing.xml"),
        "read the payload from missing.xml: No such file or directory (os error 2)"
    );
    assert_eq!(fire("hooks"), "read the payload from hooks: Is a directory (os error 21)");
}

#[test]
fn payload_empty() {
    assert_eq!(fire(b"", "before_vm_start"), "payload payload: empty, where XML is due");
    assert_eq!(fire(b"", "before_get_caps"), "payload payload: empty, where JSON is due");
    assert_eq!(
        refused(Case::new(), "fire before_vm_start --output out --payload -", 3),
        "payload standard input: empty, where XML is due"
    );
    let line = fire(b" \n", "before_vm_start");
    assert!(line.starts_with("payload payload: not a well-formed XML document: empty"), "{line}");
}

#[test]
fn payload_not_utf8() {
    let line = fire(b"<domain>\xff</domain>", "before_vm_start");
    assert!(line.starts_with("payload payload: not a well-formed XML document: not UTF-8"), "{line}");
    assert!(line.contains("offset 8"), "{line}");
    let line = fire(b"[\"\xff\"]", "before_get_caps");
    assert!(line.starts_with("payload payload: not a JSON document: "), "{line}");
}

#[test]
fn payload_not_xml() {
    let line = fire(b"<domain>\n  <name>x</nam>\n</domain>", "before_vm_start");
    assert!(line.starts_with("payload payload: not a well-formed XML document: line 2, column "), "{line}");
    let line = fire(b"<!DOCTYPE d [<!ENTITY e 'x'>]><d>&e;</d>", "before_vm_start");
    assert!(line.contains("document type declarations are refused"), "{line}");
}

#[test]
fn payload_not_json() {
    let line = fire(b"{\n \"a\": }", "before_get_caps");
    assert_eq!(line, "payload payload: not a JSON document: expected value at line 2 column 7");
}

#[test]
fn payload_too_large() {
    let case = Case::new().file("config.toml", "payload_limit = \"16\"\n");
    assert_eq!(
        refused(case, "fire before_vm_start --output out --payload dom.xml", 3),
        "payload dom.xml: larger than the limit of 16 bytes (payload_limit)"
    );
    let endless = Case::new().file("config.toml", "payload_limit = \"64KiB\"\n");
    let line = refused(endless, "fire before_vm_start --output out --payload /dev/zero", 3);
    assert!(line.contains("larger than the limit"), "{line}");
}

#[test]
fn payload_where_none_is_due() {
    for line in ["fire before_vdsm_start --payload dom.xml", "fire x --kind none --payload dom.xml"] {
        let said = refused(Case::new(), line, 2);
        assert!(said.ends_with("has no payload: leave out --payload"), "{said}");
    }
}

#[test]
fn property_without_equals() {
    assert_eq!(
        refused(Case::new(), "fire before_vm_start --payload dom.xml --output out -p smbios", 2),
        "-p \"smbios\": give it as NAME=VALUE"
    );
    let line = refused(Case::new(), "fire before_vm_start --payload dom.xml --device-property qos", 2);
    assert_eq!(line, "--device-property \"qos\": give it as NAME=VALUE");
}

#[test]
fn property_with_an_invalid_name() {
    let cases: [&[u8]; 4] = [b"a b=hunter2", b"=hunter2", b"caf\xe9=hunter2", b"x\n=hunter2"];
    for property in cases {
        let case = Case::new()
            .says("fire before_vm_start --payload dom.xml --output out -p")
            .arguments([OsString::from_vec(property.to_vec())]);
        let line = refused(case, "", 2);
        assert!(line.contains(": not a name for a custom property"), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn vm_id_that_is_none() {
    let line = refused(Case::new(), "fire before_vm_start --payload dom.xml --output out --vm-id web1", 2);
    assert!(line.contains("'web1'") && line.contains("--vm-id") && line.contains("not a UUID"), "{line}");
}

#[test]
fn configuration_with_a_mistake() {
    let config = |text: &str| {
        refused(
            Case::new().file("config.toml", text),
            "fire before_vm_start --payload dom.xml --output out",
            2,
        )
    };
    assert_eq!(
        config("grace = \"1s\"\nrun_dirr = \"/x\"\n"),
        "config.toml:2:1: unknown key \"run_dirr\": did you mean \"run_dir\"?"
    );
    assert_eq!(
        config("run_dir = 7\n"),
        "config.toml:1:11: key \"run_dir\": invalid type: integer `7`, expected path string"
    );
    assert!(
        config("grace = \"soon\"\n")
            .starts_with("config.toml:1:9: key \"grace\": \"soon\" is not a duration")
    );
    assert!(config("[points\n").starts_with("config.toml:1:8: "));
    assert!(config("hook_user = \"nobody-of-that-name\"\n").starts_with("config.toml: hook_user: no user"));
}

#[test]
fn configuration_missing_where_it_was_named() {
    for verb in ["list", "points", "fire before_vm_start --payload dom.xml --output out"] {
        assert_eq!(
            refused(Case::new(), &format!("--config none.toml {verb}"), 2),
            "read none.toml: No such file or directory (os error 2)"
        );
    }
}

#[test]
fn points_file_with_a_mistake() {
    let case = Case::new().file("points.d/site.toml", "[[point]]\nname = \"before_x\"\nsumary = \"x\"\n");
    assert_eq!(
        refused(case, "points", 2),
        "points.d/site.toml:3:1: unknown key \"sumary\": did you mean \"summary\"?"
    );
}

#[test]
fn hooks_directory_missing() {
    for verb in ["list", "fire before_vm_start --payload dom.xml --output out"] {
        let line = refused(Case::new(), &format!("--hooks-dir nowhere {verb}"), 2);
        assert_eq!(
            line,
            "hooks directory nowhere does not exist: create it, or give another with --hooks-dir"
        );
        let line = refused(Case::new().variable("VIRT_HOOKS_HOOKS_DIR", "/nowhere"), verb, 2);
        assert!(line.starts_with("hooks directory /nowhere does not exist"), "{line}");
    }
}

/// These fail when the first hook is due: the people's view has begun.
#[track_caller]
fn failed(case: Case, arguments: &str) -> String {
    let done = case
        .hook("before_vm_start/10_never", "touch ran")
        .hook("after_vm_start/10_never", "touch ran")
        .file("out", "as before")
        .says(arguments)
        .run()
        .ended(3);
    assert!(!done.path("ran").exists());
    assert_eq!(done.read("out"), "as before");
    let root = format!("{}/", done.path("").display()).replace("//", "/");
    done.stderr.lines().last().unwrap().replace(&root, "")
}

#[test]
fn run_directory_not_writable() {
    for point in ["before_vm_start", "after_vm_start"] {
        let line = failed(
            Case::new().file("file", ""),
            &format!("fire {point} --payload dom.xml --output out --run-dir file/run"),
        );
        assert_eq!(
            line,
            format!("virt-hooks: {point}: write the payload to file/run: Not a directory (os error 20)")
        );
        let line = failed(
            Case::new(),
            &format!("fire {point} --payload dom.xml --output out --run-dir /proc/x/run"),
        );
        assert_eq!(
            line,
            format!(
                "virt-hooks: {point}: make the run directory /proc/x/run: No such file or directory (os error 2)"
            )
        );
    }
}

#[test]
fn disk_full_while_the_payload_is_written() {
    let large = DOMAIN.replace("<devices/>", &"<!-- -->".repeat(10_000));
    let case = Case::new()
        .file("large.xml", large)
        .hook("before_vm_start/10_never", "touch ran")
        .says("fire before_vm_start --payload large.xml --report report.json");
    // A limit on the size of files stands in for a disk that is full in the middle of the payload.
    let mut limited = Command::new("/bin/sh");
    let command = case.command();
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 20; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env_clear()
        .envs(command.get_envs().filter_map(|(n, v)| Some((n, v?))));
    let done = case.run_as(limited).ended(3);
    assert!(!done.path("ran").exists());
    assert_eq!(done.stdout, "");
    let line = done.stderr.lines().last().unwrap();
    assert!(line.starts_with("virt-hooks: before_vm_start: write the payload to "), "{line}");
    assert!(line.ends_with("/payload.xml: File too large (os error 27)"), "{line}");
    let report = done.json("report.json");
    assert_eq!(report["verdict"], "veto");
    assert_eq!(report["runs"], serde_json::json!([]));
}

#[test]
fn not_in_the_grammar() {
    assert_eq!(
        refused(Case::new(), "fire before_vm_start --fromat json", 2),
        "unexpected argument '--fromat' found; tip: a similar argument exists: '--format'"
    );
    assert_eq!(
        refused(Case::new(), "fier", 2),
        "unrecognized subcommand 'fier'; tip: a similar subcommand exists: 'fire'"
    );
    assert_eq!(refused(Case::new(), "", 2), "no command given: \"virt-hooks --help\" lists them");
    assert_eq!(
        refused(Case::new(), "fire", 2),
        "the following required arguments were not provided: <POINT>"
    );
    let line = refused(Case::new(), "fire before_vm_start --payload dom.xml --timeout soon", 2);
    assert!(line.contains("--timeout") && line.contains("\"soon\" is not a duration like \"30s\""), "{line}");
    assert!(refused(Case::new(), "fire before_vm_start --attempt 0", 2).contains("--attempt"));
    assert!(refused(Case::new(), "fire before_vm_start --dry-run --diff", 2).contains("--dry-run"));
    assert!(refused(Case::new(), "fire before_vm_start --format json", 2).contains("--dry-run"));
}

#[test]
fn a_setting_for_a_point_that_does_not_exist_is_pointed_out() {
    let done = Case::new()
        .file("config.toml", "[points.before_vm_strat]\ntimeout = \"3s\"\n")
        .says("fire before_vm_start --payload dom.xml")
        .run()
        .ended(0);
    assert!(
        done.stderr.contains("no hook point \"before_vm_strat\": did you mean \"before_vm_start\"?"),
        "{}",
        done.stderr
    );
}
