// SPDX-License-Identifier: Apache-2.0
//! The defect register of VDSM's engine (section 6.1): each entry done right.

use crate::bench_bed::{Bed, DOMAIN, UUID, names, point, text};
use std::fs;
use std::time::{Duration, Instant};
use virt_hooks_contract::Verdict;
use virt_hooks_engine::{CustomProperties, Ending, Event, PropertyValue, Vm};

#[test]
fn e01_the_error_is_that_of_the_hook_that_failed() {
    let bed = Bed::new();
    bed.hook("before_vm_cont/10_a", "echo boom >&2; exit 1");
    bed.hook("before_vm_cont/20_b", "echo harmless chatter >&2");
    let error = bed.fire("before_vm_cont", DOMAIN).into_result().unwrap_err().to_string();
    assert_eq!(error, "Hook Error: 10_a: exit code 1: boom");
}

#[test]
fn e02_all_failures_are_reported() {
    let bed = Bed::new();
    bed.hook("before_vm_cont/10_a", "echo first >&2; exit 1");
    bed.hook("before_vm_cont/20_b", "echo second >&2; exit 3");
    bed.hook("before_vm_cont/30_c", "exit 2");
    let error = bed.fire("before_vm_cont", DOMAIN).into_result().unwrap_err().to_string();
    assert_eq!(error, "Hook Error: 10_a: exit code 1: first; 20_b: exit code 3: second; 30_c: exit code 2");
}

#[test]
fn e03_the_text_is_text() {
    let bed = Bed::new();
    bed.hook("before_vm_cont/10_a", "printf 'gr\\303\\274n\\377' >&2; exit 1");
    let error = bed.fire("before_vm_cont", DOMAIN).into_result().unwrap_err().to_string();
    assert_eq!(error, "Hook Error: 10_a: exit code 1: gr\u{fc}n\u{fffd}");
}

#[test]
fn e04_death_by_signal_is_named_and_the_chain_goes_on() {
    let bed = Bed::new();
    bed.hook("before_vm_cont/10_a", "kill -SEGV $$");
    bed.hook("before_vm_cont/20_b", "");
    let o = bed.fire("before_vm_cont", DOMAIN);
    assert_eq!(names(&o), ["10_a", "20_b"]);
    assert_eq!(o.into_result().unwrap_err().to_string(), "Hook Error: 10_a: killed by SIGSEGV");
}

#[test]
fn e05_a_code_above_two_names_its_hook() {
    let bed = Bed::new();
    bed.hook("after_vm_cont/10_odd", "exit 77");
    assert_eq!(bed.fire("after_vm_cont", DOMAIN).error_text(), "10_odd: exit code 77");
}

#[test]
fn e06_a_hook_that_hangs_is_ended() {
    let mut bed = Bed::new();
    bed.settings.point_timeouts.insert("before_vm_cont".into(), Duration::from_millis(300));
    bed.hook("before_vm_cont/10_hangs", "sleep 600 & sleep 600");
    bed.hook("before_vm_cont/20_next", "");
    let started = Instant::now();
    let o = bed.fire("before_vm_cont", DOMAIN);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(o.runs[0].timed_out && o.runs[0].failed() && !o.runs[1].failed());
    let error = o.into_result().unwrap_err().to_string();
    assert_eq!(error, "Hook Error: 10_hangs: killed by SIGTERM: did not end within 300ms");
}

#[test]
fn e07_a_background_child_that_holds_a_pipe_delays_nothing() {
    let bed = Bed::new();
    bed.hook(
        "after_vm_cont/10_daemon",
        &format!("sleep 600 & echo $! > '{}'; echo said >&2", bed.path("pid").display()),
    );
    let started = Instant::now();
    let o = bed.fire("after_vm_cont", DOMAIN);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(o.runs[0].stderr, "said\n");
    assert!(o.runs[0].left_background && !o.runs[0].failed());
    let pid = fs::read_to_string(bed.path("pid")).unwrap();
    assert!(
        std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success(),
        "it was left alone"
    );
}

#[test]
fn e08_output_is_bounded_and_stdout_is_not_lost() {
    let bed = Bed::new();
    bed.hook("after_vm_cont/10_loud", "echo to stdout; head -c 20000000 /dev/zero | tr '\\0' x >&2");
    let o = bed.fire("after_vm_cont", DOMAIN);
    assert_eq!(o.runs[0].stdout, "to stdout\n");
    assert!(o.runs[0].stderr.len() < 70_000 && o.runs[0].stderr.contains("bytes left out"));
}

#[test]
fn e09_a_hook_that_cannot_be_executed_has_failed_and_no_more() {
    let bed = Bed::new();
    bed.file("after_vm_cont/10_no_interpreter", "#!/no/such/thing\n", 0o755);
    bed.file("after_vm_cont/20_no_shebang", "exit 5\n", 0o755);
    bed.file("after_vm_cont/30_empty", "", 0o755);
    bed.file("after_vm_cont/40_garbage", b"\x7fELF\0\0garbage", 0o755);
    let busy = bed.hook("after_vm_cont/50_busy", "");
    bed.hook("after_vm_cont/60_fine", "");
    let writer = fs::OpenOptions::new().append(true).open(busy).unwrap();
    let o = bed.fire("after_vm_cont", DOMAIN);
    drop(writer);
    let ends: Vec<_> = o.runs.iter().map(|r| r.ending.clone()).collect();
    use Ending::{Exited, NotStarted};
    assert_eq!(ends, [NotStarted, Exited(5), Exited(0), NotStarted, NotStarted, Exited(0)]);
    assert_eq!(o.verdict, Verdict::Proceed);
    let error = o.error_text();
    for part in [
        "10_no_interpreter: not started: cannot be executed: it or its interpreter is missing",
        "not a program for this machine",
        "still open for writing",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn e10_a_deleted_payload_neither_escapes_nor_hides_the_hooks_own_error() {
    let bed = Bed::new();
    bed.hook("after_vm_cont/10_rm", "rm \"$_hook_domxml\"; echo my own words >&2; exit 1");
    let o = bed.fire("after_vm_cont", DOMAIN);
    assert_eq!(text(&o), DOMAIN);
    assert_eq!(o.error_text(), "10_rm: exit code 1: removed the payload file: my own words");
}

#[test]
fn e11_broken_json_does_not_break_the_request() {
    let bed = Bed::new();
    bed.hook("after_get_all_vm_stats/10_good", "echo '[{\"vmId\": \"x\"}]' > \"$_hook_json\"");
    bed.hook("after_get_all_vm_stats/20_bad", "echo '[{\"vmId\": ' > \"$_hook_json\"");
    let o = bed.fire("after_get_all_vm_stats", "[]");
    assert_eq!((text(&o).as_str(), o.verdict), ("[{\"vmId\": \"x\"}]\n", Verdict::Proceed));
    assert!(o.error_text().starts_with("20_bad: left a payload that is not a JSON document"));
}

#[test]
fn e12_bytes_are_preserved() {
    let bed = Bed::new();
    let odd = "\u{feff}<domain>\r\n<a b='&#13;'/>\r</domain>\r\n";
    bed.hook("before_vm_cont/10_append", "printf '<!-- x -->' >> \"$_hook_domxml\"");
    assert_eq!(text(&bed.fire("before_vm_cont", odd)), format!("{odd}<!-- x -->"));
    let bed = Bed::new();
    bed.hook("after_vm_cont/10_latin", "printf '<domain>\\344</domain>' > \"$_hook_domxml\"");
    assert!(bed.fire("after_vm_cont", DOMAIN).runs[0].failed());
}

#[test]
fn e13_odd_properties_are_written_as_text_or_dropped_with_a_warning() {
    let bed = Bed::new();
    bed.hook("before_vm_cont/10_a", &bed.say("$n $t $f $small $large $none $x"));
    let mut p = CustomProperties::default();
    p.set("n", 42i64);
    p.set("t", true);
    p.set("f", 1.0);
    p.set("small", 0.00002);
    p.set("large", 1e16);
    p.set("none", f64::NAN);
    p.set("x", PropertyValue::from(b"raw\xff".to_vec()));
    p.set("nul", "a\0b");
    p.set("a=b", "x");
    p.set("", "x");
    let vm = Vm { id: UUID.into(), name: None, properties: p };
    let point = point("before_vm_cont");
    let o = bed.engine().fire(&Event { vm: Some(&vm), ..Event::new(&point, DOMAIN) });
    assert_eq!(fs::read(bed.path("log")).unwrap(), b"42 True 1.0 2e-05 1e+16 nan raw\xff\n");
    assert_eq!(o.warnings.len(), 3, "{:?}", o.warnings);
    assert!(o.into_result().is_ok());
}

#[test]
fn e14_the_vms_property_wins_with_a_warning_and_the_extra_variables_cannot_be_forged() {
    let bed = Bed::new();
    bed.hook("before_vm_dehibernate/10_a", &bed.say("$FROM_SNAPSHOT $_hook_reason $PATH"));
    let vm = Vm {
        id: UUID.into(),
        name: None,
        properties: CustomProperties::from_iter([
            ("FROM_SNAPSHOT", "forged"),
            ("_hook_reason", "forged"),
            ("PATH", "forged"),
        ]),
    };
    let parameters = CustomProperties::from_iter([("FROM_SNAPSHOT", true)]);
    let point = point("before_vm_dehibernate");
    let event = Event {
        vm: Some(&vm),
        parameters: Some(&parameters),
        reason: Some("snapshot"),
        ..Event::new(&point, DOMAIN)
    };
    let o = bed.engine().fire(&event);
    assert_eq!(bed.log(), ["forged snapshot /usr/bin:/bin"]);
    assert!(o.warnings.iter().any(|w| w.contains("FROM_SNAPSHOT")), "{:?}", o.warnings);
}

#[test]
fn e15_the_other_payload_variable_does_not_leak_in() {
    let mut bed = Bed::new();
    bed.settings.environment.push((b"_hook_json".to_vec(), b"/outer".to_vec()));
    bed.hook("before_vm_cont/10_a", &bed.say("[${_hook_json-unset}]"));
    bed.fire("before_vm_cont", DOMAIN);
    assert_eq!(bed.log(), ["[unset]"]);
}

#[test]
fn e16_pythonpath_has_no_empty_element() {
    for (inherited, expected) in [(None, "/ours"), (Some(""), "/ours"), (Some("/a::/b:"), "/a:/b:/ours")] {
        let mut bed = Bed::new();
        bed.settings.python_dir = Some("/ours".into());
        if let Some(v) = inherited {
            bed.settings.environment.push((b"PYTHONPATH".to_vec(), v.as_bytes().to_vec()));
        }
        bed.hook("before_vm_cont/10_a", &bed.say("$PYTHONPATH"));
        bed.fire("before_vm_cont", DOMAIN);
        assert_eq!(bed.log(), [expected]);
    }
}

#[test]
fn e17_an_advisory_point_uses_what_a_failing_hook_wrote() {
    let bed = Bed::new();
    bed.hook("after_get_caps/10_a", "echo '{\"a\": 1}' > \"$_hook_json\"; exit 1");
    assert_eq!(text(&bed.fire("after_get_caps", "{}")), "{\"a\": 1}\n");
}

#[test]
fn e18_json_is_the_same_with_and_without_hooks() {
    let odd = "{\"1\": [1.0, 1e400, \"\\u00e9\"],  \"b\" :null}";
    let bed = Bed::new();
    assert_eq!(text(&bed.fire("after_get_caps", odd)), odd);
    bed.hook("after_get_caps/10_a", "");
    assert_eq!(text(&bed.fire("after_get_caps", odd)), odd);
}

#[test]
fn e19_no_data_is_no_data_with_and_without_hooks() {
    let bed = Bed::new();
    assert!(bed.fire("before_vm_destroy", "").payload.is_empty());
    bed.hook("before_vm_destroy/10_a", "");
    assert!(bed.fire("before_vm_destroy", "").payload.is_empty());
}

#[test]
fn e20_nothing_is_asked_of_an_installed_python() {
    let mut bed = Bed::new();
    bed.settings.python_dir = Some("/no/such/directory".into());
    bed.settings.environment = vec![(b"PATH".to_vec(), b"/nonexistent".to_vec())];
    bed.hook("before_vm_cont/10_a", "exit 0");
    assert!(bed.fire("before_vm_cont", DOMAIN).into_result().is_ok());
}

#[test]
fn e21_no_descriptor_stays_open() {
    let mut bed = Bed::new();
    bed.hook("before_vm_cont/10_a", "rm \"$_hook_domxml\"; exit 1");
    fs::write(bed.path("file"), "").unwrap();
    let good = bed.engine();
    bed.settings.run_dir = bed.path("file").join("run");
    let bad = bed.engine();
    let point = point("before_vm_cont");
    let event = Event::new(&point, DOMAIN);
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    good.fire(&event);
    let before = open();
    for _ in 0..20 {
        good.fire(&event);
        bad.fire(&event);
    }
    assert_eq!(open(), before);
}

#[test]
fn e22_the_name_of_a_point_is_a_name_and_no_pattern() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_a", "");
    bed.hook("before_*/10_b", "");
    let glob = virt_hooks_contract::Point::unknown("before_*");
    let chain = bed.engine().chain(&glob).unwrap();
    assert_eq!(chain.hooks.len(), 1);
    assert!(chain.hooks[0].path.ends_with("before_*/10_b"));
}

#[test]
fn e23_only_points_of_the_table_have_names() {
    let catalogue = virt_hooks_contract::Catalogue::built_in();
    for name in ["_runHooksDir", "installed", "os", "../before_vm_start", "before_vm_start/", ""] {
        assert!(catalogue.get(name).is_none(), "{name}");
    }
}

#[test]
fn e24_backup_copies_do_not_run_and_are_reported() {
    let bed = Bed::new();
    let suffixes = [
        "~",
        ".bak",
        ".orig",
        ".rpmsave",
        ".rpmnew",
        ".rpmorig",
        ".dpkg-old",
        ".dpkg-dist",
        ".dpkg-new",
        ".swp",
    ];
    for s in suffixes {
        bed.hook(&format!("before_vm_cont/50_x{s}"), "exit 1");
    }
    bed.hook("before_vm_cont/50_x", "");
    let o = bed.fire("before_vm_cont", DOMAIN);
    assert_eq!(names(&o), ["50_x"]);
    assert_eq!(o.skipped.len(), suffixes.len());
}

#[test]
fn e25_every_run_has_its_duration_and_its_change() {
    let bed = Bed::new();
    bed.hook("before_vm_cont/10_a", "sleep 0.05");
    bed.hook("before_vm_cont/20_b", "echo '<domain/>' > \"$_hook_domxml\"");
    let o = bed.fire("before_vm_cont", DOMAIN);
    assert!(o.runs[0].duration >= Duration::from_millis(50) && o.duration >= o.runs[0].duration);
    let report = o.report(false);
    assert!(report.runs[0].sha256.is_none());
    let [before, after] = report.runs[1].sha256.clone().unwrap();
    assert!(before != after && before.len() == 64 && after.len() == 64);
}
