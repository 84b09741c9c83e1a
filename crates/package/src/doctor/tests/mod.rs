// SPDX-License-Identifier: Apache-2.0
//! Each kind of finding on a real tree of files, and, where its command needs no filling in, the command run.

mod files;
mod hosts;
mod packages;
mod programs;
mod tree;

use super::*;
use std::collections::BTreeSet;
use tree::{SH, Tree};

/// Tests of one kind of finding each, and the list of the kinds.
macro_rules! cases {
    ($($kind:ident: $test:ident => $body:expr;)+) => {
        pub(super) const COVERED: &[crate::doctor::Kind] = &[$(crate::doctor::Kind::$kind),+];

        $(
            #[test]
            fn $test() {
                let body: fn(&mut Tree, crate::doctor::Kind) = $body;
                body(&mut Tree::new(), crate::doctor::Kind::$kind);
            }
        )+
    };
}
use cases;

#[test]
fn every_kind_has_a_case() {
    let covered: BTreeSet<Kind> =
        [files::COVERED, programs::COVERED, hosts::COVERED, packages::COVERED, crate::check::tests::COVERED]
            .into_iter()
            .flatten()
            .copied()
            .collect();
    let missing: Vec<_> = Kind::ALL.iter().filter(|k| !covered.contains(k)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn names_of_kinds_are_unique_and_kebab() {
    let words: BTreeSet<&str> = Kind::ALL.iter().map(|k| k.word()).collect();
    assert_eq!(words.len(), Kind::ALL.len());
    assert!(words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
}

#[test]
fn a_sound_host_has_no_findings() {
    let t = Tree::new();
    t.hook("10_sh", SH);
    t.hook(
        "20_py",
        "#!/usr/bin/env python3\nimport hooking, shared\nhooking.write_domxml(hooking.read_domxml())\n",
    );
    t.hook_at(tree::POINT, "shared.py", "def f():\n    pass\n", 0o644);
    t.hook_at(tree::POINT, "smbios_utils.py", "#!/usr/bin/python3\n", 0o644);
    t.hook_at(tree::POINT, "README.md", "# what is here\n", 0o644);
    t.hook_at(tree::POINT, ".gitkeep", "", 0o644);
    t.hook("30_binary", std::fs::read("/bin/true").unwrap());
    t.hook("40_blanks", "#! /bin/sh  \nexit 0\n");
    t.link("/bin/true", "vendor/after_vm_start/50_link");
    t.dir("vendor/before_vm_start/lib");
    t.dir("vendor/__pycache__");
    assert_eq!(t.examine(), []);
    assert_eq!(render(&t.examine(), false), "nothing wrong was found\n");
}

#[test]
fn only_the_points_asked_for_are_examined() {
    let t = Tree::new();
    t.hook_at("after_vm_start", "50_a", SH, 0o644);
    t.hook_at("before_vm_start", "50_b", SH.replace("sh", "nosuch"), 0o755);
    t.hook_at("", "stray", SH, 0o755);
    let host = t.load().unwrap();
    let kinds = |points: &[&str]| -> Vec<Kind> {
        let points: Vec<String> = points.iter().map(|&p| p.to_owned()).collect();
        examine_on(&host, &points, &t.machine).iter().map(|f| f.kind).collect()
    };
    assert_eq!(kinds(&["after_vm_start"]), [Kind::NotExecutable]);
    assert_eq!(kinds(&["before_vm_start"]), [Kind::InterpreterMissing]);
    assert_eq!(kinds(&["before_vm_cont"]), []);
    assert_eq!(kinds(&[]), [Kind::StrayFile, Kind::NotExecutable, Kind::InterpreterMissing]);
}

/// The engine says what runs; whatever of it does not, and was meant to, has a finding.
#[test]
fn what_the_engine_skips_is_explained() {
    let t = Tree::new();
    t.hook("10_plain", SH);
    t.hook_at(tree::POINT, "20_no_x", SH, 0o644);
    t.hook("30_copy~", SH);
    t.hook("40_twice", SH);
    t.hook("50_masked", SH);
    t.link("/nowhere", "vendor/before_vm_start/60_dangling");
    t.link("70_loop", "vendor/before_vm_start/70_loop");
    t.dir("admin/before_vm_start");
    t.file("admin/before_vm_start/40_twice", SH, 0o755);
    t.link("/dev/null", "admin/before_vm_start/50_masked");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        t.at("vendor/before_vm_start/80_fifo"),
        rustix::fs::FileType::Fifo,
        0o755.into(),
        0,
    )
    .unwrap();
    let host = t.load().unwrap();
    let engine = virt_hooks_engine::Engine::new(host.settings.clone());
    let chain = engine.chain(host.catalogue.get(tree::POINT).unwrap()).unwrap();
    let found: BTreeSet<_> = t.examine().into_iter().map(|f| f.path).collect();
    assert_eq!(chain.skipped.len(), 7);
    assert_eq!(found, chain.skipped.into_iter().map(|s| s.path).collect());
}

#[test]
fn findings_as_json_and_as_text() {
    let t = Tree::new();
    t.hook_at(tree::POINT, "50_a\x1b[31m", SH, 0o644);
    let findings = t.examine();
    assert!(is_broken(&findings));
    let json = serde_json::to_value(&findings).unwrap();
    // In the text: a map in memory is sorted, or not, by a feature that other crates of a build decide on.
    let text = serde_json::to_string(&findings[0]).unwrap();
    let keys = ["severity", "kind", "path", "point", "what", "why", "mend"];
    assert!(keys.map(|k| text.find(&format!("\"{k}\":")).unwrap()).is_sorted(), "{text}");
    assert_eq!(json[0].as_object().unwrap().len(), keys.len());
    assert_eq!(
        (&json[0]["severity"], &json[0]["kind"], &json[0]["point"]),
        (&"broken".into(), &"not-executable".into(), &"before_vm_start".into())
    );
    let plain = render(&findings, false);
    assert!(!plain.contains('\x1b'), "{plain:?}");
    assert!(plain.ends_with("\n1 broken\n"), "{plain}");
    assert!(render(&findings, true).contains("\x1b["));
}

#[test]
fn the_worst_comes_first() {
    let t = Tree::new();
    t.hook("10_open", SH);
    t.mode("vendor/before_vm_start/10_open", 0o775);
    t.hook_at(tree::POINT, "20_no_x", SH, 0o644);
    t.hook("30_no_line", "exit 0\n");
    let severities: Vec<Severity> = t.examine().iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Broken, Severity::Warning, Severity::Hint]);
    assert!(!is_broken(&t.examine()[1..]));
}
