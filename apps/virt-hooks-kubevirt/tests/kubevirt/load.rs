// SPDX-License-Identifier: Apache-2.0
//! How much at once, in how much memory, how soon. KubeVirt gives a sidecar 64 MB and a fifth of a CPU.

use crate::bed::{Bed, PATIENCE, Server};
use crate::documents::{domain, vmi_with};
use crate::grpc::call_async;
use crate::launcher::{Define, Defined, Empty, Info};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

/// At most, in whatever build.
const MEMORY: u64 = 30 << 20;
/// To the first answer; unoptimised, and beside other work, it may be ten times as much.
const START: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 100 });

const CALLS: usize = 200;

/// The most memory that was ever resident, in bytes.
fn peak(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn two_hundred_calls_at_once_with_three_hooks_each() {
    let bed = Bed::new();
    bed.package(&[("title", "vm", "[a-z0-9]+", "t")]);
    bed.hook("before_vm_start", "10_title", "sed -i \"s|</name>|&<title>$title</title>|\" \"$_hook_domxml\"");
    bed.hook(
        "before_vm_start",
        "20_cpu",
        "sed -i \"s|</cpu>|<feature name='svm'/></cpu>|\" \"$_hook_domxml\"",
    );
    bed.hook("before_vm_start", "30_looks", "test -s \"$_hook_domxml\"");
    let server = bed.sidecar(&["--budget", "600s"]);
    let sidecar = bed.collect();
    let method = format!("kubevirt.hooks.{}.Callbacks/OnDefineDomain", sidecar.version);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let slowest_info = runtime.block_on(async {
        let calls: Vec<_> = (0..CALLS)
            .map(|n| {
                let (socket, method) = (sidecar.socket.clone(), method.clone());
                tokio::spawn(async move {
                    let vmi =
                        vmi_with(&format!("uid-{n}"), json!({"hooks.virt-hooks.io/title": format!("t{n}")}));
                    let request = Define { domain_xml: domain().into_bytes(), vmi };
                    call_async::<Defined>(&socket, &method, &request).await
                })
            })
            .collect();
        // Meanwhile Info waits for nobody.
        let mut slowest = Duration::ZERO;
        while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
            let asked = Instant::now();
            call_async::<Info>(&sidecar.socket, "kubevirt.hooks.info.Info/Info", &Empty {}).await.unwrap();
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (n, call) in calls.into_iter().enumerate() {
            let answer = String::from_utf8(call.await.unwrap().unwrap().domain_xml).unwrap();
            assert_eq!(answer.matches(&format!("<title>t{n}</title>")).count(), 1);
            assert_eq!(answer.matches("name='svm'").count(), 1);
        }
        slowest
    });
    let peak = peak(&server);
    println!("peak of resident memory: {} KiB; slowest Info: {slowest_info:?}", peak >> 10);
    assert!(peak < MEMORY, "{} KiB", peak >> 10);
    assert!(slowest_info < Duration::from_secs(u64::from(PATIENCE)), "{slowest_info:?}");
}

#[test]
fn the_first_answer_comes_soon() {
    let bed = Bed::new();
    bed.hook("before_vm_start", "50_x", "exit 0");
    let dir = bed.make("sockets/hook-sidecar-0");
    // The best of some: what the machine does beside is not the server's.
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let known: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
        let started = Instant::now();
        let server = bed.sidecar(&[]);
        let socket = loop {
            let new = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path());
            if let Some(socket) = new.into_iter().find(|p| !p.is_dir() && !known.contains(p)) {
                break socket;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{}", server.log());
            std::thread::yield_now();
        };
        let info: Result<Info, _> =
            crate::grpc::call(&socket, "kubevirt.hooks.info.Info/Info", &Empty {}, Duration::from_secs(60));
        info.unwrap();
        best = best.min(started.elapsed());
    }
    println!("from start to the first answer: {best:?}");
    assert!(best < START, "{best:?}");
}
