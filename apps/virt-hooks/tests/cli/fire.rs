// SPDX-License-Identifier: Apache-2.0
//! `fire`: what goes in and what comes out.

use crate::case::{Case, DOMAIN, UUID};
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

const RENAME: &str = r#"sed -i s/web1/web2/ "$_hook_domxml""#;

#[test]
fn the_result_of_the_chain_goes_to_standard_output() {
    let done = Case::new()
        .hook("before_vm_start/10_rename", RENAME)
        .hook("before_vm_start/20_again", r#"sed -i s/web2/web3/ "$_hook_domxml""#)
        .says("fire before_vm_start --payload dom.xml")
        .run()
        .ended(0);
    assert_eq!(done.stdout, DOMAIN.replace("web1", "web3"));
}

#[test]
fn what_no_hook_changed_comes_back_byte_for_byte() {
    let odd = "\u{feff}<domain\t type = \"kvm\" ><!-- \r\n --><name>é</name></domain>\n\n";
    let hooks = Case::new().hook("before_vm_start/10_reads", r#"cat "$_hook_domxml" > /dev/null"#);
    for case in [Case::new(), hooks] {
        let done = case.says("fire before_vm_start --payload -").input(odd).run().ended(0);
        assert_eq!(done.stdout, odd);
    }
}

#[test]
fn a_veto_writes_the_report_and_leaves_the_output_as_it_was() {
    let done = Case::new()
        .hook("before_vm_start/10_rename", RENAME)
        .hook("before_vm_start/20_veto", "echo no such device >&2; exit 2")
        .hook("before_vm_start/30_never", "touch ran")
        .file("out.xml", "as before")
        .says("fire before_vm_start --payload dom.xml --output out.xml --report report.json")
        .run()
        .ended(1);
    assert_eq!(done.read("out.xml"), "as before");
    assert_eq!(done.stdout, "");
    assert!(!done.path("ran").exists());
    let report = done.json("report.json");
    assert_eq!(report["point"], "before_vm_start");
    assert_eq!(report["verdict"], "veto");
    assert_eq!(report["changed"], true);
    assert_eq!(report["vm_id"], UUID);
    assert_eq!(report["vm_name"], "web1");
    assert_eq!(report["event_id"].as_str().unwrap().len(), 32);
    assert_eq!(report["runs"].as_array().unwrap().len(), 2);
    let veto = &report["runs"][1];
    assert_eq!(veto["path"], done.path("hooks/before_vm_start/20_veto").to_str().unwrap());
    assert_eq!(veto["exit_code"], 2);
    assert_eq!(veto["signal"], json!(null));
    assert_eq!(veto["timed_out"], false);
    assert_eq!(veto["stderr"], "no such device\n");
    assert_eq!(veto["changed"], false);
    assert!(veto["duration_ms"].is_f64());
    assert!(
        done.stderr.ends_with("\n  20_veto: exit code 2: no such device\n  not run after that: 30_never\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_signal_is_named_in_the_report() {
    let done = Case::new()
        .hook("before_vm_start/10_dies", "kill -SEGV $$")
        .says("fire before_vm_start --payload dom.xml --report report.json")
        .run()
        .ended(1);
    let run = &done.json("report.json")["runs"][0];
    assert_eq!((&run["exit_code"], &run["signal"]), (&json!(null), &json!("SIGSEGV")));
}

#[test]
fn an_advisory_point_proceeds_with_what_the_hooks_left() {
    let done = Case::new()
        .hook("after_vm_start/10_fails", &format!("{RENAME}; exit 1"))
        .says("fire after_vm_start --payload dom.xml --report report.json")
        .run()
        .ended(0);
    assert_eq!(done.stdout, DOMAIN.replace("web1", "web2"));
    assert_eq!(done.json("report.json")["verdict"], "proceed");
    assert!(done.stderr.contains("1 of 1 hook failed"), "{}", done.stderr);
}

#[test]
fn what_a_failure_does_can_be_said() {
    let failing = |point: &str, policy: &str| {
        Case::new()
            .hook(&format!("{point}/10_fails"), "exit 1")
            .says(&format!("fire {point} --payload dom.xml --on-failure {policy}"))
            .run()
    };
    failing("before_vm_start", "proceed").ended(0);
    failing("after_vm_start", "veto").ended(1);
}

/// The environment of a hook at `point`, fired with these arguments.
fn environment(case: Case, point: &str, arguments: Vec<OsString>) -> Vec<Vec<u8>> {
    let file = case.path("environment");
    let done = case
        .hook(&format!("{point}/10_env"), &format!("env -0 > {}", file.display()))
        .says(&format!("fire {point}"))
        .arguments(arguments)
        .run()
        .ended(0);
    std::fs::read(done.path("environment")).unwrap().split(|&b| b == 0).map(<[u8]>::to_vec).collect()
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(Into::into).collect()
}

#[track_caller]
fn has(environment: &[Vec<u8>], variable: &str) {
    assert!(environment.iter().any(|v| v == variable.as_bytes()), "{variable} is missing");
}

#[test]
fn hooks_find_the_vm_the_properties_and_the_circumstances() {
    let variables = environment(
        Case::new(),
        "before_nic_hotplug",
        words(
            "--payload dom.xml -p sap=true -p both=vm --device-property qos=0.5 --device-property both=device \
             --reason test --attempt 3",
        ),
    );
    for variable in [
        &*format!("vmId={UUID}"),
        "sap=true",
        "qos=0.5",
        "both=vm",
        "_hook_reason=test",
        "_hook_attempt=3",
        "_hook_point=before_nic_hotplug",
    ] {
        has(&variables, variable);
    }
}

#[test]
fn a_property_value_is_bytes() {
    let mut property = b"blob=caf".to_vec();
    property.extend([0xe9, b'=', b' ', b'\n', 0xff]);
    let argument = OsString::from_vec(property.clone());
    let mut arguments = words("--payload dom.xml -p empty= -p");
    arguments.push(argument);
    let variables = environment(Case::new(), "before_vm_start", arguments);
    assert!(variables.contains(&property));
    has(&variables, "empty=");
}

#[test]
fn a_protected_name_is_dropped_with_a_warning() {
    let done = Case::new()
        .hook("before_vm_start/10_checks", r#"test -z "$LD_PRELOAD""#)
        .says("fire before_vm_start --payload dom.xml -p LD_PRELOAD=/evil.so")
        .run()
        .ended(0);
    assert!(done.stderr.contains("warning: property \"LD_PRELOAD\""), "{}", done.stderr);
    assert!(!done.stderr.contains("evil"), "{}", done.stderr);
}

#[test]
fn the_given_id_and_name_come_before_those_of_the_domain() {
    let other = "00000000-0000-4000-8000-00000000000A";
    let done = Case::new()
        .hook("before_vm_start/10_id", r#"echo "$vmId" > id"#)
        .says(&format!(
            "fire before_vm_start --payload dom.xml --vm-id {other} --vm-name other --report r.json"
        ))
        .run()
        .ended(0);
    assert_eq!(done.read("id"), format!("{other}\n"));
    assert_eq!(done.json("r.json")["vm_name"], "other");
}

#[test]
fn a_device_is_not_taken_for_a_domain() {
    let done = Case::new()
        .file("nic.xml", "<interface><uuid>5d0c6a2e-7a1b-4000-8000-000000000001</uuid></interface>")
        .hook("before_nic_hotplug/10_id", r#"test -z "$vmId""#)
        .says("fire before_nic_hotplug --payload nic.xml")
        .run();
    done.ended(0);
}

#[test]
fn points_with_a_default_payload_need_none() {
    let done = Case::new()
        .hook("before_get_caps/10_copy", r#"cp "$_hook_json" seen"#)
        .says("fire before_get_caps")
        .run()
        .ended(0);
    assert_eq!((done.read("seen"), &*done.stdout), ("{}".to_owned(), "{}"));
}

#[test]
fn points_that_may_be_without_data_need_no_payload() {
    let done = Case::new()
        .hook("after_device_create/10_size", r#"test -f "$_hook_domxml" && test ! -s "$_hook_domxml""#)
        .says("fire after_device_create")
        .run();
    done.ended(0);
}

#[test]
fn a_point_without_payload_prints_nothing() {
    let done = Case::new()
        .hook("before_vdsm_start/10_a", r#"echo junk > "$_hook_domxml""#)
        .says("fire before_vdsm_start")
        .run()
        .ended(0);
    assert_eq!(done.stdout, "");
}

/// The service's unit fires it before the agent starts: what fails is told and recorded, and the agent starts.
#[test]
fn c22_a_failing_hook_before_the_agent_starts_is_reported_and_stops_nothing() {
    for (body, ended) in [
        ("echo no disk >&2; exit 1", "exit code 1: no disk"),
        ("echo no disk >&2; exit 2", "exit code 2: no disk"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
    ] {
        let done = Case::new()
            .hook("before_vdsm_start/10_mount", body)
            .says("fire before_vdsm_start")
            .run()
            .ended(0);
        let line = format!("10_mount: {ended}");
        assert!(done.stderr.contains(&line) && done.stderr.contains("proceed"), "{}", done.stderr);
        // The journal of events has it too.
        assert!(done.read("state/journal.jsonl").contains(&line), "{}", done.read("state/journal.jsonl"));
    }
}

#[test]
fn a_point_in_no_table_is_fired_by_its_kind() {
    let done = Case::new()
        .hook("before_backup/10_edit", r#"echo '{"edited": 1}' > "$_hook_json""#)
        .says("fire before_backup --kind json --payload -")
        .input("{}")
        .run()
        .ended(0);
    assert_eq!(done.stdout, "{\"edited\": 1}\n");
}

#[test]
fn a_point_of_the_host_is_fired_like_any_other() {
    let done = Case::new()
        .file("points.d/site.toml", "[[point]]\nname = \"before_backup\"\nsummary = \"Freeze\"\n")
        .hook("before_backup/10_veto", "exit 1")
        .says("fire before_backup --payload dom.xml")
        .run();
    done.ended(1);
}

#[test]
fn check_none_takes_anything() {
    let bytes = "not XML at all";
    let done = Case::new()
        .hook("before_vm_start/10_append", r#"printf ' <' >> "$_hook_domxml""#)
        .says("fire before_vm_start --check none --payload -")
        .input(bytes)
        .run()
        .ended(0);
    assert_eq!(done.stdout, format!("{bytes} <"));
}

#[test]
fn a_hook_that_spoils_the_payload_vetoes() {
    let done = Case::new()
        .hook("before_vm_start/10_spoil", r#"echo '<domain>' > "$_hook_domxml""#)
        .says("fire before_vm_start --payload dom.xml")
        .run()
        .ended(1);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("bad result"), "{}", done.stderr);
    assert!(done.stderr.contains("10_spoil: left a payload that is not a well-formed"), "{}", done.stderr);
}

#[test]
fn a_deadline_ends_a_hook() {
    let done = Case::new()
        .hook("before_vm_start/10_hangs", "exec sleep 60")
        .says("fire before_vm_start --payload dom.xml --timeout 100ms --report r.json")
        .run()
        .ended(1);
    let run = &done.json("r.json")["runs"][0];
    assert_eq!((&run["timed_out"], &run["signal"]), (&json!(true), &json!("SIGTERM")));
    assert!(done.stderr.contains("timed out     10_hangs, did not end within 100ms"), "{}", done.stderr);
}

#[test]
fn global_options_go_before_and_after_the_verb() {
    for line in [
        "--hooks-dir other fire before_vm_start --payload dom.xml",
        "fire --payload dom.xml before_vm_start --hooks-dir other",
    ] {
        let done = Case::new().executable("other/before_vm_start/10_a", "exit 2").says(line).run();
        done.ended(1);
    }
}

#[test]
fn hooks_see_whole_paths_where_relative_ones_were_given() {
    let done = Case::new()
        .executable(
            "other/before_vm_start/10_a",
            r#"cd / && echo "$0 $_hook_domxml" > "$OLDPWD/paths" && cat "$_hook_domxml""#,
        )
        .says("fire before_vm_start --payload dom.xml --hooks-dir other --run-dir run")
        .run()
        .ended(0);
    let root = done.path("");
    let paths = done.read("paths");
    let (hook, payload) = paths.split_once(' ').unwrap();
    assert_eq!(hook, done.path("other/before_vm_start/10_a").to_str().unwrap());
    assert!(payload.starts_with(root.join("run/").to_str().unwrap()), "{payload}");
}

#[test]
fn the_state_directory_is_accepted() {
    Case::new().says("fire before_vm_start --payload dom.xml --state-dir elsewhere").run().ended(0);
}

/// A value that an installed package does not allow is refused before any hook runs, in words.
#[test]
fn a_value_no_package_allows_is_a_veto() {
    let case = |further: &str| {
        Case::new()
            .hook("before_vm_start/50_sized", "touch ran")
            .file(
                "packages/sized/hook.toml",
                "manifest = 1\nname = \"sized\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
                 [[point]]\nname = \"before_vm_start\"\nfile = \"50_sized\"\n[[property]]\nname = \"size\"\n\
                 scope = \"vm\"\ndescription = \"d\"\ntype = \"natural\"\nexample = \"4\"\n",
            )
            .says(&format!("fire before_vm_start --payload dom.xml -p size=-1 {further}"))
            .run()
    };
    let done = case("").ended(1);
    let said = "veto: before_vm_start: no hook was run\n  property size: \"-1\" is not of type natural; an example is \"4\"\n";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    assert!(!done.path("ran").exists());
    let done = case("--dry-run").ended(0);
    assert!(done.stdout.contains("would veto: property size"), "{}", done.stdout);
}
