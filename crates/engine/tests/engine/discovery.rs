// SPDX-License-Identifier: Apache-2.0
//! VDSM contract, discovery (section 5.2), and the administrator's layer.

use crate::bench_bed::{Bed, DOMAIN, names, point};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use virt_hooks_engine::{Engine, Event, SkipReason};

const POINT: &str = "before_vm_start";

#[test]
fn order_is_that_of_bytes() {
    let bed = Bed::new();
    for name in ["z", "10_a", "9_b", "B", "_u", "a", "-dash", "with space", "\u{e9}-acute"] {
        bed.hook(&format!("{POINT}/{name}"), "");
    }
    let bad = bed.path("vendor").join(POINT).join(OsStr::from_bytes(b"bad\xff"));
    fs::copy(bed.path("vendor").join(POINT).join("a"), bad).unwrap();
    let chain = bed.engine().chain(&point(POINT)).unwrap();
    let order: Vec<_> = chain.hooks.iter().map(|h| h.name().as_bytes().to_vec()).collect();
    let expected: Vec<&[u8]> = vec![
        b"-dash",
        b"10_a",
        b"9_b",
        b"B",
        b"_u",
        b"a",
        b"bad\xff",
        b"with space",
        b"z",
        "\u{e9}-acute".as_bytes(),
    ];
    assert_eq!(order, expected);
}

#[test]
fn what_runs_and_what_does_not() {
    let bed = Bed::new();
    let at = |n: &str| bed.path("vendor").join(POINT).join(n);
    let target = bed.file("elsewhere/real", "#!/bin/sh\n", 0o755);
    bed.hook(&format!("{POINT}/50_runs"), "");
    bed.hook(&format!("{POINT}/.hidden"), "");
    bed.file(&format!("{POINT}/foo_utils.py"), "x = 1\n", 0o644);
    fs::create_dir(at("__pycache__")).unwrap();
    symlink(&target, at("60_link")).unwrap();
    symlink("/no/such/file", at("61_dangling")).unwrap();
    symlink("/tmp", at("62_to_directory")).unwrap();
    symlink(at("63_loop"), at("63_loop")).unwrap();
    symlink(at("foo_utils.py"), at("64_to_not_executable")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("65_socket")).unwrap();
    let chain = bed.engine().chain(&point(POINT)).unwrap();
    let run: Vec<_> = chain.hooks.iter().map(|h| h.name().to_str().unwrap()).collect();
    assert_eq!(run, ["50_runs", "60_link"]);
    assert_eq!(chain.hooks[1].path, at("60_link"), "argv[0] is the link");
    let skipped: Vec<_> = chain
        .skipped
        .iter()
        .map(|s| (s.path.file_name().unwrap().to_str().unwrap(), s.reason.to_string()))
        .collect();
    let expect = |name: &str, reason: &str| {
        assert!(skipped.contains(&(name, reason.to_owned())), "{name}: {skipped:?}");
    };
    expect("foo_utils.py", "not executable");
    expect("61_dangling", "a link that leads nowhere");
    expect("63_loop", "a link that leads nowhere");
    expect("64_to_not_executable", "not executable");
    expect("65_socket", "not a regular file");
    assert_eq!(skipped.len(), 5, "{skipped:?}");
}

#[test]
fn nothing_runs_on_a_noexec_mount() {
    let bed = Bed::new();
    let layer = bed.path("vendor");
    fs::create_dir(&layer).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=755,noexec", "tmpfs"])
        .arg(&layer)
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        eprintln!("not tested: no tmpfs can be mounted here");
        return;
    }
    bed.hook(&format!("{POINT}/50_x"), "");
    let chain = bed.engine().chain(&point(POINT));
    std::process::Command::new("umount").arg(&layer).status().unwrap();
    let chain = chain.unwrap();
    assert!(chain.hooks.is_empty());
    assert_eq!(chain.skipped[0].reason, SkipReason::NotExecutable);
}

#[test]
fn executable_is_asked_for_who_will_run_it() {
    let mut bed = Bed::new();
    bed.file(&format!("{POINT}/50_owner_only"), "#!/bin/sh\n", 0o700);
    bed.file(&format!("{POINT}/60_all"), "#!/bin/sh\n", 0o755);
    bed.settings.hook_user = Some(virt_hooks_spawn::Credentials { uid: 54321, gid: 54321, groups: vec![] });
    let hooks = |name| bed.engine().chain(&point(name)).unwrap().hooks.len();
    assert_eq!(hooks(POINT), 1);
    bed.file("before_network_setup/50_owner_only", "#!/bin/sh\n", 0o700);
    assert_eq!(hooks("before_network_setup"), 1, "a root point runs as root");
}

#[test]
fn a_hook_dropped_in_takes_effect_at_once() {
    let bed = Bed::new();
    let engine = bed.engine();
    let point = point(POINT);
    let dir = bed.path("vendor").join(POINT);
    let count = || engine.chain(&point).unwrap().hooks.len();
    assert_eq!(count(), 0, "no directory");
    fs::create_dir_all(&dir).unwrap();
    for _ in 0..50 {
        assert_eq!(count(), 0, "an empty directory");
        let path = bed.hook(&format!("{POINT}/50_new"), "");
        assert_eq!(count(), 1);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn an_empty_directory_is_remembered_and_forgotten_again() {
    let bed = Bed::new();
    let engine = bed.engine();
    let point = point(POINT);
    let dir = bed.path("vendor").join(POINT);
    fs::create_dir_all(&dir).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::open(&dir).unwrap().set_modified(old).unwrap();
    // The change of the times itself is a change: wait until the kernel's clock has passed it.
    while std::time::SystemTime::now() < fs_ctime(&dir) + std::time::Duration::from_millis(150) {
        std::thread::yield_now();
    }
    assert_eq!(engine.chain(&point).unwrap().hooks.len(), 0);
    assert_eq!(engine.chain(&point).unwrap().hooks.len(), 0);
    bed.hook(&format!("{POINT}/50_new"), "");
    fs::File::open(&dir).unwrap().set_modified(old).unwrap();
    assert_eq!(engine.chain(&point).unwrap().hooks.len(), 1, "even when somebody turns the times back");
}

fn fs_ctime(path: &std::path::Path) -> std::time::SystemTime {
    use std::os::unix::fs::MetadataExt;
    let m = fs::metadata(path).unwrap();
    std::time::UNIX_EPOCH
        + std::time::Duration::new(m.ctime().try_into().unwrap(), m.ctime_nsec().try_into().unwrap())
}

#[test]
fn the_list_is_fixed_before_the_first_hook() {
    let bed = Bed::new();
    let dir = bed.path("vendor").join(POINT);
    let d = dir.display();
    bed.hook(&format!("{POINT}/10_first"), &format!("rm '{d}/20_removed'; cp \"$0\" '{d}/30_added'"));
    bed.hook(&format!("{POINT}/20_removed"), "");
    let o = bed.fire(POINT, DOMAIN);
    assert_eq!(names(&o), ["10_first", "20_removed"]);
    assert!(
        o.runs[1].failed() && o.runs[1].problem.as_ref().unwrap().contains("missing"),
        "{:?}",
        o.runs[1].problem
    );
}

#[test]
fn the_administrators_layer_overrides_masks_and_adds() {
    let bed = Bed::new();
    for name in ["10_kept", "20_overridden", "30_masked"] {
        bed.hook(&format!("{POINT}/{name}"), &bed.say("vendor $0"));
    }
    bed.admin(&format!("{POINT}/20_overridden"), &bed.say("admin"));
    bed.admin(&format!("{POINT}/15_added"), &bed.say("added"));
    symlink("/dev/null", bed.path("admin").join(POINT).join("30_masked")).unwrap();
    let o = bed.fire(POINT, DOMAIN);
    assert_eq!(names(&o), ["10_kept", "15_added", "20_overridden"]);
    assert_eq!(bed.log()[1..], ["added", "admin"]);
    let reasons: Vec<_> = o.skipped.iter().map(|s| &s.reason).collect();
    assert!(matches!(reasons[..], [SkipReason::Overridden(_), SkipReason::Masked(_)]), "{reasons:?}");
}

#[test]
fn a_file_that_cannot_run_does_not_override() {
    let bed = Bed::new();
    bed.hook(&format!("{POINT}/20_x"), &bed.say("vendor"));
    bed.file(&format!("../admin/{POINT}/20_x"), "#!/bin/sh\n", 0o644);
    let o = bed.fire(POINT, DOMAIN);
    assert_eq!(bed.log(), ["vendor"]);
    assert_eq!(o.skipped[0].reason, SkipReason::NotExecutable);
}

#[test]
fn no_hooks_costs_nothing_and_changes_nothing() {
    let bed = Bed::new();
    let o = bed.fire(POINT, "not even <xml");
    assert!(!o.changed && o.runs.is_empty() && o.event_id.is_empty());
    assert_eq!(o.payload.bytes(), b"not even <xml");
    assert!(!bed.path("run").exists(), "not even the run directory was made");
}

#[test]
fn a_directory_that_cannot_be_listed_is_not_a_silent_skip() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("vendor")).unwrap();
    fs::write(bed.path("vendor").join(POINT), "a file in its place").unwrap();
    let o = Engine::new(bed.settings.clone()).fire(&Event::new(&point(POINT), DOMAIN));
    assert!(o.trouble.is_some());
    let error = o.into_result().unwrap_err().to_string();
    assert!(error.contains("list the hooks in") && error.contains("Not a directory"), "{error}");
}

#[test]
fn what_others_can_write_or_replace_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new();
    bed.hook(&format!("{POINT}/10_x"), "");
    let dir = bed.path("vendor").join(POINT);
    let warnings = |file: u32, directory: u32| {
        fs::set_permissions(dir.join("10_x"), fs::Permissions::from_mode(file)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(directory)).unwrap();
        bed.fire(POINT, DOMAIN).warnings
    };
    assert!(warnings(0o755, 0o755).is_empty());
    for (file, directory) in [(0o775, 0o755), (0o757, 0o755), (0o755, 0o775), (0o755, 0o777)] {
        let said = warnings(file, directory);
        assert!(
            matches!(&said[..], [w] if w.contains("10_x") && w.contains("by others")),
            "{file:o} {directory:o} {said:?}"
        );
    }
    // In a directory like /tmp others cannot replace what is not theirs.
    assert!(warnings(0o755, 0o1777).is_empty());
}
