// SPDX-License-Identifier: Apache-2.0
//! VDSM contract, environment (section 5.3).

use crate::bench_bed::{Bed, DOMAIN, UUID, point};
use std::collections::BTreeMap;
use std::path::Path;
use virt_hooks_engine::{CustomProperties, Event, Outcome, Vm};

fn fire(
    bed: &Bed,
    name: &str,
    payload: &str,
    vm: Option<&Vm>,
    parameters: Option<&CustomProperties>,
) -> (Outcome, BTreeMap<String, String>) {
    bed.hook(&format!("{name}/50_env"), &format!("cat /proc/$$/environ > '{}'", bed.path("env").display()));
    let point = point(name);
    let event = Event {
        vm,
        parameters,
        variables: &[("_hook_cpus", "4")],
        reason: Some("test"),
        attempt: 3,
        launch_flags: Some(Path::new("/run/flags")),
        ..Event::new(&point, payload)
    };
    let outcome = bed.engine().fire(&event);
    let env = String::from_utf8_lossy(&std::fs::read(bed.path("env")).unwrap()).into_owned();
    let map = env.split('\0').filter_map(|l| l.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect();
    (outcome, map)
}

fn properties(pairs: &[(&str, &str)]) -> CustomProperties {
    pairs.iter().map(|&(n, v)| (n, v)).collect()
}

#[test]
fn later_wins_in_vdsms_order() {
    let mut bed = Bed::new();
    bed.settings
        .environment
        .extend([(b"a".to_vec(), b"engine".to_vec()), (b"vmId".to_vec(), b"engine".to_vec())]);
    bed.settings
        .environment
        .extend([(b"b".to_vec(), b"engine".to_vec()), (b"c".to_vec(), b"engine".to_vec())]);
    let vm = Vm {
        id: UUID.into(),
        name: None,
        properties: properties(&[("c", "vm"), ("vmId", "vm"), ("_hook_cpus", "9")]),
    };
    let (o, env) = fire(
        &bed,
        "before_nic_hotplug",
        "<interface/>",
        Some(&vm),
        Some(&properties(&[("b", "device"), ("c", "device")])),
    );
    assert_eq!((env["a"].as_str(), env["b"].as_str(), env["c"].as_str()), ("engine", "device", "vm"));
    assert_eq!((env["vmId"].as_str(), env["_hook_cpus"].as_str()), (UUID, "4"));
    assert!(o.warnings.iter().any(|w| w.contains("\"c\" of the VM takes the place")), "{:?}", o.warnings);
}

#[test]
fn extra_variables_and_payload_path() {
    let bed = Bed::new();
    let (o, env) = fire(&bed, "before_vm_start", DOMAIN, None, None);
    assert_eq!(env["_hook_point"], "before_vm_start");
    assert_eq!(env["_hook_event_id"], o.event_id);
    assert_eq!((env["_hook_reason"].as_str(), env["_hook_attempt"].as_str()), ("test", "3"));
    assert_eq!(env["_hook_launch_flags"], "/run/flags");
    assert_eq!(env["_hook_cpus"], "4", "a variable of the driver's");
    assert!(Path::new(&env["_hook_domxml"]).starts_with(bed.path("run")));
    assert!(!env.contains_key("_hook_json") && !env.contains_key("vmId") && !env.contains_key("PYTHONPATH"));
}

#[test]
fn json_points_have_the_other_variable() {
    let bed = Bed::new();
    let (_, env) = fire(&bed, "after_get_caps", "{}", None, None);
    assert!(env.contains_key("_hook_json") && !env.contains_key("_hook_domxml"));
}

#[test]
fn points_without_payload_have_an_empty_file() {
    let bed = Bed::new();
    bed.hook("before_vdsm_start/10_size", &bed.say("$(wc -c < \"$_hook_domxml\")"));
    fire(&bed, "before_vdsm_start", "", None, None);
    assert_eq!(bed.log(), ["0"]);
}

#[test]
fn protected_names_are_kept_out() {
    let mut bed = Bed::new();
    bed.settings.python_dir = Some("/ours".into());
    let hostile = properties(&[
        ("PATH", "/evil"),
        ("LD_PRELOAD", "/evil.so"),
        ("PYTHONPATH", "/evil"),
        ("PYTHONSTARTUP", "/evil"),
        ("IFS", "x"),
        ("BASH_ENV", "/evil"),
        ("ENV", "/evil"),
        ("SHELLOPTS", "xtrace"),
        ("_hook_domxml", "/etc/passwd"),
        ("_hook_json", "/etc/passwd"),
        ("_hook_point", "after_x"),
        ("fine", "yes"),
    ]);
    let vm = Vm { id: UUID.into(), name: None, properties: hostile.clone() };
    let (o, env) = fire(&bed, "before_nic_hotplug", "<interface/>", Some(&vm), Some(&hostile));
    assert_eq!(env["PATH"], "/usr/bin:/bin");
    assert_eq!((env["PYTHONPATH"].as_str(), env["_hook_point"].as_str()), ("/ours", "before_nic_hotplug"));
    for name in ["LD_PRELOAD", "PYTHONSTARTUP", "IFS", "BASH_ENV", "ENV", "SHELLOPTS", "_hook_json"] {
        assert!(
            env.get(name).is_none_or(|v| !v.contains("evil") && v != "x" && v != "xtrace"),
            "{name} {env:?}"
        );
    }
    assert_eq!(env["fine"], "yes");
    assert_eq!(
        o.warnings.iter().filter(|w| w.contains("protected variable")).count(),
        22,
        "{:?}",
        o.warnings
    );
    assert!(o.into_result().is_ok(), "warned, not fatal");
}

#[test]
fn root_variables_of_the_engine_reach_hooks_unchanged() {
    let mut bed = Bed::new();
    bed.settings
        .environment
        .extend([(b"LD_LIBRARY_PATH".to_vec(), b"/opt/lib".to_vec()), (b"odd".to_vec(), b"\xff".to_vec())]);
    let (_, env) = fire(&bed, "before_vm_start", DOMAIN, None, None);
    assert_eq!(env["LD_LIBRARY_PATH"], "/opt/lib");
    assert!(env.contains_key("odd"));
}

#[test]
fn hooks_of_another_user_have_its_home() {
    let mut bed = Bed::new();
    if !crate::bench_bed::is_root(bed.dir.path()) {
        eprintln!("only root can run hooks as another user");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(bed.dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    bed.settings.environment.push((b"HOME".to_vec(), b"/root".to_vec()));
    bed.settings.hook_user = Some(virt_hooks_spawn::Credentials { uid: 54321, gid: 54321, groups: vec![] });
    bed.settings.hook_user_environment = vec![(b"HOME".to_vec(), b"/home/hooks".to_vec())];
    let (_, env) = fire(&bed, "before_vm_start", DOMAIN, None, None);
    assert_eq!(env["HOME"], "/home/hooks");
    std::fs::remove_file(bed.path("env")).unwrap();
    let (_, env) = fire(&bed, "before_network_setup", "{}", None, None);
    assert_eq!(env["HOME"], "/root", "a root point runs as root");
}

#[test]
fn a_property_longer_than_a_variable_can_be_is_dropped_with_a_warning() {
    let bed = Bed::new();
    let vm = Vm {
        id: UUID.into(),
        name: None,
        properties: properties(&[("long", &"x".repeat(200_000)), ("short", "y")]),
    };
    let (o, env) = fire(&bed, "before_vm_start", DOMAIN, Some(&vm), None);
    assert!(!env.contains_key("long") && env["short"] == "y");
    assert!(o.warnings.iter().any(|w| w.contains("\"long\" is longer than")), "{:?}", o.warnings);
    assert!(o.into_result().is_ok());
}
