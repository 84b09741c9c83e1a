// SPDX-License-Identifier: Apache-2.0
//! VDSM contract, errors (section 5.7).

use crate::bench_bed::{Bed, DOMAIN};
use virt_hooks_contract::Verdict;
use virt_hooks_engine::HookError;

#[test]
fn before_vm_start_keeps_the_result_first_and_raises_then() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_edit", "sed -i s/web/edited/ \"$_hook_domxml\"");
    bed.hook("before_vm_start/20_fail", "echo no >&2; exit 2");
    let mut kept = Vec::new();
    let error = bed.fire("before_vm_start", DOMAIN).settle(|d| kept = d.bytes().to_vec()).unwrap_err();
    assert_eq!(kept, DOMAIN.replace("web", "edited").into_bytes());
    assert_eq!(error.to_string(), "Hook Error: 20_fail: exit code 2: no");
    assert_eq!(HookError::CODE, 1500);
}

#[test]
fn the_text_is_bounded() {
    let bed = Bed::new();
    for i in 0..30 {
        bed.hook(&format!("before_vm_start/{i:02}_x"), "head -c 100000 /dev/zero | tr '\\0' e >&2; exit 1");
    }
    let o = bed.fire("before_vm_start", DOMAIN);
    let error = o.error_text();
    assert!(error.len() < 17 << 10, "{}", error.len());
    assert!(error.ends_with("[...]"));
    assert!(o.runs[0].stderr.len() < 70_000);
}

#[test]
fn the_report_has_the_published_shape() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_edit", "sed -i s/web/x/ \"$_hook_domxml\"; echo hi >&2");
    bed.hook("before_vm_start/20_kill", "kill -KILL $$");
    bed.hook("before_vm_start/30_backup.bak", "");
    let o = bed.fire("before_vm_start", DOMAIN);
    let r = serde_json::to_value(o.report(true)).unwrap();
    assert_eq!(
        (r["point"].as_str(), r["verdict"].as_str(), r["changed"].as_bool()),
        (Some("before_vm_start"), Some("veto"), Some(true))
    );
    assert_eq!(r["event_id"].as_str().unwrap().len(), 32);
    let (a, b) = (&r["runs"][0], &r["runs"][1]);
    assert!(a["path"].as_str().unwrap().ends_with("before_vm_start/10_edit"));
    assert_eq!(
        (a["exit_code"].as_i64(), a["signal"].as_str(), a["timed_out"].as_bool()),
        (Some(0), None, Some(false))
    );
    assert_eq!((a["stderr"].as_str(), a["changed"].as_bool()), (Some("hi\n"), Some(true)));
    assert!(a["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(a["diff"].as_str().unwrap().contains("+  <name>x</name>"));
    assert_ne!(a["sha256"][0], a["sha256"][1]);
    assert!(b["exit_code"].is_null());
    assert_eq!(b["signal"], "SIGKILL");
    assert!(r["skipped"][0]["reason"].as_str().unwrap().contains("backup"));
    assert_eq!(o.verdict, Verdict::Veto);
}
