// SPDX-License-Identifier: Apache-2.0
//! `package` and `install` where it takes tools: what is signed, full and read-only disks, processes that are killed,
//! and that a chain that runs is not disturbed.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "cli/case.rs"]
#[allow(dead_code, reason = "the other tests use all of it")]
mod case;

use case::Case;
use libtest_mimic::{Arguments, Trial};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, ExitCode, Stdio};

const MANIFEST: &str = "manifest = 1\nname = \"mine\"\nversion = \"1.0\"\nsummary = \"Does a thing\"\n\
    description = \"Does a thing.\"\nlicence = \"MIT\"\nmaintainer = \"A <a@example.org>\"\n\
    [[point]]\nname = \"before_vm_start\"\nfile = \"50_mine\"\n";

fn case() -> Case {
    Case::new().file("mine/hook.toml", MANIFEST).file("mine/before_vm_start.sh", "#!/bin/sh\nexit 0\n")
}

fn main() -> ExitCode {
    let trial = |name: &str, tools: &[&str], test: fn()| {
        let missing: Vec<&&str> = tools.iter().filter(|t| !has(t)).collect();
        let why = missing.first().map(|t| format!(" (skipped: no {t} here)")).unwrap_or_default();
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(format!("{name}{why}"), run).with_ignored_flag(!missing.is_empty())
    };
    let trials = vec![
        trial("a_full_disk_leaves_nothing", &["root", "tmpfs"], a_full_disk_leaves_nothing),
        trial("an_install_on_a_full_disk_changes_nothing", &["root", "tmpfs"], || no_install_on("size=16k")),
        trial("an_install_on_a_read_only_disk_changes_nothing", &["root", "tmpfs"], || no_install_on("ro")),
        trial("a_key_signs_inside_or_beside", &["gpg", "rpmkeys"], a_key_signs_inside_or_beside),
        trial("a_key_that_is_not_there_leaves_nothing", &["gpg"], a_key_that_is_not_there_leaves_nothing),
        trial(
            "an_upgrade_leaves_a_chain_that_runs_alone",
            &["root", "rpm"],
            an_upgrade_leaves_a_chain_that_runs_alone,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn has(tool: &str) -> bool {
    match tool {
        "root" => fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0),
        // Where mounting is allowed at all: in a namespace of its own, which ends with the command.
        "tmpfs" => works(Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])),
        _ => works(Command::new(tool).arg("--version")),
    }
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn a_full_disk_leaves_nothing() {
    let case = case();
    fs::create_dir(case.path("small")).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=8k", "none"]).arg(case.path("small")).status();
    if !mounted.is_ok_and(|s| s.success()) {
        return;
    }
    let small = case.path("small");
    // What does not get smaller.
    let mut noise = vec![0; 40_000];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let done = case.file("mine/tests/noise", noise).says("package mine --out small").run();
    let left = fs::read_dir(&small).unwrap().count();
    Command::new("umount").arg(&small).status().unwrap();
    let line = done.refused(3);
    assert!(line.contains("No space left"), "{line}");
    assert_eq!(left, 0);
}

/// Into a file system that takes nothing more.
fn no_install_on(option: &str) {
    let case = case();
    let root = case.path("root");
    fs::create_dir(&root).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", option, "none"]).arg(&root).status().unwrap();
    assert!(mounted.success());
    let mut noise = vec![0; 40_000];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let done = case.file("mine/tests/noise", noise).says("--root root install mine").run();
    let files = files_below(&root);
    Command::new("umount").arg(&root).status().unwrap();
    let line = done.refused(3);
    assert!(line.contains("No space left") || line.contains("Read-only file system"), "{line}");
    assert_eq!(files, [""; 0]);
}

/// Names of all files but for the lock.
fn files_below(dir: &std::path::Path) -> Vec<String> {
    let found =
        Command::new("find").arg(dir).args(["!", "-type", "d", "!", "-name", ".lock"]).output().unwrap();
    let mut all: Vec<String> = String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    all.sort();
    all
}

fn a_key_signs_inside_or_beside() {
    for algorithm in ["rsa2048", "ed25519"] {
        let home = tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap();
        let gpg = |arguments: &[&str]| {
            let said = Command::new("gpg")
                .env("GNUPGHOME", home.path())
                .args(["--batch", "--quiet"])
                .args(arguments)
                .output()
                .unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            said.stdout
        };
        gpg(&["--passphrase", "", "--quick-generate-key", "signer@example.org", algorithm, "sign", "never"]);
        let public = gpg(&["--armor", "--export"]);
        let sign = |format: &str| {
            case()
                .variable("GNUPGHOME", home.path())
                .says(&format!("package mine --format {format} --sign signer@example.org"))
                .run()
                .ended(0)
        };
        let done = sign("deb");
        assert_eq!(done.stdout, "./virt-hook-mine_1.0_all.deb\n./virt-hook-mine_1.0_all.deb.asc\n");
        let path = |name: &str| done.path(name).to_str().unwrap().to_owned();
        gpg(&["--verify", &path("virt-hook-mine_1.0_all.deb.asc"), &path("virt-hook-mine_1.0_all.deb")]);
        let done = sign("rpm");
        assert_eq!(done.stdout, "./virt-hook-mine-1.0-1.noarch.rpm\n");
        fs::write(done.path("key.asc"), public).unwrap();
        let rpmkeys = |arguments: &[&str]| {
            let said = Command::new("rpmkeys")
                .env("LC_ALL", "C.UTF-8")
                .arg("--dbpath")
                .arg(done.path("keys"))
                .args(arguments)
                .current_dir(done.path(""))
                .output()
                .unwrap();
            (said.status.success(), String::from_utf8(said.stdout).unwrap())
        };
        assert!(rpmkeys(&["--import", "key.asc"]).0);
        let (good, said) = rpmkeys(&["--checksig", "-v", "virt-hook-mine-1.0-1.noarch.rpm"]);
        assert!(good && said.contains("Signature, key ID") && said.contains(": OK"), "{algorithm}: {said}");
        // A changed byte shows.
        let package = done.path("virt-hook-mine-1.0-1.noarch.rpm");
        let mut bytes = fs::read(&package).unwrap();
        let last = bytes.len() - 9;
        bytes[last] ^= 1;
        fs::write(&package, bytes).unwrap();
        assert!(!rpmkeys(&["--checksig", "virt-hook-mine-1.0-1.noarch.rpm"]).0);
        Command::new("gpgconf").env("GNUPGHOME", home.path()).args(["--kill", "all"]).status().unwrap();
    }
}

fn a_key_that_is_not_there_leaves_nothing() {
    let case = case();
    fs::create_dir(case.path("gnupg")).unwrap();
    let home = case.path("gnupg");
    let out = case.path("out");
    for format in ["rpm", "deb"] {
        let case = self::case().variable("GNUPGHOME", &home);
        let line = case
            .arguments(["package", "mine", "--sign", "nobody", "--format", format, "--out"])
            .arguments([&out])
            .run()
            .refused(3);
        assert!(line.starts_with("sign with the key nobody: gpg: "), "{line}");
    }
    assert!(!out.exists());
}

fn an_upgrade_leaves_a_chain_that_runs_alone() {
    // The hook says that it runs, waits to be told to go on, and then does what it was written to do.
    let hook = |word: &str| {
        format!("#!/bin/sh\necho > \"$HERE/runs\"\nread x < \"$HERE/go\"\necho {word} >> \"$HERE/log\"\n")
    };
    let case = case().file("mine/before_vm_start.sh", hook("first"));
    let here = case.path("");
    let bin = env!("CARGO_BIN_EXE_virt-hooks");
    let run = |command: &mut Command| {
        let said = command.current_dir(&here).output().unwrap();
        assert!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    };
    let root = case.path("root");
    fs::create_dir_all(root.join("var/lib/rpm")).unwrap();
    let mut version = 0;
    let mut install = || {
        version += 1;
        run(Command::new(bin).args(["package", "mine", "--out", "out"]));
        let file = here.join(format!("out/virt-hook-mine-1.{}-1.noarch.rpm", version - 1));
        run(Command::new("rpm")
            .arg("--root")
            .arg(&root)
            .args(["--dbpath", "/var/lib/rpm", "-U", "--nodeps", "--nosignature"])
            .arg(file));
    };
    install();
    run(Command::new("mkfifo").args(["runs", "go"]));
    let fire = || {
        Command::new(bin)
            .args([
                "fire",
                "before_vm_start",
                "--payload",
                "dom.xml",
                "--hooks-dir",
                "root/usr/libexec/vdsm/hooks",
                "--run-dir",
                "run",
            ])
            .args(["--state-dir", "state", "--config", "config.toml"])
            .arg("-p")
            .arg(format!("HERE={}", here.display()))
            .current_dir(&here)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running = fire();
    fs::read(here.join("runs")).unwrap();
    fs::write(here.join("mine/hook.toml"), MANIFEST.replace("1.0", "1.1")).unwrap();
    fs::write(here.join("mine/before_vm_start.sh"), hook("second")).unwrap();
    install();
    fs::write(here.join("go"), "\n").unwrap();
    let ended = |running: std::process::Child| {
        let said = running.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        fs::read_to_string(here.join("log")).unwrap()
    };
    assert_eq!(ended(running), "first\n");
    let running = fire();
    fs::read(here.join("runs")).unwrap();
    fs::write(here.join("go"), "\n").unwrap();
    assert_eq!(ended(running), "first\nsecond\n");
}
