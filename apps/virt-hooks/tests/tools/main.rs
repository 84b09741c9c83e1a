// SPDX-License-Identifier: Apache-2.0
//! What other tools make and say of hook packages: interpreters and compilers of new ones, checkers of scripts and units,
//! libvirt's schema, virsh. A test whose tool is not here counts as ignored, with the reason.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and one that is ignored says why"
)]

#[path = "../cli/case.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod case;

use case::{Case, DOMAIN, then};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where a tool is: compilers on this session's `PATH`, all others where the command under test looks.
fn found(program: &str) -> Option<PathBuf> {
    let path =
        if matches!(program, "cargo" | "go") { std::env::var_os("PATH")? } else { "/usr/bin:/bin".into() };
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|d| d.join(program)).find(|f| f.is_file())
}

fn main() -> ExitCode {
    let trial = |name: &str, tools: &[&str], test: fn()| {
        let missing: Vec<&&str> = tools
            .iter()
            .filter(|t| if t.starts_with('/') { !Path::new(t).exists() } else { found(t).is_none() })
            .collect();
        if !missing.is_empty() {
            eprintln!("{name} is ignored: not installed here: {missing:?}");
        }
        let run = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!missing.is_empty())
    };
    let trials = vec![
        trial("bash", &["bash"], || works("bash", |_| {})),
        trial("python", &["/usr/bin/python3"], || works("python", |_| {})),
        trial("perl", &["/usr/bin/perl"], || works("perl", |_| {})),
        trial("rust", &["cargo"], rust),
        trial("go", &["go"], go),
        trial("perl_syntax", &["/usr/bin/perl"], perl_syntax),
        trial("gofmt", &["gofmt"], gofmt),
        trial("shellcheck", &["shellcheck"], shellcheck),
        trial("visudo", &["visudo"], visudo),
        trial("sudoers", &["visudo"], rules_that_lock_everybody_out),
        trial("systemd", &["systemd-analyze"], systemd),
        trial("schema", &["xmllint", "/usr/share/libvirt/schemas/domain.rng"], schema),
        trial("root", &["strace"], nothing_outside_of_a_root_is_written),
        trial("kill", &["strace", "/usr/bin/sh"], killed_at_any_call),
        trial("virsh", &["virsh"], a_vm_that_libvirt_knows),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Makes a package in a language, builds it, and has it checked, tried and tested.
fn works(language: &str, build: impl Fn(&Path)) {
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

fn rust() {
    works("rust", |dir| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        run(build.args(["build", "--release", "--offline"]).env_remove("CARGO_TARGET_DIR").current_dir(dir));
        fs::copy(dir.join("target/release/my-hook"), dir.join("hook")).unwrap();
    });
}

fn go() {
    works("go", |dir| {
        let mut build = Command::new("go");
        let cache = dir.with_file_name("go-cache");
        build.args(["build", "-o", "hook", "."]).env("CGO_ENABLED", "0").env("GOCACHE", cache);
        run(build.current_dir(dir));
    });
}

/// What `check` finds in a package that was changed.
fn found_in(edit: impl Fn(&Path)) -> Vec<(String, String)> {
    found_with(&[], edit)
}

fn found_with(options: &[&str], edit: impl Fn(&Path)) -> Vec<(String, String)> {
    let done = Case::new().says("new hook a --point before_vm_start").run().ended(0);
    edit(&done.path("a"));
    let done = then(done, &[&["check", "a", "--format", "json"], options].concat());
    let found: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    found.as_array().unwrap().iter().map(|f| (text(&f["kind"]), text(&f["what"]))).collect()
}

#[track_caller]
fn only(found: &[(String, String)], kind: &str, says: &str) {
    assert!(!found.is_empty() && found.iter().all(|(k, _)| k == kind), "{found:?}");
    assert!(found.iter().any(|(_, what)| what.contains(says)), "{found:?}");
}

fn with_file(dir: &Path, target: &str, mode: &str, text: &str) {
    let manifest = fs::read_to_string(dir.join("hook.toml")).unwrap();
    let table = format!("\n[[file]]\nsource = \"extra\"\ntarget = \"{target}\"\nmode = \"{mode}\"\n");
    fs::write(dir.join("hook.toml"), manifest + &table).unwrap();
    fs::write(dir.join("extra"), text).unwrap();
}

/// Compiling Perl runs it: only for whoever says that it is theirs.
fn perl_syntax() {
    let marks = tempfile::tempdir().unwrap();
    let mark = marks.path().join("ran");
    let with = |options: &[&str], text: String| {
        found_with(options, move |dir| {
            fs::write(dir.join("before_vm_start.sh"), format!("#!/usr/bin/perl\nuse strict;\n{text}"))
                .unwrap();
        })
    };
    let begin = format!("BEGIN {{ open(my $f, '>', '{}') }}\nprint 1;\n", mark.display());
    assert_eq!(with(&[], begin.clone()), []);
    assert!(!mark.exists(), "check ran a part of the package");
    assert_eq!(with(&["--own"], begin), []);
    assert!(mark.exists());
    assert_eq!(with(&[], "my $x = ;\n".into()), []);
    only(
        &with(&["--own"], "my $x = ;\n".into()),
        "script-syntax",
        "is not understood by perl: syntax error at line 3",
    );
}

fn gofmt() {
    let with = |text: &'static str| found_in(move |dir| fs::write(dir.join("helper.go"), text).unwrap());
    // In a form of its own is no mistake.
    assert_eq!(with("package main\nfunc  main( ) { }\n"), []);
    only(&with("package main\nfunc main( {\n"), "script-syntax", "is not understood by gofmt: line 2:");
}

fn shellcheck() {
    let found = found_in(|dir| {
        let script = dir.join("before_vm_start.sh");
        let text = fs::read_to_string(&script).unwrap();
        fs::write(&script, text.replace("\nset -u\n", "\nset -u\nls ${title:-}/x\n")).unwrap();
    });
    only(&found, "shellcheck", "line 7: Double quote");
}

fn visudo() {
    let rules = |text: &'static str| found_in(move |dir| with_file(dir, "/etc/sudoers.d/50_a", "0440", text));
    assert_eq!(rules("vdsm ALL=(ALL) NOPASSWD: /usr/sbin/ip\n"), []);
    only(&rules("vdsm may do all\n"), "sudoers-syntax", "is not understood by sudo");
}

/// They are neither packaged nor installed, from a directory or an archive, and what was there stays.
fn rules_that_lock_everybody_out() {
    let manifest = "manifest = 1\nname = \"mine\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
                    [[point]]\nname = \"before_vm_start\"\norder = 50\n\
                    [[file]]\nsource = \"rules\"\ntarget = \"/etc/sudoers.d/50_mine\"\nmode = \"0440\"\n";
    let good = "vdsm ALL=(ALL) NOPASSWD: /usr/sbin/ip\n";
    let case = Case::new().file("mine/hook.toml", manifest).file("mine/before_vm_start.sh", "#!/bin/sh\n");
    std::fs::create_dir(case.path("root")).unwrap();
    let done = case.file("mine/rules", good).says("--root root install mine").run().ended(0);
    let done = then(done, &["package", "mine", "--format", "tar", "--out", "out"]).ended(0);
    let before = files(&done.path("root"));
    fs::write(done.path("mine/rules"), "vdsm may do all\n").unwrap();
    // The archive of the good one, with the bad rules in it.
    let script = "set -e; mkdir t; cd t; tar xzf ../out/*.tar.gz; chmod 640 etc/sudoers.d/50_mine; \
                  cp ../mine/rules etc/sudoers.d/50_mine; chmod 440 etc/sudoers.d/50_mine; tar czf ../bad.tar.gz .";
    assert!(Command::new("sh").args(["-c", script]).current_dir(done.path("")).status().unwrap().success());
    let mut done = done;
    for arguments in [
        &["--root", "root", "install", "mine"][..],
        &["--root", "root", "install", "mine", "--dry-run"],
        &["--root", "root", "install", "bad.tar.gz"],
        &["package", "mine", "--format", "deb", "--out", "out"],
    ] {
        done = then(done, arguments).ended(3);
        let said = &done.stderr;
        assert!(
            said.starts_with("virt-hooks: target /etc/sudoers.d/50_mine: sudo would do nothing"),
            "{said}"
        );
        assert!(said.contains("visudo says: 50_mine:1:") && said.contains("syntax error"), "{said}");
        assert_eq!(files(&done.path("root")), before);
    }
}

fn systemd() {
    let unit = |line: &'static str| {
        found_in(move |dir| {
            let text = format!("[Unit]\nDescription=a\n[Service]\nExecStart=/usr/bin/true\n{line}\n");
            with_file(dir, "/usr/lib/systemd/system/a.service", "0644", &text);
        })
    };
    assert_eq!(unit("Type=oneshot"), []);
    only(&unit("Tipe=oneshot"), "unit-syntax", "Tipe");
}

fn schema() {
    let run = |to: &str, sample: &str| {
        let hook = format!("sed -i 's|</vcpu>|</vcpu>{to}|' \"$_hook_domxml\"");
        let arguments = ["try", "h", "--point", "before_vm_start", "--sample", sample];
        Case::new().executable("h", &hook).arguments(arguments).run().ended(0).stderr
    };
    for sample in ["domain", "domain-q35"] {
        let good = run("<iothreads>1</iothreads>", sample);
        assert!(good.contains("schema: the result is as libvirt's schema allows"), "{good}");
        let bad = run("<no-such-thing/>", sample);
        assert!(bad.contains("schema: the result is not as libvirt's schema allows\n    line "), "{bad}");
    }
    // Whose fault it is matters.
    let done = Case::new()
        .file("odd.xml", DOMAIN.replace("<devices/>", "<odd/>"))
        .executable("h", "sed -i 's/odd/odder/' \"$_hook_domxml\"")
        .says("try h --point before_vm_start --payload odd.xml")
        .run()
        .ended(0);
    assert!(done.stderr.contains("allows, nor was what the hook was given"), "{}", done.stderr);
}

fn a_vm_that_libvirt_knows() {
    // The test driver has a VM called "test" and needs no daemon.
    let run = |vm: &str| {
        let arguments =
            ["try", "h", "--point", "before_vm_start", "--connect", "test:///default", "--vm", vm];
        Case::new().executable("h", "grep '<name>' \"$_hook_domxml\" >&2").arguments(arguments).run()
    };
    let done = run("test").ended(0);
    assert!(done.stderr.contains("<name>test</name>"), "{}", done.stderr);
    let said = run("nobody").refused(3);
    assert!(said.starts_with("read the XML of VM nobody: virsh: "), "{said}");
    let hook = |name: &str| format!("sed -i 's#<name>.*#<name>{name}</name>#' \"$_hook_domxml\"");
    let done = Case::new()
        .hook("before_vm_start/10_a", &hook("one"))
        .hook("before_vm_start/20_b", &hook("two"))
        .says("conflicts --connect test:///default --vm test")
        .run()
        .ended(1);
    assert_eq!(done.stdout, "/domain/name/text(): 10_a, 20_b; what 20_b wrote is what counts\n");
}

/// A process that is really killed: at each of the calls with which it changes files.
fn killed_at_any_call() {
    // strace counts each of them by itself.
    const CALLS: [&str; 10] = [
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "fsync",
    ];
    let manifest = |version: &str, order: &str| {
        format!(
            "manifest = 1\nname = \"mine\"\nversion = \"{version}\"\nsummary = \"s\"\ndescription = \"d\"\n\
             licence = \"MIT\"\n[[point]]\nname = \"before_vm_start\"\norder = {order}\n\
             [[file]]\nsource = \"before_vm_start.sh\"\ntarget = \"/etc/vdsm/mine.{version}\"\n"
        )
    };
    let mut done = Case::new().says("points").run().ended(0);
    let mut ends = Vec::new();
    for (name, version, order) in [("old", "1", "50"), ("new", "2", "60")] {
        std::fs::create_dir_all(done.path(name)).unwrap();
        std::fs::write(done.path(name).join("hook.toml"), manifest(version, order)).unwrap();
        std::fs::write(done.path(name).join("before_vm_start.sh"), "#!/bin/sh\n").unwrap();
        std::fs::create_dir_all(done.path(&format!("root-{name}"))).unwrap();
        let root = format!("root-{name}");
        done = then(done, &["--root", &root, "install", name]).ended(0);
        ends.push(files(&done.path(&root)));
    }
    let mut interrupted = 0;
    let kills = CALLS.iter().flat_map(|call| (1..100).map(move |at| (*call, at)));
    let mut through = "";
    for (call, at) in kills {
        // It came to its end without that many of this call.
        if call == through {
            continue;
        }
        let root = done.path("root");
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir(&root).unwrap();
        done = then(done, &["--root", "root", "install", "old"]).ended(0);
        let case = done.again().arguments(["--root", "root", "install", "new"]);
        let plain = case.command();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace=?{call}"), "-e"])
            .arg(format!("inject=?{call}:signal=SIGKILL:when={at}"))
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(plain.get_current_dir().unwrap());
        done = case.run_as(command);
        if done.code == 0 {
            through = call;
        }
        if root.join("usr/share/virt-hooks/packages/.transaction.json").exists() {
            interrupted += 1;
            done = then(done, &["--root", "root", "verify"]).ended(1);
            assert!(done.stderr.contains("was interrupted"), "{call} {at}: {}", done.stderr);
        }
        done = then(done, &["--root", "root", "verify", "--recover"]).ended(0);
        let now = files(&root);
        assert!(ends.contains(&now), "killed at {call} {at}: {:?}", now.keys());
        assert!(call != through || now == ends[1]);
    }
    assert!(interrupted > 15, "{interrupted}");
}

/// All files below a directory, with what is in them.
fn files(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut all = std::collections::BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if !path.ends_with(".lock") {
                all.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// With `--root` no verb of administrators changes anything elsewhere.
fn nothing_outside_of_a_root_is_written() {
    let manifest = "manifest = 1\nname = \"mine\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
                    [[point]]\nname = \"before_vm_start\"\norder = 50\n";
    let case = Case::new().file("mine/hook.toml", manifest).file("mine/before_vm_start.sh", "#!/bin/sh\n");
    std::fs::create_dir(case.path("root")).unwrap();
    let mut done = case.says("points").run().ended(0);
    let root = fs::canonicalize(done.path("root")).unwrap();
    for (verb, writes) in [
        ("install mine", true),
        ("list", false),
        ("info mine", false),
        ("order before_vm_start", false),
        ("properties", false),
        ("verify", false),
        ("doctor", false),
        ("disable mine", true),
        ("enable mine", true),
        ("remove mine", true),
    ] {
        let log = done.path("log");
        let case = done.again().says("--root root").says(verb);
        let plain = case.command();
        let mut command = Command::new("strace");
        command.args(["-f", "-s", "4096", "-o"]).arg(&log);
        command.args(["-e", "trace=?open,?openat,?creat,?mkdir,?mkdirat,?rename,?renameat,?renameat2,?link,?linkat,?symlink,?symlinkat,?unlink,?unlinkat,?rmdir,?truncate,?chmod,?fchmodat"]);
        // The set-up of this host, and not that of the other tests.
        command.arg(plain.get_program()).args(plain.get_args()).current_dir(plain.get_current_dir().unwrap());
        done = case.run_as(command);
        let text = fs::read_to_string(&log).unwrap();
        let mut written = 0;
        for line in text.lines().filter(|l| !l.contains("ENOENT") && l.contains('"')) {
            let reads =
                line.contains(" open") && !["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|f| line.contains(f));
            // The last path is what is made; a link's may be anywhere.
            let path = line.rsplit('"').nth(1).unwrap_or_default();
            if reads || path == "/dev/null" {
                continue;
            }
            written += 1;
            let place = std::path::absolute(done.path(path)).unwrap();
            let place = fs::canonicalize(place.parent().unwrap()).unwrap_or(place);
            assert!(place.starts_with(&root), "{verb}: {line}");
        }
        assert!(done.code == 0 || verb == "doctor", "{verb}: {}", done.stderr);
        assert!(!writes || written > 0, "{verb}: nothing seen in {text}");
    }
}
