// SPDX-License-Identifier: Apache-2.0
//! `package`: what it says, what it refuses, what it signs, and that a chain that runs is not disturbed.

use crate::case::Case;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const MANIFEST: &str = "manifest = 1\nname = \"mine\"\nversion = \"1.0\"\nsummary = \"Does a thing\"\n\
    description = \"Does a thing.\"\nlicence = \"MIT\"\nmaintainer = \"A <a@example.org>\"\n\
    [[point]]\nname = \"before_vm_start\"\nfile = \"50_mine\"\n";

fn case() -> Case {
    Case::new().file("mine/hook.toml", MANIFEST).file("mine/before_vm_start.sh", "#!/bin/sh\nexit 0\n")
}

fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|s| s.success())
}

#[test]
fn each_format_has_its_name() {
    for (format, name) in [
        ("rpm", "virt-hook-mine-1.0-1.noarch.rpm"),
        ("deb", "virt-hook-mine_1.0_all.deb"),
        ("tar", "virt-hook-mine-1.0.tar.gz"),
    ] {
        let done = case().says(&format!("package mine --out out/here --format {format}")).run().ended(0);
        assert_eq!(done.stdout, format!("out/here/{name}\n"));
        assert!(done.path(&format!("out/here/{name}")).is_file());
    }
}

#[test]
fn mistakes_are_one_line_and_leave_nothing() {
    let line = Case::new().says("package hooks").run().refused(3);
    assert_eq!(line, "hooks is not a hook package: it has no hook.toml; \"virt-hooks new hook\" makes one");
    let line = Case::new().says("package nowhere").run().refused(3);
    assert!(line.starts_with("read nowhere/hook.toml: No such file"), "{line}");
    let line = case()
        .file("mine/hook.toml", MANIFEST.replace("mine", "../mine"))
        .says("package mine")
        .run()
        .refused(3);
    assert!(line.starts_with("mine/hook.toml:2:1: "), "{line}");
    let line = case().variable("SOURCE_DATE_EPOCH", "today").says("package mine").run().refused(2);
    assert!(line.starts_with("SOURCE_DATE_EPOCH is \"today\""), "{line}");
    let line = case().says("package mine --format exe").run().refused(2);
    assert!(line.contains("[possible values: rpm, deb, tar]"), "{line}");
    // Out is a file.
    let line = case().says("package mine --out dom.xml").run().refused(3);
    assert!(line.starts_with("make dom.xml: "), "{line}");
}

#[test]
fn a_full_disk_leaves_nothing() {
    if !Path::new("/dev/full").exists() || !rustix_root() {
        return;
    }
    let case = case();
    fs::create_dir(case.path("small")).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=8k", "none"]).arg(case.path("small")).status();
    if !mounted.is_ok_and(|s| s.success()) {
        return;
    }
    let small = case.path("small");
    let noise: Vec<u8> =
        (0_u32..40_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let done = case.file("mine/tests/noise", noise).says("package mine --out small").run();
    let left = fs::read_dir(&small).unwrap().count();
    Command::new("umount").arg(&small).status().unwrap();
    let line = done.refused(3);
    assert!(line.contains("No space left"), "{line}");
    assert_eq!(left, 0);
}

fn rustix_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

#[test]
fn a_key_signs_inside_or_beside() {
    if !has("gpg") || !has("rpm") || !has("rpmkeys") {
        println!("skipped: gpg or rpm is not installed");
        return;
    }
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

#[test]
fn a_key_that_is_not_there_leaves_nothing() {
    if !has("gpg") {
        println!("skipped: gpg is not installed");
        return;
    }
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

#[test]
fn an_upgrade_leaves_a_chain_that_runs_alone() {
    if !has("rpm") || !rustix_root() {
        println!("skipped: needs rpm and root");
        return;
    }
    // The hook says that it runs, waits to be told to go on, and then does what it was written to do.
    let hook =
        |word: &str| format!("#!/bin/sh\necho > \"$HERE/runs\"\nread x < \"$HERE/go\"\necho {word} >&2\n");
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
            .arg("-e")
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
    let ended = running.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && said.contains("first") && !said.contains("second"), "{said}");
    let running = fire();
    fs::read(here.join("runs")).unwrap();
    fs::write(here.join("go"), "\n").unwrap();
    let said = String::from_utf8(running.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("second"), "{said}");
}
