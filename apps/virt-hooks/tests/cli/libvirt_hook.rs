// SPDX-License-Identifier: Apache-2.0
//! `libvirt-hook`: calls as libvirt makes them, also those that only newer ones make.

use crate::case::{Case, DOMAIN, Done, UUID};
use std::fs;
use std::process::Command;

/// A case whose hooks at these points write their point and why into `log`.
fn spying(points: &[&str]) -> Case {
    let case = Case::new().variable("LC_ALL", "C");
    let log = case.path("log");
    points.iter().fold(case, |case, point| {
        case.hook(
            &format!("{point}/50_spy"),
            &format!(
                "echo \"$_hook_point $_hook_reason $_hook_role\" >>'{}'; head -c 3 \"$_hook_domxml\" >/dev/null",
                log.display()
            ),
        )
    })
}

fn log(done: &Done) -> Vec<String> {
    let text = fs::read_to_string(done.path("log")).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn call(case: Case, words: &[&str], xml: &str) -> Done {
    // What it noted of a VM that starts may stay.
    let done = case.says("libvirt-hook --").arguments(words).input(xml).run();
    let _ = fs::remove_dir_all(done.path("run/libvirt"));
    let _ = fs::remove_dir(done.path("run/vm"));
    done
}

const ENDS: [&str; 4] =
    ["after_vm_destroy", "after_vm_hibernate", "after_vm_migrate_source", "before_vm_destroy"];

#[test]
fn the_end_of_a_vm_has_its_reason() {
    for (extra, expected) in [
        ("-", &["after_vm_destroy unknown"][..]),
        ("shutdown", &["after_vm_destroy shutdown"]),
        ("crashed", &["after_vm_destroy crashed"]),
        ("from snapshot", &["after_vm_destroy from-snapshot"]),
        ("saved", &["after_vm_hibernate saved", "after_vm_destroy saved"]),
        ("migrated", &["after_vm_migrate_source migrated source", "after_vm_destroy migrated"]),
    ] {
        let done = call(spying(&ENDS), &["web1", "release", "end", extra], DOMAIN).ended(0);
        assert_eq!(log(&done), expected, "{extra}");
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
        let done = call(spying(&ENDS), &["web1", "stopped", "end", extra], DOMAIN).ended(0);
        assert!(log(&done).is_empty(), "once, not twice");
    }
}

#[test]
fn xml_is_written_where_libvirt_reads_it_and_only_when_it_changed() {
    let edit = "sed -i 's/web1/&<!-- seen -->/' \"$_hook_domxml\"";
    for (operation, point) in
        [("migrate", "before_vm_migrate_destination"), ("restore", "before_vm_dehibernate")]
    {
        let words = ["web1", operation, "begin", "-"];
        let done = call(Case::new().hook(&format!("{point}/50_edit"), edit), &words, DOMAIN).ended(0);
        assert_eq!(done.stdout, DOMAIN.replace("web1", "web1<!-- seen -->"));
        let done =
            call(Case::new().hook(&format!("{point}/50_look"), "cat \"$_hook_domxml\""), &words, DOMAIN)
                .ended(0);
        assert_eq!(done.stdout, "");
        let done = call(Case::new().hook(&format!("{point}/50_no"), "exit 1"), &words, DOMAIN).ended(1);
        assert_eq!(done.stdout, "");
    }
    let done =
        call(Case::new().hook("before_vm_start/50_edit", edit), &["web1", "prepare", "begin", "-"], DOMAIN)
            .ended(0);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("web1: hooks changed its XML at before_vm_start"), "{}", done.stderr);
}

#[test]
fn secrets_of_a_migration_show_nowhere() {
    let xml = DOMAIN.replace("<devices/>", "<devices><graphics type='vnc' passwd='tops3cret'/></devices>");
    let hook = "cat \"$_hook_domxml\" >&2; sed -i 's/<devices>/&<!-- x -->/' \"$_hook_domxml\"; exit 1";
    let done = call(
        Case::new().hook("before_vm_migrate_destination/50_tells", hook),
        &["web1", "migrate", "begin", "-"],
        &xml,
    )
    .ended(1);
    assert!(
        done.stderr.contains("50_tells: exit code 1") && !done.stderr.contains("tops3cret"),
        "{}",
        done.stderr
    );
    assert!(!done.read("state/journal.jsonl").contains("tops3cret"));
}

#[test]
fn hooks_speak_utf8_and_get_the_whole_xml() {
    let long = DOMAIN.replace("<devices/>", &format!("<devices/><!-- {} -->", "\u{e4}".repeat(300_000)));
    let check = format!(
        "[ \"$LC_ALL\" = C.UTF-8 ] && [ \"$vmId\" = {UUID} ] && [ \"$(wc -c <\"$_hook_domxml\")\" = {} ]",
        long.len()
    );
    let case = Case::new().variable("LC_ALL", "C").hook("before_vm_start/50_check", &check);
    call(case, &["web1", "prepare", "begin", "-"], &long).ended(0);
}

#[test]
fn a_broken_host_refuses_starts_and_ends_nothing() {
    let broken = || Case::new().file("config.toml", "nonsense = 1\n");
    for (operation, code) in
        [("prepare", 1), ("migrate", 1), ("restore", 1), ("started", 0), ("reconnect", 0), ("release", 0)]
    {
        let done = call(broken(), &["web1", operation, "begin", "-"], DOMAIN).ended(code);
        assert!(
            done.stderr.starts_with("virt-hooks: config.toml:1:1: unknown key")
                || done.stderr.contains("config.toml:1:1"),
            "{}",
            done.stderr
        );
        let done = call(Case::new(), &["web1", operation, "begin", "-"], "no xml").ended(code);
        assert!(done.stderr.contains("web1: domain XML: "), "{}", done.stderr);
    }
}

#[test]
fn called_by_its_link_it_knows_its_driver_and_takes_any_name() {
    for (name, xml) in
        [("install", DOMAIN.replace("web1", "install")), ("--help", DOMAIN.replace("web1", "--help"))]
    {
        let case = spying(&["before_vm_start"])
            .link("hooks.d/qemu.d/50-virt-hooks", env!("CARGO_BIN_EXE_virt-hooks"));
        let mut command = Command::new(case.path("hooks.d/qemu.d/50-virt-hooks"));
        let known = case.command();
        command.env_clear().envs(known.get_envs().filter_map(|(n, v)| Some((n, v?))));
        command.args([name, "prepare", "begin", "-"]);
        let done = case.input(&xml).run_as(command);
        let _ = fs::remove_dir_all(done.path("run/libvirt"));
        assert_eq!(log(&done.ended(0)), ["before_vm_start start"], "{name}");
    }
}

#[test]
fn what_is_no_call_is_told() {
    let line = Case::new().says("libvirt-hook a b").run().refused(2);
    assert!(line.contains("4"), "{line}");
}

#[test]
fn it_is_set_up_looked_at_and_taken_away_again() {
    let set_up = |verb: &str| {
        Case::new().file("image/etc/hostname", "").says(&format!("libvirt-hook {verb} --root image"))
    };
    let image = set_up("install").run().ended(0);
    assert_eq!(
        image.stdout,
        "image/etc/libvirt/hooks/qemu.d/50-virt-hooks: made\nimage/etc/libvirt/hooks/network.d/50-virt-hooks: made\n\
         no daemon of libvirt's runs: the next one will see it when it starts\n"
    );
    let link = image.path("image/etc/libvirt/hooks/qemu.d/50-virt-hooks");
    assert!(fs::read_link(link).unwrap().ends_with("bin/virt-hooks"));
    let status = set_up("status").run().ended(1);
    assert!(status.stdout.contains("qemu.d/50-virt-hooks: not installed"), "{}", status.stdout);
    let removed = set_up("remove").run().ended(0);
    assert!(removed.stdout.contains("qemu.d/50-virt-hooks: not there"), "{}", removed.stdout);
    let theirs =
        set_up("install").file("image/etc/libvirt/hooks/qemu.d/50-virt-hooks", "theirs").run().refused(3);
    assert!(theirs.contains("somebody else put it there"), "{theirs}");
}
