// SPDX-License-Identifier: Apache-2.0
//! `new`: what is made works at once, in every language whose tools are here.

use crate::case::{Case, then};

#[test]
fn a_program_that_is_not_built_says_how_to() {
    let done = Case::new().says("new hook a --point before_vm_start --lang rust").run().ended(0);
    assert!(done.stdout.contains("build it: (cd a && cargo build --release && cp target/release/a hook)"));
    let done = then(done, &["check", "a"]).ended(0);
    assert!(done.stdout.contains("is not built yet"), "{}", done.stdout);
    let said = then(done, &["test", "a"]).refused(3);
    assert!(said.starts_with("a/hook is not built yet: run "), "{said}");
}

#[test]
fn bad_names() {
    let long = "x".repeat(65);
    for (name, says) in [
        ("a/b", "\"a/b\" cannot name a package"),
        ("..", "\"..\" cannot name a package"),
        (".a", "cannot name a package"),
        ("a b", "did you mean \"a_b\"?"),
        ("Ab", "did you mean \"ab\"?"),
        ("", "cannot name a package"),
        ("-a", "unexpected argument"),
        ("a\nb", "\"a\\nb\" cannot name a package"),
        ("\u{e9}", "cannot name a package"),
        (&long, "is too long: at most 64 characters"),
    ] {
        let said =
            Case::new().arguments(["new", "hook", name, "--point", "before_vm_start"]).run().refused(2);
        assert!(said.contains(says), "{name:?}: {said}");
    }
    for (name, says) in [
        ("a/b", "cannot name a hook point"),
        ("../a", "cannot name a hook point"),
        ("Before_x", "cannot name a hook point"),
        ("before_vm_start", "exists already"),
        ("a\"\nb = 1\nc = \"", "cannot name a hook point"),
        (&long, "cannot name a hook point"),
    ] {
        let said = Case::new().arguments(["new", "point", name]).run().refused(2);
        assert!(said.contains(says), "{name:?}: {said}");
    }
}

#[test]
fn bad_points_and_places() {
    let hook = |more: &str| Case::new().says(&format!("new hook a {more}"));
    assert!(hook("").run().refused(2).contains("--point"));
    let said = hook("--point before_vm_strat").run().refused(2);
    assert_eq!(
        said,
        "no hook point \"before_vm_strat\", did you mean \"before_vm_start\"?: \"virt-hooks points\" lists all"
    );
    let said = hook("--point before_vm_start").file("a/x", "").run().refused(2);
    assert_eq!(said, "./a is there already: choose another name, or another place with --dir");
    let said = hook("--point before_vm_start --dir dom.xml").run().refused(3);
    assert!(said.starts_with("write dom.xml: "), "{said}");
    let said =
        Case::new().says("new point after_backup").file("points.d/after_backup.toml", "point = []\n").run();
    assert!(said.refused(2).contains("is there already"));
}

#[test]
fn a_new_point_can_be_fired_at_once() {
    for (name, payload, sample) in [
        ("before_backup", "xml", Some("points.d/before_backup.sample.xml")),
        ("after_backup", "json", Some("points.d/after_backup.sample.json")),
        ("after_rest", "none", None),
    ] {
        let done = Case::new()
            .hook(&format!("{name}/50_a"), "echo \"ran at $_hook_point\" >&2")
            .says(&format!("new point {name} --payload {payload}"))
            .run()
            .ended(0);
        assert_eq!(
            done.stdout.lines().filter(|l| l.starts_with("made ")).count(),
            1 + usize::from(sample.is_some())
        );
        let mut arguments = vec!["fire", name];
        if let Some(sample) = sample {
            arguments.extend(["--payload", sample]);
        }
        let done = then(done, &arguments).ended(0);
        assert!(done.stderr.contains(&format!("ran at {name}")), "{}", done.stderr);
        // Hooks are made for it as for any other.
        let done = then(done, &["new", "hook", "a", "--point", name]).ended(0);
        let done = then(done, &["check", "a"]).ended(0);
        then(done, &["test", "a"]).ended(0);
    }
}
