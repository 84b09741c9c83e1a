// SPDX-License-Identifier: Apache-2.0
//! Hooks written for KubeVirt's own sidecar-shim.

use crate::bed::{Bed, Server, is_gone, until};
use crate::documents::{domain, vmi, vmi_with};
use crate::grpc::{DEADLINE_EXCEEDED, FAILED_PRECONDITION, RESOURCE_EXHAUSTED};
use crate::launcher::{CloudInit, Collected};
use serde_json::json;

const DOMAIN: &str = "shim/onDefineDomain";

fn start(bed: &Bed, more: &[&str]) -> (Server, Collected) {
    let dir = bed.path("shim");
    let mut arguments = vec!["--version", "v1alpha3", "--shim-dir", dir.to_str().unwrap()];
    arguments.extend(more);
    let server = bed.sidecar(&arguments);
    let sidecar = bed.collect();
    (server, sidecar)
}

#[test]
fn documents_come_as_arguments_and_the_result_is_what_is_printed() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_first", "sed -i 's|</name>|&<title>first</title>|' \"$_hook_domxml\"");
    bed.script(
        DOMAIN,
        "echo \"$#:$1:$3:$(basename $0)\" > OUT/args; printf %s \"$2\" > OUT/vmi; echo 'to the log' >&2
        printf %s \"$4\" | sed 's|first</title>|first, then shim</title>|;s|</cpu>|<feature name=\"svm\"/></cpu>|'",
    );
    let (server, sidecar) = start(&bed, &[]);
    assert_eq!(sidecar.points(), ["OnDefineDomain", "Shutdown"]);
    let mut answer = String::from_utf8(sidecar.define(domain().as_bytes(), &vmi("u")).unwrap()).unwrap();
    // The shim style is part of what is undone before it is done again.
    answer = String::from_utf8(sidecar.define(answer.as_bytes(), &vmi("u")).unwrap()).unwrap();
    assert_eq!(answer.matches("<title>first, then shim</title>").count(), 1, "{answer}");
    assert_eq!(answer.matches("\"svm\"").count(), 1, "{answer}");
    assert_eq!(bed.out("args"), "4:--vmi:--domain:onDefineDomain\n");
    assert_eq!(bed.out("vmi").as_bytes(), vmi("u"));
    assert!(server.log().contains("onDefineDomain: to the log"), "{}", server.log());
}

#[test]
fn a_directory_of_them_runs_in_order() {
    let bed = Bed::new();
    for (name, letter) in [("20_b", "b"), ("10_a", "a"), (".hidden", "x")] {
        bed.script(&format!("{DOMAIN}/{name}"), &format!("echo {letter} >> OUT/order; printf %s \"$4\""));
    }
    let (_server, sidecar) = start(&bed, &[]);
    sidecar.define(domain().as_bytes(), &vmi("u")).unwrap();
    assert_eq!(bed.out("order"), "a\nb\n");
}

#[test]
fn long_documents_are_named_by_their_files() {
    let bed = Bed::new();
    bed.script(
        DOMAIN,
        "echo \"$2\" | head -c 40 > OUT/vmi; wc -c < \"$virt_hooks_vmi_file\" > OUT/vmi-size
        case $4 in @*) echo long > OUT/domain; cat \"${4#@}\" ;; *) echo short > OUT/domain; printf %s \"$4\" ;; esac",
    );
    let (_server, sidecar) = start(&bed, &[]);
    sidecar.define(domain().as_bytes(), &vmi("u")).unwrap();
    assert_eq!(bed.out("domain"), "short\n");
    let long =
        domain().replace("</name>", &format!("</name><description>{}</description>", "x".repeat(200_000)));
    let vmi = vmi_with("v", json!({"note": "y".repeat(140_000)}));
    assert_eq!(String::from_utf8(sidecar.define(long.as_bytes(), &vmi).unwrap()).unwrap(), long);
    assert_eq!(bed.out("domain"), "long\n");
    assert!(bed.out("vmi").starts_with('@'), "{}", bed.out("vmi"));
    assert_eq!(bed.out("vmi-size").trim(), vmi.len().to_string());
    // One that knows nothing of it fails, and its failure says why.
    bed.script(DOMAIN, "printf %s \"$4\"");
    let failed = sidecar.define(long.as_bytes(), &vmi).unwrap_err();
    let (code, message) = failed.status();
    assert!(
        code == FAILED_PRECONDITION && message.contains("128 KiB or more is passed as @FILE"),
        "{message}"
    );
    assert_eq!(std::fs::read_dir(bed.path("run")).unwrap().count(), 0, "no document is left");
}

#[test]
fn those_that_fail_are_named() {
    let bed = Bed::new();
    bed.script(DOMAIN, "exit 0");
    let (mut server, sidecar) = start(&bed, &["--budget", "2s"]);
    for (script, code, said) in [
        ("exit 0", FAILED_PRECONDITION, "printed nothing"),
        ("echo; exit 0", FAILED_PRECONDITION, "printed nothing"),
        ("echo garbage", FAILED_PRECONDITION, "not a well-formed XML document"),
        ("printf '<network/>'", FAILED_PRECONDITION, "another domain"),
        ("printf %s \"$4\" | sed 's|<uuid>5|<uuid>6|'", FAILED_PRECONDITION, "another domain"),
        ("echo 'my words' >&2; exit 3", FAILED_PRECONDITION, "onDefineDomain: exit code 3: my words"),
        ("kill -9 $$", FAILED_PRECONDITION, "killed by SIGKILL"),
        ("yes | head -c 6000000", RESOURCE_EXHAUSTED, "printed 6000000 bytes"),
        (
            "echo $$ > OUT/pid; exec sleep 600",
            DEADLINE_EXCEEDED,
            "onDefineDomain: the time for this call is over",
        ),
    ] {
        bed.script(DOMAIN, script);
        let failed = sidecar.define(domain().as_bytes(), &vmi("u")).unwrap_err();
        let (found, message) = failed.status();
        assert!(found == code && message.contains(said), "{script}: {found} {message}");
        assert!(sidecar.info().is_ok() && server.is_running());
    }
    until("it is gone", || is_gone(&bed.wait_for("pid")));
}

#[test]
fn cloud_init_in_that_style() {
    let bed = Bed::new();
    bed.script("shim/preCloudInitIso", "echo \"$1 $3\" > OUT/args; printf %s \"$4\" | sed 's|old|new|'");
    let (_server, sidecar) = start(&bed, &["--cloud-init"]);
    assert_eq!(sidecar.points(), ["PreCloudInitIso", "Shutdown"]);
    let data = br#"{"UserData":"old","NoCloudMetaData":{}}"#.to_vec();
    let answer = sidecar.cloud_init(&CloudInit { no_cloud: b"{}".to_vec(), vmi: vmi("u"), data }).unwrap();
    assert_eq!(answer.data, br#"{"UserData":"new","NoCloudMetaData":{}}"#);
    assert_eq!(bed.out("args"), "--vmi --cloud-init\n");
}

#[test]
fn one_that_cannot_be_run_is_told_of_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new();
    bed.script(DOMAIN, "exit 0");
    std::fs::set_permissions(bed.path(DOMAIN), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (dir, sockets) = (bed.path("shim"), bed.path("sockets"));
    let arguments = [
        "sidecar",
        "--version",
        "v1alpha3",
        "--socket-dir",
        sockets.to_str().unwrap(),
        "--shim-dir",
        dir.to_str().unwrap(),
    ];
    let output = bed.command(&arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && said.contains("onDefineDomain is not executable"), "{said}");
}
