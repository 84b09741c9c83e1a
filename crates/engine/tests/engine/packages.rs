// SPDX-License-Identifier: Apache-2.0
//! What installed manifests make of a chain: order, deadlines, conditions, values of properties, secrets, strictness.

use crate::bench_bed::{Bed, DOMAIN, UUID, names, point};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use virt_hooks_contract::Verdict;
use virt_hooks_engine::{CustomProperties, Engine, Event, Outcome, Trouble, Vm};

const POINT: &str = "before_vm_start";
const ADVISORY: &str = "after_vm_start";

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.settings.packages_dir = Some(bed.path("packages"));
    bed
}

/// Installs a package with one hook at `at` that says its name, and these further lines in its manifest.
fn package(bed: &Bed, name: &str, at: &str, file: &str, lines: &str) -> PathBuf {
    bed.hook(&format!("{at}/{file}"), &bed.say(name));
    manifest(bed, name, at, file, lines)
}

fn manifest(bed: &Bed, name: &str, at: &str, file: &str, lines: &str) -> PathBuf {
    let dir = bed.path("packages").join(name);
    fs::create_dir_all(&dir).unwrap();
    let (top, tables) = lines.split_once("--\n").unwrap_or((lines, ""));
    let text = format!(
        "manifest = 1\nname = \"{name}\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
         {top}\n[[point]]\nname = \"{at}\"\nfile = \"{file}\"\n{tables}"
    );
    let path = dir.join("hook.toml");
    fs::write(&path, text).unwrap();
    path
}

fn property(name: &str, lines: &str) -> String {
    format!("--\n[[property]]\nname = \"{name}\"\nscope = \"vm\"\ndescription = \"d\"\n{lines}\n")
}

fn vm(properties: &[(&str, &str)]) -> Vm {
    let properties: CustomProperties = properties.iter().copied().collect();
    Vm { id: UUID.to_owned(), name: Some("web".to_owned()), properties }
}

fn fire(bed: &Bed, at: &str, vm: &Vm) -> Outcome {
    bed.engine().fire(&Event { vm: Some(vm), ..Event::new(&point(at), DOMAIN) })
}

#[test]
fn dependencies_come_before_numbers() {
    let bed = bed();
    package(&bed, "early", POINT, "10_early", "after = [\"late\", \"missing\"]");
    package(&bed, "late", POINT, "90_late", "");
    package(&bed, "first", POINT, "95_first", "before = [\"50_plain\"]");
    bed.hook(&format!("{POINT}/50_plain"), "");
    assert_eq!(names(&fire(&bed, POINT, &vm(&[]))), ["90_late", "10_early", "95_first", "50_plain"]);
}

#[test]
fn a_cycle_is_an_error_that_names_its_hooks() {
    let bed = bed();
    package(&bed, "a", POINT, "10_a", "after = [\"b\"]");
    package(&bed, "b", POINT, "20_b", "after = [\"a\"]");
    let outcome = fire(&bed, POINT, &vm(&[]));
    assert!(matches!(outcome.trouble, Some(Trouble::Cycle { .. })));
    assert_eq!((outcome.verdict, outcome.runs.len()), (Verdict::Veto, 0));
    assert!(
        outcome.error_text().contains("10_a, 20_b of before_vm_start wait for each other"),
        "{}",
        outcome.error_text()
    );
}

#[test]
fn a_manifests_deadline_holds_unless_the_host_says_otherwise() {
    let mut bed = bed();
    package(&bed, "slow", POINT, "50_slow", "--\ntimeout = \"200ms\"\n");
    bed.hook(&format!("{POINT}/50_slow"), "exec sleep 60");
    bed.settings.grace = Duration::from_millis(100);
    let began = Instant::now();
    let outcome = fire(&bed, POINT, &vm(&[]));
    assert!(outcome.runs[0].timed_out && began.elapsed() < Duration::from_secs(30));
    bed.settings.hook_timeouts.insert("50_slow".into(), Duration::from_secs(7));
    let event_point = point(POINT);
    let engine = bed.engine();
    let chain = engine.chain(&event_point).unwrap();
    assert_eq!(engine.deadline(&Event::new(&event_point, DOMAIN), &chain.hooks[0]), Duration::from_secs(7));
}

#[test]
fn a_hook_that_is_not_meant_is_skipped_with_a_reason() {
    let bed = bed();
    package(&bed, "by_property", POINT, "10_a", "--\n[when]\nproperty = [\"x\", \"y\"]\n");
    package(&bed, "by_name", POINT, "20_b", "--\n[when]\nname = \"db-.*\"\n");
    let metadata = "--\n[[when.metadata]]\nnamespace = \"urn:site\"\nelement = \"role\"\ntext = \"db\"\n";
    package(&bed, "by_metadata", POINT, "30_c", metadata);
    let outcome = fire(&bed, POINT, &vm(&[]));
    assert_eq!(names(&outcome), [""; 0]);
    let reasons: Vec<String> = outcome.skipped.iter().map(|s| s.reason.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "its package runs it only with property x or y",
            "its package runs it only for VMs called db-.*",
            "its package runs it only with metadata role"
        ]
    );
    let domain = DOMAIN
        .replace("<devices/>", "<metadata><r:role xmlns:r='urn:site'> db </r:role></metadata><devices/>");
    let vm = Vm { name: Some("db-1".to_owned()), ..vm(&[("y", "1")]) };
    let outcome = bed.engine().fire(&Event { vm: Some(&vm), ..Event::new(&point(POINT), domain.as_str()) });
    assert_eq!(names(&outcome), ["10_a", "20_b", "30_c"]);
}

#[test]
fn metadata_that_cannot_be_seen_skips_nothing() {
    let bed = bed();
    let metadata = "--\n[[when.metadata]]\nnamespace = \"urn:site\"\nelement = \"role\"\n";
    package(&bed, "m", "before_nic_hotplug", "30_c", metadata);
    let outcome = bed.engine().fire(&Event::new(&point("before_nic_hotplug"), "<interface/>"));
    assert_eq!(names(&outcome), ["30_c"]);
}

#[test]
fn a_value_that_is_not_allowed_vetoes_before_any_hook_runs() {
    let bed = bed();
    bed.hook(&format!("{POINT}/10_other"), &bed.say("other"));
    package(&bed, "sized", POINT, "50_sized", &property("size", "type = \"natural\"\nexample = \"4\""));
    let outcome = fire(&bed, POINT, &vm(&[("size", "-1")]));
    assert_eq!((outcome.verdict, outcome.runs.len(), outcome.not_run.len()), (Verdict::Veto, 0, 2));
    assert_eq!(outcome.error_text(), "property size: \"-1\" is not of type natural; an example is \"4\"");
    assert_eq!(bed.log(), [""; 0]);
    assert_eq!(names(&fire(&bed, POINT, &vm(&[("size", "1")]))), ["10_other", "50_sized"]);
}

#[test]
fn where_nothing_can_be_vetoed_it_is_a_warning() {
    let bed = bed();
    package(&bed, "sized", ADVISORY, "50_sized", &property("size", "type = \"natural\"\nexample = \"4\""));
    let outcome = fire(&bed, ADVISORY, &vm(&[("size", "-1")]));
    assert_eq!((outcome.verdict, names(&outcome)), (Verdict::Proceed, vec!["50_sized".to_owned()]));
    assert!(outcome.warnings[0].starts_with("property size:"), "{:?}", outcome.warnings);
}

#[test]
fn declared_secrets_are_masked() {
    let bed = bed();
    let lines = property("pin", "example = \"4711\"\nsecret = true\npattern = \"[0-9]+\"");
    package(&bed, "safe", POINT, "50_safe", &lines);
    bed.hook(&format!("{POINT}/60_leak"), "echo \"the pin is $pin\" >&2; exit 1");
    let outcome = fire(&bed, POINT, &vm(&[("pin", "123456")]));
    assert!(outcome.error_text().contains("the pin is ***"), "{}", outcome.error_text());
    let outcome = fire(&bed, POINT, &vm(&[("pin", "hunter2")]));
    assert_eq!(outcome.error_text(), "property pin: its value does not match [0-9]+; an example is \"4711\"");
    let plan_vm = vm(&[("pin", "123456")]);
    let event_point = point(POINT);
    let plan = bed.engine().plan(&Event { vm: Some(&plan_vm), ..Event::new(&event_point, DOMAIN) }).unwrap();
    assert!(plan.environment.contains(&("pin".to_owned(), "***".to_owned())));
}

#[test]
fn a_default_is_what_hooks_find_where_nothing_is_set() {
    let bed = bed();
    package(
        &bed,
        "d",
        POINT,
        "50_d",
        &property("colour", "choices = [\"red\", \"blue\"]\nexample = \"red\"\ndefault = \"blue\""),
    );
    bed.hook(&format!("{POINT}/50_d"), &bed.say("$colour"));
    fire(&bed, POINT, &vm(&[]));
    let outcome = fire(&bed, POINT, &vm(&[("colour", "red")]));
    assert_eq!(bed.log(), ["blue", "red"]);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
}

#[test]
fn a_strict_host_passes_on_what_is_declared_and_nothing_else() {
    let mut bed = bed();
    package(&bed, "d", POINT, "50_d", &property("colour", "example = \"red\""));
    bed.hook(&format!("{POINT}/50_d"), &bed.say("${colour-} ${other-}"));
    let both = vm(&[("colour", "red"), ("other", "x")]);
    fire(&bed, POINT, &both);
    bed.settings.strict = true;
    let outcome = fire(&bed, POINT, &both);
    assert_eq!(bed.log(), ["red x", "red "]);
    assert_eq!(
        outcome.warnings,
        ["property \"other\" is declared by no installed package and is not passed on (strict)"]
    );
}

#[test]
fn a_package_may_be_stricter_than_its_point() {
    let bed = bed();
    package(&bed, "s", "before_vm_set_ticket", "50_s", "--\nfailure = \"veto\"\n");
    bed.hook("before_vm_set_ticket/50_s", "exit 1");
    assert_eq!(fire(&bed, "before_vm_set_ticket", &vm(&[])).verdict, Verdict::Veto);
    // Who fires it has the last word (C05).
    let advice = bed.engine().fire(&Event {
        failure: Some(virt_hooks_contract::Failure::Advisory),
        ..Event::new(&point("before_vm_set_ticket"), DOMAIN)
    });
    assert_eq!(advice.verdict, Verdict::Proceed);
}

#[test]
fn a_broken_manifest_is_told_and_its_hook_runs_all_the_same() {
    let bed = bed();
    let file = package(&bed, "broken", POINT, "50_broken", "nonsense = 1");
    let outcome = fire(&bed, POINT, &vm(&[]));
    assert_eq!(names(&outcome), ["50_broken"]);
    assert!(
        outcome.warnings[0].starts_with(&format!("{}:7:1: unknown key", file.display())),
        "{:?}",
        outcome.warnings
    );
}

#[test]
fn a_change_of_manifests_takes_effect_at_once() {
    let bed = bed();
    bed.hook(&format!("{POINT}/10_a"), "");
    bed.hook(&format!("{POINT}/20_b"), "");
    let engine: Engine = bed.engine();
    let order = || {
        let outcome = engine.fire(&Event::new(&point(POINT), DOMAIN));
        names(&outcome).join(" ")
    };
    assert_eq!(order(), "10_a 20_b");
    // The directory comes, then a manifest, then another text in it; and at last all is gone.
    fs::create_dir_all(bed.path("packages/a")).unwrap();
    assert_eq!(order(), "10_a 20_b");
    manifest(&bed, "a", POINT, "10_a", "after = [\"20_b\"]");
    assert_eq!(order(), "20_b 10_a");
    manifest(&bed, "a", POINT, "10_a", "after = []");
    assert_eq!(order(), "10_a 20_b");
    manifest(&bed, "a", POINT, "10_a", "after = [\"20_b\"]");
    assert_eq!(order(), "20_b 10_a");
    fs::remove_dir_all(bed.path("packages")).unwrap();
    assert_eq!(order(), "10_a 20_b");
}

#[test]
fn of_two_packages_with_one_hook_the_first_counts_and_it_is_told() {
    let bed = bed();
    package(&bed, "a", POINT, "10_x", "");
    manifest(&bed, "b", POINT, "10_x", "");
    let outcome = fire(&bed, POINT, &vm(&[]));
    assert_eq!(
        outcome.warnings,
        ["before_vm_start/10_x belongs to two packages, a and b: the first is followed"]
    );
    assert_eq!(outcome.runs[0].hook.package.as_ref().unwrap().package.name(), "a");
}

#[test]
fn a_package_in_a_directory_of_another_name_is_told() {
    let bed = bed();
    package(&bed, "a", POINT, "50_a", "");
    fs::rename(bed.path("packages/a"), bed.path("packages/b")).unwrap();
    let outcome = fire(&bed, POINT, &vm(&[]));
    assert_eq!(names(&outcome), ["50_a"]);
    assert!(
        outcome.warnings[0].contains("the package is called a, and its directory is not"),
        "{:?}",
        outcome.warnings
    );
}
