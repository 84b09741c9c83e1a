// SPDX-License-Identifier: Apache-2.0
//! `new`: what is made works at once, in every language whose tools are here.

use crate::case::{Case, Done};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `hooking` is, in the checkout.
pub(crate) fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python")
}

/// A case that runs one more command in the directory of the one before.
pub(crate) fn then(done: Done, arguments: &[&str]) -> Done {
    done.again().variable("VIRT_HOOKS_PYTHON_DIR", python()).arguments(arguments).run()
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|d| d.join(program)).find(|f| f.is_file())
}

/// Makes a package in a language, builds it, and has it checked, tried and tested.
fn works(language: &str, tool: &str, build: impl Fn(&Path)) {
    if found(tool).is_none() {
        eprintln!("skipped: {tool} is not installed here");
        return;
    }
    let points = ["before_vm_start", "after_vm_start", "before_get_caps", "before_nic_hotplug"];
    let mut arguments = vec!["new", "hook", "my-hook", "--lang", language];
    arguments.extend(points.iter().flat_map(|p| ["--point", *p]));
    let done = Case::new().arguments(arguments).run().ended(0);
    assert!(done.stdout.starts_with("made my-hook\n"), "{}", done.stdout);
    build(&done.path("my-hook"));
    let done = then(done, &["check", "my-hook"]).ended(0);
    assert_eq!(done.stdout, "nothing wrong was found\n");
    let done = then(done, &["test", "my-hook"]).ended(0);
    assert!(done.stdout.starts_with("7 passed, "), "{}", done.stdout);
    let done = then(done, &["try", "my-hook", "--point", "before_vm_start", "-p", "my_hook=<&]]>"]).ended(0);
    assert!(done.stderr.contains("<title>&lt;&amp;]]&gt;</title>"), "{}", done.stderr);
    assert!(done.stderr.contains("proceed: before_vm_start: 1 hook"), "{}", done.stderr);
    // A domain without a name is told of, and stays as it is.
    std::fs::write(done.path("bare.xml"), "<domain/>").unwrap();
    let done = then(
        done,
        &["try", "my-hook", "--point", "before_vm_start", "-p", "my_hook=x", "--payload", "bare.xml"],
    );
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("the domain has no name"), "{}", done.stderr);
}

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn bash() {
    works("bash", "bash", |_| {});
}

#[test]
fn python_with_hooking() {
    works("python", "python3", |_| {});
}

#[test]
fn perl() {
    works("perl", "perl", |_| {});
}

#[test]
fn rust() {
    works("rust", "cargo", |dir| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo)
            .args(["build", "--release", "--offline"])
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(dir));
        std::fs::copy(dir.join("target/release/my-hook"), dir.join("hook")).unwrap();
    });
}

#[test]
fn go() {
    works("go", "go", |dir| {
        let cache = dir.join(".cache");
        run(Command::new("go")
            .args(["build", "-o", "hook", "."])
            .env("CGO_ENABLED", "0")
            .env("GOCACHE", cache)
            .current_dir(dir));
    });
}

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
