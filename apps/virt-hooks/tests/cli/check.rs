// SPDX-License-Identifier: Apache-2.0
//! `check`.

use crate::case::{Case, Done, then};

fn package() -> Done {
    Case::new().says("new hook a --point before_vm_start").run().ended(0)
}

#[test]
fn for_people_and_for_programs() {
    let done = package();
    std::fs::remove_file(done.path("a/README.md")).unwrap();
    let done = then(done, &["check", "a"]).ended(0);
    assert!(done.stdout.starts_with("warning  a/README.md\n         what  is missing\n"), "{}", done.stdout);
    std::fs::remove_file(done.path("a/before_vm_start.sh")).unwrap();
    let done = then(done, &["check", "a", "--format", "json"]).ended(1);
    let found: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let kinds: Vec<&str> = found.as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["source-missing", "readme-missing"]);
    assert_eq!(found[0]["severity"], "broken");
}

#[test]
fn several_packages_and_a_target() {
    let done = then(package(), &["new", "hook", "b", "--point", "before_vm_pause"]).ended(0);
    let done = then(done, &["check", "a", "b"]).ended(0);
    let done = then(done, &["check", "a", "--target", "kubevirt"]).ended(0);
    assert_eq!(done.stdout, "nothing wrong was found\n");
    let done = then(done, &["check", "a", "b", "--target", "kubevirt"]).ended(1);
    assert!(done.stdout.contains("before_vm_pause has no counterpart on KubeVirt"), "{}", done.stdout);
}

#[test]
fn what_is_no_package() {
    let said = Case::new().says("check dom.xml").run().refused(2);
    assert_eq!(said, "dom.xml: not a directory: give the directory of a hook package");
    assert!(Case::new().says("check").run().refused(2).contains("<DIR>"));
    let done = Case::new().says("check hooks").run().ended(1);
    assert!(done.stdout.contains("this is no hook package"), "{}", done.stdout);
    let done = Case::new().file("a/hook.toml", "manifest = 7\n").says("check a").run().ended(1);
    assert!(done.stdout.contains("manifest format 7 is newer than this program knows"), "{}", done.stdout);
}
