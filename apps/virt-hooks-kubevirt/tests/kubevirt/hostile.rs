// SPDX-License-Identifier: Apache-2.0
//! Input and hooks that misbehave: a status for whoever asked, and the server goes on.

use crate::bed::{Bed, is_gone, until};
use crate::documents::{domain, vmi};
use crate::grpc::{
    DEADLINE_EXCEEDED, FAILED_PRECONDITION, Failed, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE, call,
};
use crate::launcher::{Collected, Define, Defined};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn refused(sidecar: &Collected, domain: &[u8], vmi: &[u8]) -> (u32, String) {
    let failed = sidecar.define(domain, vmi).unwrap_err();
    let (code, message) = failed.status();
    assert!(sidecar.info().is_ok(), "after {message}");
    (code, message.to_owned())
}

#[test]
fn malformed_input_is_refused() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_ran", "echo ran >> OUT/ran");
    let mut server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    let good = domain();
    let deep = "<a>".repeat(200_000);
    let cases: Vec<(&[u8], Vec<u8>, &str)> = vec![
        (b"", vmi("u"), "domain XML of shop/web: empty"),
        (b"<domain>", vmi("u"), "domain XML of shop/web: "),
        (b"<network/>", vmi("u"), "the root element is <network>, not <domain>"),
        (b"\xff\xfe", vmi("u"), "not UTF-8"),
        (b"<!DOCTYPE d [<!ENTITY e 'x'>]><domain>&e;</domain>", vmi("u"), "document type"),
        (b"{}", vmi("u"), "domain XML"),
        (deep.as_bytes(), vmi("u"), "domain XML"),
        (good.as_bytes(), b"".to_vec(), "VMI: empty"),
        (good.as_bytes(), b"{".to_vec(), "VMI: not the JSON"),
        (good.as_bytes(), b"null".to_vec(), "VMI: "),
        (good.as_bytes(), b"{}".to_vec(), "VMI: it has no metadata.uid"),
        (good.as_bytes(), b"[".repeat(100_000), "VMI: not the JSON"),
        (b"", b"".to_vec(), "VMI: empty"),
    ];
    for (xml, vmi, said) in cases {
        let (code, message) = refused(&sidecar, xml, &vmi);
        assert!(code == INVALID_ARGUMENT && message.contains(said), "{code} {message} (expected {said})");
    }
    assert_eq!(bed.out("ran"), "");
    assert!(server.is_running());
}

#[test]
fn a_peer_that_speaks_nonsense_harms_only_itself() {
    let bed = Bed::new();
    let mut server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    for nonsense in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"]
    {
        let mut stream = UnixStream::connect(&sidecar.socket).unwrap();
        let _ = stream.write_all(nonsense);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // One that says nothing at all keeps nobody waiting.
    let _silent = UnixStream::connect(&sidecar.socket).unwrap();
    assert!(sidecar.info().is_ok() && server.is_running());
    // A message that is none.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Wrong {
        #[prost(uint64, tag = "1")]
        number: u64,
    }
    let method = "kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain";
    let failed = call::<Defined>(&sidecar.socket, method, &Wrong { number: 7 }, Duration::from_secs(60));
    assert!(matches!(failed, Err(Failed::Status(..))), "{failed:?}");
    let failed =
        call::<Defined>(&sidecar.socket, "no.Such/Thing", &Wrong { number: 7 }, Duration::from_secs(60));
    assert_eq!(failed.unwrap_err().status().0, crate::grpc::UNIMPLEMENTED);
}

#[test]
fn hooks_that_fail_in_every_way() {
    let cases: &[(&str, &str)] = &[
        ("kill -9 $$", "killed by SIGKILL"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("exit 1", "exit code 1"),
        (": > \"$_hook_domxml\"", "empty"),
        ("echo '<domain>' > \"$_hook_domxml\"", "not a well-formed XML document"),
        ("head -c 4096 /dev/urandom > \"$_hook_domxml\"", "not a well-formed XML document"),
        ("echo '<network/>' > \"$_hook_domxml\"", "another root element"),
        (
            "sed -i 's|<uuid>.*</uuid>|<uuid>00000000-0000-0000-0000-000000000001</uuid>|' \"$_hook_domxml\"",
            "another UUID",
        ),
        ("rm \"$_hook_domxml\"", "removed the payload file"),
        ("rm \"$_hook_domxml\"; mkfifo \"$_hook_domxml\"", "replaced the payload file"),
        ("head -c 5000000 /dev/zero > \"$_hook_domxml\"", "payload"),
        ("yes | head -c 3000000 >&2; exit 2", "exit code 2"),
    ];
    let bed = Bed::new();
    let mut server = bed.sidecar(&[]);
    let mut sidecar = None;
    for (script, said) in cases {
        bed.hook("before_vm_start", "50_bad", script);
        let sidecar = sidecar.get_or_insert_with(|| bed.collect());
        let (code, message) = refused(sidecar, domain().as_bytes(), &vmi("u"));
        assert_eq!(code, FAILED_PRECONDITION, "{script}: {message}");
        assert!(message.contains("50_bad") && message.contains(said), "{script}: {message}");
        assert!(message.len() < 2048, "{}", message.len());
    }
    assert!(server.is_running());
}

#[test]
fn a_hook_that_hangs_is_ended_before_the_client_gives_up() {
    let bed = Bed::new();
    // It ignores TERM, and so does what it started.
    bed.hook(
        "before_vm_start",
        "50_hangs",
        "trap '' TERM; sleep 600 & echo $! > OUT/child; echo $$ > OUT/pid; while :; do sleep 600; done",
    );
    bed.hook("before_vm_start", "60_never", "echo ran > OUT/never");
    let mut server = bed.sidecar(&["--budget", "500ms"]);
    let sidecar = bed.collect();
    let started = Instant::now();
    let (code, message) = refused(&sidecar, domain().as_bytes(), &vmi("u"));
    assert_eq!(code, DEADLINE_EXCEEDED, "{message}");
    assert!(message.contains("before_vm_start") && message.contains("50_hangs"), "{message}");
    assert!(message.contains("the time for this call is over"), "{message}");
    // Half a second, two for TERM; the rest is the machine's.
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
    for pid in ["pid", "child"] {
        until("its processes are gone", || is_gone(&bed.wait_for(pid)));
    }
    assert_eq!(bed.out("never"), "");
    assert!(server.is_running());
}

#[test]
fn a_client_that_waits_less_long_is_told_in_time() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_hangs", "trap '' TERM; while :; do sleep 600; done");
    let _server = bed.sidecar(&["--budget", "600s"]);
    let sidecar = bed.collect();
    let request = Define { domain_xml: domain().into_bytes(), vmi: vmi("u") };
    let method = "kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain";
    // Its hook is dead after four seconds more than a call has, so a call has 20.
    let failed = call::<Defined>(&sidecar.socket, method, &request, Duration::from_secs(24)).unwrap_err();
    let (code, message) = failed.status();
    assert!(code == DEADLINE_EXCEEDED && message.contains("50_hangs"), "{message}");
}

#[test]
fn deep_documents() {
    let bed = Bed::new();
    bed.hook(
        "before_vm_start",
        "50_adds",
        "sed -i 's|</cpu>|<feature name=\"svm\"/></cpu>|;s|<z/>|<z/><y/>|' \"$_hook_domxml\"",
    );
    let mut server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    let mut taken = 0;
    for depth in [100, 250, 260, 1000, 5000, 50_000] {
        let deep = format!("{}<z/>{}", "<a>".repeat(depth), "</a>".repeat(depth));
        let xml = domain().replace("</cpu>", &format!("{deep}</cpu>"));
        let vmi = vmi(&format!("u{depth}"));
        match sidecar.define(xml.as_bytes(), &vmi) {
            Ok(first) => {
                let again = String::from_utf8(sidecar.define(&first, &vmi).unwrap()).unwrap();
                assert_eq!((again.matches("\"svm\"").count(), again.matches("<y/>").count()), (1, 1));
                taken += 1;
            }
            Err(failed) => assert_eq!(failed.status().0, INVALID_ARGUMENT, "{depth}"),
        }
        if depth == 5000 {
            // What hooks leave is no deeper.
            bed.hook(
                "before_vm_start",
                "60_deep",
                &format!("sed -i 's|</cpu>|{deep}</cpu>|' \"$_hook_domxml\""),
            );
            let failed = sidecar.define(domain().as_bytes(), &vmi).unwrap_err();
            assert!(
                failed.status().0 == FAILED_PRECONDITION && failed.status().1.contains("256 deep"),
                "{failed:?}"
            );
        }
        assert!(server.is_running());
    }
    assert_eq!(taken, 2);
}

#[test]
fn a_hook_with_a_deadline_of_its_own_is_ended_at_it() {
    let bed = Bed::new();
    std::fs::write(bed.path("config.toml"), "[hooks.50_slow]\ntimeout = \"200ms\"\n").unwrap();
    bed.hook("before_vm_start", "50_slow", "exec sleep 600");
    let _server = bed.sidecar(&[]);
    let (code, message) = refused(&bed.collect(), domain().as_bytes(), &vmi("u"));
    assert!(
        code == DEADLINE_EXCEEDED && message.contains("50_slow") && message.contains("200ms"),
        "{message}"
    );
}

#[test]
fn term_in_the_middle_of_a_call_ends_it_and_leaves_nothing() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_long", "sleep 600 & echo $! > OUT/child; echo $$ > OUT/pid; wait");
    let mut server = bed.sidecar(&["--at-once", "1"]);
    let sidecar = bed.collect();
    let running = std::thread::spawn({
        let sidecar = sidecar.clone();
        move || sidecar.define(domain().as_bytes(), &vmi("u"))
    });
    let pids = [bed.wait_for("pid"), bed.wait_for("child")];
    // One that waits for its turn is answered as well.
    let waiting = std::thread::spawn({
        let sidecar = sidecar.clone();
        move || sidecar.define(domain().as_bytes(), &vmi("other"))
    });
    server.terminate();
    let failed = running.join().unwrap().unwrap_err();
    let (code, message) = failed.status();
    assert_eq!(code, UNAVAILABLE, "{message}");
    assert!(message.contains("50_long") && message.contains("is stopping"), "{message}");
    match waiting.join().unwrap() {
        // It came too late, or in time to be told.
        Err(Failed::Dial | Failed::Broken(_)) => {}
        other => assert_eq!(other.unwrap_err().status().0, UNAVAILABLE),
    }
    server.ended();
    assert!(!sidecar.socket.exists());
    for pid in pids {
        until("its processes are gone", || is_gone(&pid));
    }
    assert_eq!(std::fs::read_dir(bed.path("run")).unwrap().count(), 0, "no payload is left");
}

#[test]
fn calls_for_one_vm_run_one_after_the_other_and_others_beside() {
    let bed = Bed::new();
    bed.hook(
        "before_vm_start",
        "50_alone",
        "mkdir OUT/in-$vmId || echo overlap >> OUT/overlap; echo $$ >> OUT/runs
        [ $vmId = 5d307ca9-b3ef-428c-8861-06e72d69f223 ] || { echo go > OUT/go; }
        [ -e OUT/first ] || { echo x > OUT/first; until [ -e OUT/go ]; do sleep 0.02; done; }
        rmdir OUT/in-$vmId",
    );
    let _server = bed.sidecar(&[]);
    let sidecar = bed.collect();
    let call = |uid: &'static str, xml: String| {
        let sidecar = sidecar.clone();
        std::thread::spawn(move || sidecar.define(xml.as_bytes(), &vmi(uid)).unwrap())
    };
    let mut threads = vec![call("a", domain())];
    bed.wait_for("first");
    threads.extend([call("a", domain()), call("a", domain())]);
    // Another VM is let in while the first is kept waiting, and lets it go.
    threads.push(call("b", domain().replace("5d307ca9", "00000000")));
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(bed.out("overlap"), "");
    assert_eq!(bed.out("runs").lines().count(), 4);
}

#[test]
fn documents_near_the_limit() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_small", "sed -i 's|</name>|&<title>t</title>|' \"$_hook_domxml\"");
    let server = bed.sidecar(&["--budget", "600s"]);
    let sidecar = bed.collect();
    let padded = |size: usize| {
        let comment = |n: usize| format!("<description>{}</description>", "x".repeat(n));
        let base = domain().len() + comment(0).len();
        domain().replace("</name>", &format!("</name>{}", comment(size - base)))
    };
    let large = padded(4_194_000);
    for _ in 0..2 {
        let answer = sidecar.define(large.as_bytes(), &vmi("u")).unwrap();
        assert_eq!(answer.len(), large.len() + "<title>t</title>".len());
        assert_eq!(String::from_utf8(answer).unwrap().matches("<title>").count(), 1);
    }
    // What fits no answer: the hook that made it so is named.
    let (code, message) = refused(&sidecar, padded((4 << 20) - 70).as_bytes(), &vmi("u"));
    assert!(code == FAILED_PRECONDITION && message.contains("50_small"), "{code} {message}");
    // More than anybody has.
    let request = Define { domain_xml: vec![b' '; 17 << 20], vmi: vmi("u") };
    let method = "kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain";
    let failed = call::<Defined>(&sidecar.socket, method, &request, Duration::from_secs(100)).unwrap_err();
    assert!(matches!(&failed, Failed::Status(11 | RESOURCE_EXHAUSTED, _) | Failed::Broken(_)), "{failed:?}");
    assert!(sidecar.info().is_ok(), "{}", server.log());
}
