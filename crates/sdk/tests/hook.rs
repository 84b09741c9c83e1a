// SPDX-License-Identifier: Apache-2.0
//! What a hook built on this crate does to files and processes.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use virt_hooks_sdk::{
    Command, CommandError, Context, Failure, LaunchFlagsError, Output, PayloadError, PropertyError, run,
};

#[test]
fn exit_codes() {
    assert_eq!(run(|_| Ok(())), ExitCode::SUCCESS);
    assert_eq!(run(|_| Err(Failure::go_on("no bridge"))), ExitCode::from(1));
    assert_eq!(run(|_| Err(Failure::stop("no bridge"))), ExitCode::from(2));
    assert_eq!(run(|_| Err("x".parse::<u8>().unwrap_err().into())), ExitCode::from(2));
}

#[test]
fn payload_file_is_replaced_only_if_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("payload");
    fs::write(&path, "<domain a='1'/>").unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    let hook = Context::for_test().with_env("_hook_domxml", &path);
    let set = |value: &str| {
        let mut domain = hook.domain().unwrap();
        let root = domain.root();
        domain.set_attribute(root, "a", value).unwrap();
        domain.save().unwrap();
    };
    set("1");
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    set("2");
    assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(fs::read_to_string(&path).unwrap(), "<domain a='2'/>");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn payload_is_written_in_place_where_nothing_can_stand_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    // No room for a longer name.
    let path = dir.path().join("p".repeat(255));
    fs::write(&path, "<domain with='an attribute'/>").unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    let hook = Context::for_test().with_env("_hook_domxml", &path);
    let mut domain = hook.domain().unwrap();
    let root = domain.root();
    domain.remove_attribute(root, "with").unwrap();
    domain.save().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "<domain/>");
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn payloads_that_are_not_there_or_not_readable() {
    let hook = Context::for_test();
    assert!(matches!(hook.domain(), Err(PayloadError::Missing { variable: "_hook_domxml" })));
    assert!(matches!(hook.json(), Err(PayloadError::Missing { variable: "_hook_json" })));
    let hook = Context::for_test().with_env("_hook_domxml", "/nonexistent/payload");
    assert!(matches!(hook.domain(), Err(PayloadError::Read { .. })));
    assert!(matches!(Context::for_test().with_xml("").device(), Err(PayloadError::Xml { .. })));
    assert!(matches!(Context::for_test().with_json("{").json(), Err(PayloadError::Json { .. })));
}

#[test]
fn json_keeps_order_and_spelling_of_what_is_not_touched() {
    let text = r#"{"z":1,"a":"é"}"#;
    let hook = Context::for_test().with_json(text);
    hook.json().unwrap().save().unwrap();
    assert_eq!(hook.json_text(), text);
    let mut json = hook.json().unwrap();
    json["z"] = 2.into();
    json.save().unwrap();
    assert_eq!(hook.json_text(), r#"{"z": 2, "a": "\u00e9"}"#);
    assert_eq!(hook.json_bytes().unwrap(), hook.json_text().as_bytes());
    hook.save_json_bytes(b"[]").unwrap();
    assert_eq!(hook.json_text(), "[]");
}

#[test]
fn properties() {
    let hook = Context::for_test()
        .with_env("on", "True")
        .with_env("off", "yes")
        .with_env("empty", "")
        .with_env("bytes", std::ffi::OsString::from_vec(vec![0xFF]))
        .with_env("mapping", "{'a': 'b'}")
        .with_env("json", "[1]");
    assert_eq!(
        (hook.property("none").unwrap(), hook.property("empty").unwrap()),
        (None, Some(String::new()))
    );
    assert!(matches!(hook.required("none"), Err(PropertyError::Missing { .. })));
    assert!(matches!(hook.property("bytes"), Err(PropertyError::NotUtf8 { .. })));
    assert_eq!(
        ["on", "off", "empty", "none"].map(|name| hook.flag(name).unwrap()),
        [true, false, false, false]
    );
    assert_eq!(hook.mapping("mapping").unwrap().unwrap().text("a"), Some("b"));
    assert!(matches!(hook.mapping("json"), Err(PropertyError::NotMapping { .. })));
    assert_eq!(hook.mapping("none").unwrap(), None);
    assert_eq!(hook.json_property("json").unwrap().unwrap()[0], 1);
    assert!(hook.list("none", ',').unwrap().is_empty());
}

#[test]
fn event() {
    let hook = Context::for_test()
        .with_env("vmId", "6f1c")
        .with_env("_hook_point", "before_vm_start")
        .with_env("_hook_event_id", "e1")
        .with_env("_hook_reason", "dehibernate")
        .with_env("_hook_attempt", "2");
    assert_eq!(hook.vm_id().unwrap(), "6f1c");
    assert_eq!(hook.point().as_deref(), Some("before_vm_start"));
    assert_eq!((hook.event_id().as_deref(), hook.reason().as_deref()), (Some("e1"), Some("dehibernate")));
    assert_eq!(hook.attempt(), Some(2));
    for bad in ["", "../x", "a/b", "."] {
        assert!(Context::for_test().with_env("vmId", bad).vm_id().is_err(), "{bad}");
    }
}

#[test]
fn launch_flags() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run/vdsm/6f1c/launchflags");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let hook = Context::for_test().with_host(dir.path()).with_env("vmId", "6f1c");
    assert_eq!(hook.launch_flags().unwrap(), 0);
    fs::write(&file, "1\n").unwrap();
    assert_eq!(hook.add_launch_flags(1).unwrap(), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");
    assert_eq!(hook.add_launch_flags(4).unwrap(), 5);
    assert_eq!(fs::read_to_string(&file).unwrap(), "5");
    let other = dir.path().join("flags");
    let hook = hook.with_env("_hook_launch_flags", &other);
    assert_eq!(hook.add_launch_flags(2).unwrap(), 2);
    assert_eq!(fs::read_to_string(&other).unwrap(), "2");
    assert!(matches!(Context::for_test().launch_flags(), Err(LaunchFlagsError::Property(_))));
}

#[test]
fn host_files() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("sys/class/net/br0")).unwrap();
    fs::write(dir.path().join("sys/class/net/br0/mtu"), "1500\n").unwrap();
    let hook = Context::for_test().with_host(dir.path());
    assert!(hook.host().sysfs("class/net/br0").is_dir());
    assert_eq!(hook.host().read("/sys/class/net/br0/mtu").unwrap().as_deref(), Some("1500"));
    assert_eq!(hook.host().read("/sys/class/net/br1/mtu").unwrap(), None);
    assert!(hook.host().read("/sys/class").unwrap_err().to_string().contains("sys/class"));
    assert!(!Context::for_test().host().sysfs("class/net").exists());
}

fn shell(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

fn execute(command: &Command) -> Result<Output, CommandError> {
    Context::from_process().execute(command)
}

#[test]
fn command_output_and_status() {
    let output = execute(&shell("cat; echo error >&2; exit 3").stdin("input")).unwrap();
    assert_eq!((output.status.code(), output.stdout.text()), (Some(3), "input".to_owned()));
    let error = output.success(&shell("")).unwrap_err().to_string();
    assert_eq!(error, "sh ended with exit status: 3: error");
    assert!(execute(&Command::new("true").deadline(Duration::MAX)).unwrap().success(&shell("")).is_ok());
    assert!(matches!(execute(&Command::new("/nonexistent/tool")), Err(CommandError::Start { .. })));
}

#[test]
fn command_that_does_not_read_its_input() {
    let output = execute(&Command::new("true").stdin(vec![b'x'; 1 << 20])).unwrap();
    assert!(output.status.success());
    let echo = execute(&Command::new("cat").stdin(vec![b'x'; 40_000])).unwrap();
    assert_eq!(echo.stdout.bytes(), vec![b'x'; 40_000]);
}

#[test]
fn command_output_is_bounded() {
    let script = "printf start; head -c 1000000 /dev/zero | tr '\\0' x; printf end";
    let output = execute(&shell(script)).unwrap();
    let text = output.stdout.text();
    assert!(text.starts_with("startx") && text.ends_with("xend"));
    assert_eq!(output.stdout.dropped(), 1_000_008 - 64 * 1024);
    assert!(text.len() < 65 * 1024 + 64 && text.contains("\n[934472 bytes dropped]\n"));
}

#[test]
fn command_is_killed_at_its_deadline() {
    for script in ["exec sleep 60", "exec yes", "exec >&- 2>&-; exec sleep 60"] {
        let start = Instant::now();
        let result = execute(&shell(script).deadline(Duration::from_millis(200)));
        assert!(matches!(result, Err(CommandError::Deadline { .. })), "{script}: {result:?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{script}");
    }
}

#[test]
fn command_leaves_a_child_that_holds_the_pipes() {
    let start = Instant::now();
    let output = execute(&shell("sleep 30 & echo $!")).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = output.stdout.text();
    execute(&Command::new("kill").arg(pid.trim())).unwrap().success(&Command::new("kill")).unwrap();
}

#[test]
fn no_commands_in_a_test_unless_scripted() {
    assert!(matches!(Context::for_test().execute(&shell("true")), Err(CommandError::Start { .. })));
    let mut hook = Context::for_test().with_commands(|command| {
        assert!(command.is_sudo() && command.input() == b"in");
        Ok(Output::exited(1, "out").with_stderr("why\n"))
    });
    let command = Command::new("ip").args(["link", "add", "it's"]).stdin("in").sudo();
    let output = hook.execute(&command).unwrap();
    assert_eq!(output.stderr.text(), "why\n");
    assert_eq!(command.to_string(), r"ip link add 'it'\''s'");
}
