// SPDX-License-Identifier: Apache-2.0
//! What virt-launcher asks of every sidecar.

use crate::bed::{Bed, PATIENCE, USER, is_root, until};
use crate::documents::{UUID, domain, vmi, vmi_with};
use crate::grpc::{FAILED_PRECONDITION, Failed, INVALID_ARGUMENT, UNIMPLEMENTED, call};
use crate::launcher::{CloudInit, Collected, Define, Defined, Empty, Info, collect};
use serde_json::json;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_hook_changes_the_domain_of_a_vm() {
    let bed = Bed::new();
    bed.package(&[("title", "vm", "[A-Za-z ]+", "x")]);
    bed.hook(
        "before_vm_start",
        "50_title",
        "id -u > OUT/uid; echo \"$vmId $_hook_point $_hook_reason\" > OUT/env; [ -z \"$title\" ] || sed -i \"s|</name>|&<title>$title</title>|\" \"$_hook_domxml\"",
    );
    let server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    assert_eq!(sidecar.info.name, "virt-hooks");
    assert_eq!(sidecar.info.versions, ["v1alpha1", "v1alpha2", "v1alpha3"]);
    assert_eq!(
        (sidecar.version.as_str(), sidecar.points()),
        ("v1alpha3", vec!["OnDefineDomain", "Shutdown"])
    );
    assert_eq!(text(sidecar.define(domain().as_bytes(), &vmi("u1")).unwrap()), domain());
    let vmi = vmi_with("u2", json!({"hooks.virt-hooks.io/title": "Mail server"}));
    let answer = text(sidecar.define(domain().as_bytes(), &vmi).unwrap());
    assert_eq!(answer, domain().replace("</name>", "</name><title>Mail server</title>"));
    assert_eq!(bed.out("env"), format!("{UUID} before_vm_start boot\n"));
    if is_root() {
        assert_eq!(bed.out("uid"), format!("{USER}\n"));
    }
    assert!(server.log().contains("50_title: fine"), "{}", server.log());
    // Every version of the callbacks does the same.
    for version in ["v1alpha1", "v1alpha2"] {
        let older = Collected { version: version.to_owned(), ..sidecar.clone() };
        assert_eq!(text(older.define(domain().as_bytes(), &vmi).unwrap()), answer);
    }
}

#[test]
fn what_an_owner_may_not_say_is_not_said() {
    let bed = Bed::new();
    bed.package(&[("n", "vm", "[0-9]+", "1")]);
    bed.hook("before_vm_start", "50_env", "env > OUT/env");
    let server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    let vmi = vmi_with(
        "u",
        json!({
            "hooks.virt-hooks.io/PATH": "/tmp/evil", "hooks.virt-hooks.io/LD_PRELOAD": "/tmp/evil.so",
            "hooks.virt-hooks.io/PYTHONPATH": "/tmp/evil", "hooks.virt-hooks.io/undeclared": "evil",
            "hooks.virt-hooks.io/vmId": "evil", "hooks.virt-hooks.io/n": "7", "hooks.virt-hooks.io/../n": "evil",
            "hooks.virt-hooks.io/a\nb": "evil", "device.hooks.virt-hooks.io/default.n": "evil",
        }),
    );
    sidecar.define(domain().as_bytes(), &vmi).unwrap();
    let env = bed.out("env");
    assert!(env.contains("\nn=7\n") || env.starts_with("n=7\n"), "{env}");
    assert!(!env.contains("evil"), "{env}");
    assert!(server.log().contains("annotation hooks.virt-hooks.io/LD_PRELOAD: "), "{}", server.log());
    for (value, said) in
        [("x", "does not match"), ("7\n", "does not match"), ("7\0", "NUL"), (&"7".repeat(70_000), "65536")]
    {
        let vmi = vmi_with("u", json!({"hooks.virt-hooks.io/n": value}));
        let failed = sidecar.define(domain().as_bytes(), &vmi).unwrap_err();
        let (code, message) = failed.status();
        assert!(
            code == INVALID_ARGUMENT && message.contains(said) && message.contains("hooks.virt-hooks.io/n"),
            "{message}"
        );
    }
}

#[test]
fn devices_with_properties_have_hooks_of_their_own() {
    let bed = Bed::new();
    bed.package(&[("qos", "device", "[0-9]+", "1"), ("vmwide", "vm", ".*", "")]);
    bed.hook(
        "before_device_create",
        "50_qos",
        "echo \"$qos $vmwide $vmId\" >> OUT/seen; cat \"$_hook_domxml\" >> OUT/xml; sed -i \"s|</source>|&<bandwidth><inbound average='$qos'/></bandwidth>|\" \"$_hook_domxml\"",
    );
    bed.hook(
        "before_vm_start",
        "50_order",
        "grep -q bandwidth \"$_hook_domxml\" && echo devices first > OUT/order",
    );
    let server = bed.sidecar(&[]);
    let vmi = vmi_with(
        "u",
        json!({
            "device.hooks.virt-hooks.io/default.qos": "10", "device.hooks.virt-hooks.io/root.qos": "20",
            "device.hooks.virt-hooks.io/nowhere.qos": "30", "hooks.virt-hooks.io/vmwide": "v",
        }),
    );
    let answer = text(bed.collect().define(domain().as_bytes(), &vmi).unwrap());
    assert_eq!(bed.out("seen"), format!("10 v {UUID}\n20 v {UUID}\n"));
    assert!(bed.out("xml").starts_with("<interface type=\"ethernet\">"), "{}", bed.out("xml"));
    assert_eq!(bed.out("order"), "devices first\n");
    assert_eq!(answer.matches("<bandwidth>").count(), 2, "{answer}");
    // Where they stood.
    let places =
        ["ua-default", "org.qemu.guest_agent", "ua-root", "ua-cloudinit"].map(|n| answer.find(n).unwrap());
    assert!(places.is_sorted(), "{answer}");
    assert!(
        server.log().contains("properties of \"nowhere\": the domain has no such device"),
        "{}",
        server.log()
    );
}

#[test]
fn a_veto_names_the_hook_and_its_words() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "60_license", "echo 'no licence left: é' >&2; exit 2");
    let mut server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    for _ in 0..2 {
        let failed = sidecar.define(domain().as_bytes(), &vmi("u")).unwrap_err();
        let expected = "before_vm_start: Hook Error: 60_license: exit code 2: no licence left: é";
        assert_eq!(failed.status(), (FAILED_PRECONDITION, expected));
    }
    assert!(server.is_running());
    assert!(sidecar.info().is_ok());
}

#[test]
fn without_hooks_nobody_is_asked_and_who_asks_is_answered() {
    let bed = Bed::new();
    let server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    assert_eq!(sidecar.points(), ["Shutdown"]);
    assert!(server.log().contains("warning: no hooks"), "{}", server.log());
    assert_eq!(text(sidecar.define(domain().as_bytes(), &vmi("u")).unwrap()), domain());
}

#[test]
fn one_version_is_spoken_where_one_is_given() {
    for (version, points) in [
        ("v1alpha1", vec!["OnDefineDomain"]),
        ("v1alpha2", vec!["OnDefineDomain", "PreCloudInitIso"]),
        ("v1alpha3", vec!["OnDefineDomain", "PreCloudInitIso", "Shutdown"]),
    ] {
        let bed = Bed::new();
        bed.hook("before_vm_start", "50_x", "exit 0");
        bed.hook("kubevirt_pre_cloud_init_iso", "50_x", "exit 0");
        let mut server = bed.sidecar(&["--version", version, "--cloud-init"]);
        let sidecar = bed.collect();
        assert_eq!((sidecar.version.as_str(), sidecar.points()), (version, points));
        let other = Collected { version: "v1alpha4".to_owned(), ..sidecar.clone() };
        let failed = other.define(domain().as_bytes(), &vmi("u")).unwrap_err();
        assert_eq!(failed.status().0, UNIMPLEMENTED);
        if version != "v1alpha3" {
            // Shutdown is of the third version; an older sidecar stays.
            let other = Collected { version: "v1alpha3".to_owned(), ..sidecar.clone() };
            assert_eq!(other.shutdown().unwrap_err().status().0, UNIMPLEMENTED);
            assert!(sidecar.info().is_ok() && server.is_running());
        }
    }
}

#[test]
fn shutdown_is_answered_and_then_it_is_over() {
    let bed = Bed::new();
    let mut server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    sidecar.shutdown().unwrap();
    server.ended();
    assert!(!sidecar.socket.exists());
    assert_eq!(sidecar.info().unwrap_err(), Failed::Dial);
}

#[test]
fn term_is_a_good_end_too() {
    let bed = Bed::new();
    let mut server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    server.terminate();
    server.ended();
    assert!(!sidecar.socket.exists());
}

#[test]
fn two_sidecars_are_both_collected() {
    let bed = Bed::new();
    let _one = bed.sidecar_in("sockets/hook-sidecar-0", &[]);
    let _two = bed.sidecar_in("sockets/hook-sidecar-1", &[]);
    let both = bed.collect_all(2);
    let names: HashSet<_> = both.iter().map(|c| c.socket.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 2);
    // That the fake launcher would notice: two of one name are never both found.
    let dir = tempfile::tempdir().unwrap();
    for (n, real) in both.iter().enumerate() {
        let sub = dir.path().join(format!("hook-sidecar-{n}"));
        fs::create_dir(&sub).unwrap();
        std::os::unix::fs::symlink(&real.socket, sub.join("same.sock")).unwrap();
    }
    let failed = collect(dir.path(), 2, Duration::from_secs(1)).unwrap_err();
    assert!(failed.contains("failed to collect"), "{failed}");
}

#[test]
fn nothing_is_seen_that_does_not_answer() {
    let bed = Bed::new();
    let dir = bed.make("sockets/hook-sidecar-0");
    let sockets = || {
        let files =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap()).filter(|e| !e.file_type().unwrap().is_dir());
        files.map(|e| e.path()).collect::<HashSet<_>>()
    };
    let mut before = HashSet::new();
    for _ in 0..5 {
        let mut server = bed.sidecar(&[]);
        // The first sight of the name, as soon as there is one.
        let mut socket = None;
        until("a socket is published", || {
            socket = sockets().difference(&before).next().cloned();
            socket.is_some()
        });
        let socket = socket.unwrap();
        let deadline = Duration::from_secs(u64::from(PATIENCE));
        let answer: Result<Info, _> = call(&socket, "kubevirt.hooks.info.Info/Info", &Empty {}, deadline);
        answer.unwrap();
        // What was left before is gone.
        assert_eq!(sockets(), HashSet::from([socket]));
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        before = sockets();
        assert_eq!(before.len(), 1);
    }
    let server = bed.sidecar(&[]);
    until("it serves", || server.log().contains("serving"));
    assert_eq!(sockets().len(), 1);
    assert_eq!(fs::read_dir(dir.join(".virt-hooks")).unwrap().count(), 0);
}

#[test]
fn sockets_of_others_are_left_alone() {
    let bed = Bed::new();
    let dir = bed.make("sockets/hook-sidecar-0");
    // Of another server that lives, and of another program that does not.
    let _alive = UnixListener::bind(dir.join("virt-hooks-0123456789abcdef.sock")).unwrap();
    drop(UnixListener::bind(dir.join("shim-x1y2.sock")).unwrap());
    drop(UnixListener::bind(dir.join("virt-hooks-fedcba9876543210.sock")).unwrap());
    for entry in fs::read_dir(&dir).unwrap().filter(|_| is_root()) {
        std::os::unix::fs::chown(entry.unwrap().path(), Some(USER), Some(USER)).unwrap();
    }
    let server = bed.sidecar(&[]);
    until("it serves", || server.log().contains("serving"));
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|n| n.ends_with(".sock"));
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names.contains(&"shim-x1y2.sock".to_owned())
            && !names.contains(&"virt-hooks-fedcba9876543210.sock".to_owned())
    );
}

#[test]
fn a_set_up_that_cannot_work_is_said_at_once() {
    let bed = Bed::new();
    let long = bed.make(&"d".repeat(90));
    let sealed = bed.make("sealed");
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o500)).unwrap();
    let none = bed.path("none");
    let file = bed.path("config.toml");
    let spoilt = bed.make("spoilt");
    fs::create_dir(spoilt.join("p")).unwrap();
    fs::write(spoilt.join("p/hook.toml"), "manifest = 1\n").unwrap();
    let s = |p: &std::path::Path| p.to_str().unwrap().to_owned();
    let good = s(&bed.path("sockets"));
    let cases: Vec<(Vec<String>, i32, &str)> = vec![
        (vec!["--socket-dir".into(), s(&none)], 3, "none"),
        (vec!["--socket-dir".into(), s(&long)], 3, "107 at most"),
        (vec!["--socket-dir".into(), s(&sealed)], 3, "Permission denied"),
        (vec!["--socket-dir".into(), good.clone(), "--hooks-dir".into(), s(&none)], 2, "does not exist"),
        (vec!["--socket-dir".into(), good.clone(), "--packages-dir".into(), s(&none)], 2, "does not exist"),
        (vec!["--socket-dir".into(), good.clone(), "--packages-dir".into(), s(&spoilt)], 3, "hook.toml"),
        (vec!["--socket-dir".into(), good.clone(), "--version".into(), "v1alpha9".into()], 2, "v1alpha9"),
        (vec!["--socket-dir".into(), good.clone(), "--budget".into(), "soon".into()], 2, "not a duration"),
        (vec!["--socket-dir".into(), good.clone(), "--at-once".into(), "0".into()], 2, "--at-once"),
        // As the shim does: KubeVirt's own tests ask for it.
        (
            vec!["--socket-dir".into(), good.clone(), "--shim-dir".into(), s(&bed.path("hooks"))],
            2,
            "--version",
        ),
        (
            vec![
                "--socket-dir".into(),
                good,
                "--version".into(),
                "v1alpha3".into(),
                "--shim-dir".into(),
                s(&bed.path("hooks")),
            ],
            3,
            "onDefineDomain",
        ),
        (vec!["--socket-dir".into(), s(&file)], 3, "config.toml"),
    ];
    for (arguments, code, said) in cases {
        let mut all = vec!["sidecar"];
        all.extend(arguments.iter().map(String::as_str));
        if said == "Permission denied"
            && !is_root()
            && sealed.metadata().unwrap().permissions().mode() & 0o200 != 0
        {
            continue;
        }
        let output = bed.command(&all).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{all:?}: {error}");
        assert!(error.contains(said), "{all:?}: {error}");
        assert!(error.lines().all(|l| l.starts_with("virt-hooks-kubevirt: ")), "{error}");
    }
    assert_eq!(
        fs::read_dir(bed.path("sockets"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name() != ".virt-hooks")
            .count(),
        0
    );
}

#[test]
fn cloud_init_data_is_changed_only_where_it_is_asked_for() {
    let bed = Bed::new();
    bed.hook(
        "kubevirt_pre_cloud_init_iso",
        "50_hello",
        "cat \"$_hook_json\" >> OUT/seen; echo >> OUT/seen; sed -i 's|#cloud-config|#cloud-config\\\\nhello: true|' \"$_hook_json\"",
    );
    let full = CloudInit {
        no_cloud: br##"{"userData":"#cloud-config"}"##.to_vec(),
        vmi: vmi("u"),
        data:
            br##"{"DataSource":"noCloud","NoCloudMetaData":{},"UserData":"#cloud-config","VolumeName":"c"}"##
                .to_vec(),
    };
    {
        let _server = bed.sidecar(&[]);
        let sidecar = bed.collect();
        assert!(!sidecar.points().contains(&"PreCloudInitIso"), "without --cloud-init");
        let answer = sidecar.cloud_init(&full).unwrap();
        assert_eq!((answer.no_cloud, answer.data), (full.no_cloud.clone(), full.data.clone()));
        sidecar.shutdown().unwrap();
    }
    let _server = bed.sidecar(&["--cloud-init"]);
    let sidecar = bed.collect();
    assert!(sidecar.points().contains(&"PreCloudInitIso"));
    let answer = sidecar.cloud_init(&full).unwrap();
    assert_eq!(answer.no_cloud, full.no_cloud);
    let data: serde_json::Value = serde_json::from_slice(&answer.data).unwrap();
    assert_eq!(data["UserData"], "#cloud-config\nhello: true");
    assert_eq!(data["VolumeName"], "c");
    // The older form, where it is the only one.
    let older = CloudInit { data: Vec::new(), ..full.clone() };
    let answer = sidecar.cloud_init(&older).unwrap();
    assert!(text(answer.no_cloud).contains("hello: true"));
    assert_eq!(answer.data, b"{}");
    // Without user data, and without anything.
    let empty_user_data = CloudInit { data: br#"{"UserData":""}"#.to_vec(), ..full.clone() };
    assert_eq!(sidecar.cloud_init(&empty_user_data).unwrap().data, empty_user_data.data);
    let answer = sidecar.cloud_init(&CloudInit::default()).unwrap();
    assert_eq!((answer.no_cloud, answer.data), (b"{}".to_vec(), b"{}".to_vec()));
    for (spoilt, said) in [
        (CloudInit { data: b"{".to_vec(), ..full.clone() }, "cloudInitData: not JSON"),
        (CloudInit { no_cloud: b"nonsense".to_vec(), ..full.clone() }, "cloudInitNoCloudSource: not JSON"),
        (CloudInit { vmi: Vec::new(), ..full.clone() }, "VMI: empty"),
    ] {
        let failed = sidecar.cloud_init(&spoilt).unwrap_err();
        assert!(failed.status().0 == INVALID_ARGUMENT && failed.status().1.contains(said), "{failed:?}");
    }
}

/// The fields of messages that other versions may add are passed over.
#[test]
fn unknown_fields_are_passed_over() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct More {
        #[prost(message, optional, tag = "9")]
        more: Option<Define>,
        #[prost(bytes = "vec", tag = "1")]
        domain_xml: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        vmi: Vec<u8>,
    }
    let bed = Bed::new();
    let _server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    let more = More { more: Some(Define::default()), domain_xml: domain().into(), vmi: vmi("u") };
    let answer: Defined = call(
        &sidecar.socket,
        "kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain",
        &more,
        Duration::from_secs(60),
    )
    .unwrap();
    assert_eq!(text(answer.domain_xml), domain());
}
