// SPDX-License-Identifier: Apache-2.0
//! VDSM contract, payload file (section 5.4).

use crate::bench_bed::{Bed, DOMAIN, names, point, text};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use virt_hooks_contract::Verdict;
use virt_hooks_engine::{Check, Event};

const BEFORE: &str = "before_vm_start";
const AFTER: &str = "after_vm_start";

#[test]
fn private_directory_and_file() {
    let bed = Bed::new();
    bed.hook(
        "after_vm_start/50_x",
        &bed.say("$(stat -c '%a %u' \"$_hook_domxml\") $(stat -c '%a %u' \"${_hook_domxml%/*}\")"),
    );
    bed.fire(AFTER, DOMAIN);
    let uid = fs::metadata(bed.dir.path()).unwrap().uid();
    assert_eq!(bed.log(), [format!("600 {uid} 700 {uid}")]);
    assert_eq!(fs::metadata(bed.path("run")).unwrap().permissions().mode() & 0o777, 0o711);
}

#[test]
fn what_was_too_large_before_is_no_hooks_fault() {
    let mut bed = Bed::new();
    bed.settings.payload_limit = 10;
    bed.hook("before_vm_start/10_reads", "cat \"$_hook_domxml\" > /dev/null");
    bed.hook("before_vm_start/20_edits", "sed -i s/web/bew/ \"$_hook_domxml\"");
    assert_eq!(text(&bed.fire(BEFORE, DOMAIN)), DOMAIN.replace("web", "bew"));
}

#[test]
fn untouched_bytes_come_back_as_they_were() {
    let bed = Bed::new();
    bed.hook("after_vm_start/50_reads", "cat \"$_hook_domxml\" > /dev/null");
    for odd in ["\u{feff}<a\r\n b='1'  c=\"&#10;\"/>\r\n\r\n", "<a/>", "", "\0\u{1}"] {
        let o = bed.fire(AFTER, odd);
        assert_eq!(o.payload.bytes(), odd.as_bytes());
        assert!(!o.changed && !o.runs[0].changed());
    }
}

#[test]
fn each_hook_sees_what_the_one_before_left() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_a", "sed -i 's/web/one/' \"$_hook_domxml\"");
    bed.hook(
        "before_vm_start/20_b",
        "printf '%s' \"$(sed 's/one/two/' \"$_hook_domxml\")\" > \"$_hook_domxml\"",
    );
    bed.hook("before_vm_start/30_c", ":");
    let o = bed.fire(BEFORE, DOMAIN);
    assert_eq!(text(&o), DOMAIN.trim_end().replace("web", "two"));
    assert_eq!(o.runs.iter().map(virt_hooks_engine::Run::changed).collect::<Vec<_>>(), [true, true, false]);
    assert!(o.changed);
    assert!(o.runs[0].diff().unwrap().contains("-  <name>web</name>\n+  <name>one</name>"));
    assert!(o.runs[2].diff().is_none());
}

#[test]
fn replacing_by_rename_is_used() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_a", "sed 's/web/new/' \"$_hook_domxml\" > \"$_hook_domxml.new\" && mv \"$_hook_domxml.new\" \"$_hook_domxml\"");
    assert!(text(&bed.fire(BEFORE, DOMAIN)).contains("new"));
}

#[test]
fn same_size_same_times_is_still_seen() {
    let bed = Bed::new();
    // As careful as an editor can be to leave no trace.
    bed.hook(
        "before_vm_start/10_a",
        "cp -p \"$_hook_domxml\" \"$_hook_domxml.t\"; sed 's/web/bew/' \"$_hook_domxml.t\" > \"$_hook_domxml\"; touch -r \"$_hook_domxml.t\" \"$_hook_domxml\"; rm \"$_hook_domxml.t\"",
    );
    assert!(text(&bed.fire(BEFORE, DOMAIN)).contains("bew"));
}

#[test]
fn a_store_through_a_mapping_is_seen() {
    let bed = Bed::new();
    let python = "#!/usr/bin/python3\nimport mmap, os\nf = open(os.environ['_hook_domxml'], 'r+b')\nm = mmap.mmap(f.fileno(), 0)\ni = m.find(b'web')\nm[i:i+3] = b'map'\n";
    bed.file("before_vm_start/10_map", python, 0o755);
    bed.hook("before_vm_start/05_reads_first", "cat \"$_hook_domxml\" >/dev/null");
    for run_dir in [bed.path("run"), "/dev/shm/virt-hooks-mapping-test".into()] {
        let mut settings = bed.settings.clone();
        settings.run_dir.clone_from(&run_dir);
        let o = virt_hooks_engine::Engine::new(settings).fire(&Event::new(&point(BEFORE), DOMAIN));
        assert_eq!(o.error_text(), "");
        assert!(text(&o).contains("map"), "lost in {}", run_dir.display());
    }
    fs::remove_dir("/dev/shm/virt-hooks-mapping-test").unwrap();
}

/// Runs a hook that spoils the payload between two that are fine; checks who is blamed and what the next one finds.
fn spoil(name: &str, payload: &str, body: &str, blame: &str) {
    let bed = Bed::new();
    bed.hook(&format!("{name}/10_fine"), ":");
    bed.hook(&format!("{name}/20_guilty"), &format!("P=${{_hook_domxml:-$_hook_json}}; {body}"));
    bed.hook(
        &format!("{name}/30_next"),
        &format!("cp \"${{_hook_domxml:-$_hook_json}}\" '{}'", bed.path("seen").display()),
    );
    let o = bed.fire(name, payload);
    assert_eq!(names(&o), ["10_fine", "20_guilty", "30_next"]);
    let failed: Vec<bool> = o.runs.iter().map(virt_hooks_engine::Run::failed).collect();
    assert_eq!(failed, [false, true, false], "{blame}");
    let problem = o.runs[1].problem.clone().unwrap();
    assert!(problem.contains(blame), "{problem}");
    assert_eq!(
        fs::read(bed.path("seen")).unwrap(),
        payload.as_bytes(),
        "the next hook finds the last good payload"
    );
    assert_eq!(o.payload.bytes(), payload.as_bytes());
    let vetoes = point(name).failure == virt_hooks_contract::Failure::Veto;
    assert_eq!(o.verdict == Verdict::Veto, vetoes);
    if vetoes {
        let error = o.into_result().unwrap_err().to_string();
        assert!(error.starts_with("Hook Error: 20_guilty: ") && error.contains(blame), "{error}");
    }
}

#[test]
fn spoilt_xml_is_the_fault_of_who_spoilt_it() {
    for name in [BEFORE, AFTER] {
        spoil(name, DOMAIN, "rm \"$P\"", "removed the payload file");
        spoil(name, DOMAIN, ": > \"$P\"", "empty");
        spoil(name, DOMAIN, "echo '<domain>' > \"$P\"", "not a well-formed XML document");
        spoil(name, DOMAIN, "printf '<domain>\\377</domain>' > \"$P\"", "UTF-8");
        spoil(
            name,
            DOMAIN,
            "echo '<network/>' > \"$P\"",
            "another root element: <network> in place of <domain>",
        );
        spoil(
            name,
            DOMAIN,
            "rm \"$P\"; mkdir \"$P\"; touch \"$P/x\"",
            "replaced the payload file by a directory",
        );
        spoil(name, DOMAIN, "ln -sf /etc/passwd \"$P\"", "replaced the payload file by a symbolic link");
        spoil(name, DOMAIN, "rm \"$P\"; mkfifo \"$P\"", "something that is not a file");
    }
}

#[test]
fn spoilt_json_is_the_fault_of_who_spoilt_it() {
    for name in ["after_get_caps", "before_network_setup"] {
        spoil(name, "{\"a\": 1}", "echo '{\"a\": ' > \"$P\"", "not a JSON document");
        spoil(name, "{\"a\": 1}", "echo '[1]' > \"$P\"", "another top level: an array in place of an object");
        spoil(name, "{\"a\": 1}", "printf '{\"a\": \"\\377\"}' > \"$P\"", "UTF-8");
        spoil(name, "{\"a\": 1}", "rm \"$P\"", "removed the payload file");
    }
}

#[test]
fn the_uuid_must_stay_at_before_vm_start_only() {
    let other = "sed -i s/6f0c2a3e/00000000/ \"$P\"";
    spoil(BEFORE, DOMAIN, other, "another UUID: 00000000-1111");
    spoil(BEFORE, DOMAIN, "sed -i /uuid/d \"$P\"", "another UUID: none");
    let bed = Bed::new();
    bed.hook("before_vm_start/10_case", "sed -i 's/6f0c2a3e/6F0C2A3E/' \"$_hook_domxml\"");
    assert!(bed.fire(BEFORE, DOMAIN).into_result().is_ok(), "libvirt reads it in any letter case");
    bed.hook("after_vm_start/10_x", "sed -i s/6f0c2a3e/00000000/ \"$_hook_domxml\"");
    assert!(!bed.fire(AFTER, DOMAIN).runs[0].failed());
}

#[test]
fn too_large_is_refused() {
    let mut bed = Bed::new();
    bed.settings.payload_limit = 1000;
    bed.hook("before_vm_start/10_x", "head -c 2000 /dev/zero | tr '\\0' ' ' >> \"$_hook_domxml\"");
    let error = bed.fire(BEFORE, DOMAIN).into_result().unwrap_err().to_string();
    assert!(error.contains("more than the limit of 1000 (payload_limit)"), "{error}");
}

#[test]
fn check_none_takes_any_file() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_x", "echo garbage > \"$_hook_domxml\"");
    let point = point(BEFORE);
    let o = bed.engine().fire(&Event { check: Check::None, ..Event::new(&point, DOMAIN) });
    assert_eq!(o.into_result().unwrap().bytes(), b"garbage\n");
}

#[test]
fn a_later_hook_may_recreate_what_an_earlier_one_deleted() {
    let bed = Bed::new();
    bed.hook("after_vm_start/10_rm", "rm \"$_hook_domxml\"");
    bed.hook("after_vm_start/20_new", "echo '<domain><name>x</name></domain>' > \"$_hook_domxml\"");
    assert_eq!(text(&bed.fire(AFTER, DOMAIN)), "<domain><name>x</name></domain>\n");
}

#[test]
fn a_removed_directory_is_the_fault_of_who_removed_it() {
    for name in [BEFORE, AFTER] {
        spoil(name, DOMAIN, "rm -r \"${P%/*}\"", "removed the payload file");
        spoil(name, DOMAIN, "D=${P%/*}; rm -r \"$D\"; echo in the way > \"$D\"", "removed the payload file");
    }
}

#[test]
fn trouble_between_hooks_loses_nothing() {
    let bed = Bed::new();
    let run = bed.path("run");
    bed.hook("after_vm_start/10_edit", "sed -i s/web/edited/ \"$_hook_domxml\"");
    bed.hook(
        "after_vm_start/20_breaks",
        &format!("rm -r '{}'; echo in the way > '{}'", run.display(), run.display()),
    );
    bed.hook("after_vm_start/30_next", "");
    bed.hook("after_vm_start/40_last", "");
    let o = bed.engine().fire(&Event::new(&point(AFTER), DOMAIN));
    assert!(o.trouble.is_some());
    assert_eq!(text(&o), DOMAIN.replace("web", "edited"));
    assert!(o.changed);
    let not_run: Vec<_> = o.not_run.iter().map(|h| h.name().to_str().unwrap()).collect();
    assert_eq!(
        (names(&o), not_run),
        (vec!["10_edit".into(), "20_breaks".into()], vec!["30_next", "40_last"])
    );
}

#[test]
fn what_a_hook_leaves_beside_the_payload_goes_with_it() {
    let bed = Bed::new();
    bed.hook(
        "after_vm_start/10_litter",
        "mkdir -p \"${_hook_domxml%/*}/a/b\"; ln -s /etc \"${_hook_domxml%/*}/a/etc\"",
    );
    bed.fire(AFTER, DOMAIN);
    assert!(std::path::Path::new("/etc/passwd").exists());
}

#[test]
fn a_large_payload_survives() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_reads", "cat \"$_hook_domxml\" >/dev/null");
    bed.hook("before_vm_start/20_tail", "sed -i 's/THE-END/the-end/' \"$_hook_domxml\"");
    let big = format!("<domain>{}<!--THE-END--></domain>", "<x a='b'/>\n".repeat(200_000));
    let o = bed.fire(BEFORE, &big);
    assert_eq!(text(&o), big.replace("THE-END", "the-end"));
    assert_eq!(o.runs.iter().map(virt_hooks_engine::Run::changed).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_x", "");
    let mut settings = bed.settings.clone();
    // /dev/full cannot be a directory; a file system of one page can be full.
    let mount = bed.path("tiny");
    fs::create_dir(&mount).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4k,mode=711", "tmpfs"])
        .arg(&mount)
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        eprintln!("cannot mount a tmpfs here: the run directory is a file instead");
        fs::write(bed.path("file"), "").unwrap();
        settings.run_dir = bed.path("file").join("run");
        let o = virt_hooks_engine::Engine::new(settings).fire(&Event::new(&point(BEFORE), DOMAIN));
        assert!(o.trouble.is_some());
        return;
    }
    settings.run_dir.clone_from(&mount);
    let big = format!("<domain>{}</domain>", " ".repeat(100_000));
    let o = virt_hooks_engine::Engine::new(settings).fire(&Event::new(&point(BEFORE), big.as_str()));
    let left = fs::read_dir(&mount).unwrap().count();
    std::process::Command::new("umount").arg(&mount).status().unwrap();
    assert_eq!(left, 0);
    let error = o.into_result().unwrap_err().to_string();
    assert!(error.contains("write the payload to") && error.contains("No space left"), "{error}");
}

#[test]
fn a_run_directory_that_cannot_be_made_is_said() {
    let mut bed = Bed::new();
    bed.hook("before_vm_start/10_x", "");
    bed.hook("after_vm_start/10_x", "");
    fs::write(bed.path("file"), "").unwrap();
    bed.settings.run_dir = bed.path("file").join("run");
    let fire = |name| bed.engine().fire(&Event::new(&point(name), DOMAIN));
    let o = fire(BEFORE);
    assert_eq!(o.verdict, Verdict::Veto);
    assert!(o.error_text().contains("Not a directory"), "{}", o.error_text());
    let o = fire(AFTER);
    assert!(o.trouble.is_some());
    assert_eq!(
        o.verdict,
        Verdict::Proceed,
        "an advisory point stops nothing, but the trouble is in the outcome"
    );
}

#[test]
fn hook_user_owns_the_payload() {
    let mut bed = Bed::new();
    if !crate::bench_bed::is_root(bed.dir.path()) {
        eprintln!("only root can run hooks as another user");
        return;
    }
    fs::set_permissions(bed.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    bed.settings.hook_user = Some(virt_hooks_spawn::Credentials { uid: 54321, gid: 54322, groups: vec![] });
    bed.hook("before_vm_start/10_x", "sed -i \"s/web/$(id -u)-$(id -g)/\" \"$_hook_domxml\"");
    assert!(text(&bed.fire(BEFORE, DOMAIN)).contains("<name>54321-54322</name>"));
    bed.hook("before_network_setup/10_x", "echo \"{\\\"uid\\\": $(id -u)}\" > \"$_hook_json\"");
    assert_eq!(text(&bed.fire("before_network_setup", "{}")), "{\"uid\": 0}\n", "network points run as root");
}

#[test]
fn what_a_killed_engine_left_is_removed_and_what_runs_is_not() {
    let bed = Bed::new();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let stale = bed.path("run").join("0123456789abcdef0123456789abcdef");
    fs::create_dir_all(&stale).unwrap();
    fs::write(stale.join("payload.xml"), "secret").unwrap();
    // One that is just being made is not locked yet.
    let young = bed.path("run").join("new-ffffffffffffffffffffffffffffffff");
    fs::create_dir(&young).unwrap();
    let forgotten = bed.path("run").join("new-eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    fs::create_dir(&forgotten).unwrap();
    let other = bed.path("run").join("vm");
    fs::create_dir(&other).unwrap();
    // How long ago the engine was killed does not matter.
    for dir in [&forgotten, &other] {
        fs::File::open(dir).unwrap().set_modified(old).unwrap();
    }
    // One that runs, and has been running for an hour.
    bed.hook(
        "after_vm_start/10_sweep",
        &format!("touch -d '1 hour ago' \"${{_hook_domxml%/*}}\"; touch '{0}/ready'; while [ ! -e '{0}/swept' ]; do :; done", bed.dir.path().display()),
    );
    let engine = bed.engine();
    std::thread::scope(|s| {
        let running = s.spawn(|| engine.fire(&Event::new(&point(AFTER), DOMAIN)));
        while !bed.path("ready").exists() {
            std::thread::yield_now();
        }
        assert_eq!(engine.remove_stale(), 2);
        fs::write(bed.path("swept"), "").unwrap();
        let outcome = running.join().unwrap();
        assert_eq!((outcome.error_text().as_str(), outcome.payload.bytes()), ("", DOMAIN.as_bytes()));
    });
    assert!(!stale.exists() && !forgotten.exists() && young.exists() && other.exists());
}
