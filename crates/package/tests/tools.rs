// SPDX-License-Identifier: Apache-2.0
//! What rpm, dpkg and their linters say of the packages: of every bundled hook, and of one with everything in it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host_tools;

use host_tools::{complaints, dpkg, holds, places, root, rpm, run, same, trial};
use libtest_mimic::{Arguments, Failed};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use virt_hooks_package::build::layout::{PACKAGES, Package, Role, RustHooks, plan};
use virt_hooks_package::build::{Format, Item, ItemKind, Parcel, write};
use virt_hooks_package::shelf::{RECORD, names};
use virt_hooks_package::sudoers;

/// Half a year before this was written: neither tool likes packages from the future.
const TIME: u32 = 1_764_000_000;

/// What rpmlint's words are about that is not wrong here, and why.
const FINE_FOR_RPM: &[&str] = &[
    "no-signature",               // these are not signed
    "no-url-tag",                 // a package need not have one
    "invalid-license",            // Debian's rpmlint comes without a list of licences
    "only-non-binary-in-usr-lib", // units and rules belong there
    "dangling-relative-symlink",  // into the package that is required
    "files-duplicate",            // recorded cases where a hook changes nothing
    "non-readable",               // rules of sudo
    "files-duplicated-waste",     // the same
    "no-dependency-on",           // it takes -net and -dev at the end of a name for languages
    "zero-length",                // recorded cases without a payload
    "no-documentation",           // a package need not have any
    "non-executable-script",      // a case's script that is run by the name of its interpreter
];
/// The same of lintian.
const FINE_FOR_DEB: &[&str] = &[
    "non-standard-file-perm", // rules of sudo
    "non-standard-executable-perm",
    "script-not-executable", // as above
];

fn main() -> ExitCode {
    let trials = vec![
        trial("rpm_finds_the_right_files_and_digests", &["rpm"], rpm_lists),
        trial("dpkg_finds_the_right_files", &["dpkg-deb"], deb_lists),
        trial("rpmlint_is_content", &["rpmlint"], rpmlint),
        trial("lintian_is_content", &["lintian"], lintian),
        trial("rpm_installs_and_removes_without_a_trace", &["rpm", "root", "ldd"], rpm_installs),
        trial("dpkg_installs_and_removes_without_a_trace", &["dpkg", "root", "ldd"], dpkg_installs),
        trial("visudo_reads_rules_with_those_of_the_host", &["visudo"], visudo),
        trial("logrotate_passes_over_what_lies_beside", &["logrotate"], logrotate),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A made package and what should be in it.
struct Made {
    file: PathBuf,
    files: BTreeSet<String>,
}

/// The bundled hooks, and one package that has everything a manifest knows.
fn make(format: Format, out: &Path) -> Result<Vec<Made>, Failed> {
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hooks");
    let mut packages = Vec::new();
    for entry in fs::read_dir(&hooks)? {
        let dir = entry?.path();
        if dir.join("hook.toml").is_file() {
            packages.push((Package::open(&dir)?, RustHooks::Bundled));
        }
    }
    if packages.len() < 20 {
        return Err(format!("only {} bundled hooks", packages.len()).into());
    }
    packages.push((everything(&out.join("sources"))?, RustHooks::Refused));
    packages
        .iter()
        .map(|(package, rust)| {
            let parcel = Parcel::of(package, *rust, TIME)?;
            let file = write(&parcel, format, &out.join("packages"), None)?.package;
            let planned = plan(package, *rust)?.into_iter().map(|e| e.target);
            // What a package is verified by later comes on top.
            let record = Path::new(PACKAGES).join(&package.manifest.name).join(RECORD);
            let files = planned.chain([record]).map(|t| t.to_str().unwrap().to_owned()).collect();
            Ok(Made { file, files })
        })
        .collect()
}

fn everything(dir: &Path) -> Result<Package, Failed> {
    let manifest = r#"manifest = 1
name = "every_thing"
version = "1.2.3~rc1"
summary = "Have everything a manifest knows"
description = """
A hook with a unit, a user, rules and drop-ins; for tests. This is one paragraph that is longer than a line may be.

And here is another one."""
licence = "MIT"
maintainer = "Ada <ada@hooks.example.org>"
url = "https://hooks.example.org/every-thing"
engine = "0.1"
conflicts = ["no_thing"]

[packages]
rpm = ["qemu-img"]
deb = ["qemu-utils"]

[[point]]
name = "before_vm_start"
order = 50

[[file]]
source = "unit"
target = "/usr/lib/systemd/system/every-thing.service"

[[file]]
source = "users"
target = "/usr/lib/sysusers.d/every-thing.conf"

[[file]]
source = "files"
target = "/usr/lib/tmpfiles.d/every-thing.conf"

[[file]]
source = "rules"
target = "/usr/lib/udev/rules.d/60-every-thing.rules"

[[file]]
source = "sudo"
target = "/etc/sudoers.d/50_every_thing"
"#;
    fs::create_dir_all(dir)?;
    let write = |name: &str, content: &str| fs::write(dir.join(name), content);
    write("hook.toml", manifest)?;
    write("README.md", "# every_thing\n")?;
    write("before_vm_start.sh", "#!/bin/sh\nexit 0\n")?;
    write(
        "unit",
        "[Unit]\nDescription=Everything\nDocumentation=https://hooks.example.org/\n\n[Service]\n\
         ExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n",
    )?;
    write("users", "u every-thing - \"Everything\"\n")?;
    write("files", "d /run/every-thing 0755 root root -\n")?;
    write("rules", "# none yet\n")?;
    write("sudo", "# none yet\n")?;
    Ok(Package::open(dir)?)
}

fn rpm_lists() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    for made in make(Format::Rpm, dir.path())? {
        let said = run(Command::new("rpm").args(["-K", "--nosignature"]).arg(&made.file))?;
        if !said.contains("digests OK") {
            return Err(said.into());
        }
        let said = run(Command::new("rpm").args(["-qp", "--qf", "[%{FILENAMES}\\n]"]).arg(&made.file))?;
        same(&said.lines().map(str::to_owned).collect(), &made.files, &made.file)?;
        let owners = run(Command::new("rpm")
            .args(["-qp", "--qf", "[%{FILEUSERNAME}:%{FILEGROUPNAME}\\n]"])
            .arg(&made.file))?;
        if owners.lines().any(|l| l != "root:root") {
            return Err(format!("{}: {owners}", made.file.display()).into());
        }
    }
    let whole = dir.path().join("packages/virt-hook-every-thing-1.2.3~rc1-1.noarch.rpm");
    let ask = |what: &[&str]| run(Command::new("rpm").arg("-qp").args(what).arg(&whole));
    for needed in
        ["virt-hooks >= 0.1", "qemu-img", "sudo", "/bin/sh", "config(virt-hook-every-thing) = 1.2.3~rc1-1"]
    {
        holds(&ask(&["--requires"])?, needed)?;
    }
    holds(&ask(&["--conflicts"])?, "virt-hook-no-thing")?;
    holds(&ask(&["--configfiles"])?, "/etc/sudoers.d/50_every_thing")?;
    holds(&ask(&["--docfiles"])?, "README.md")?;
    let scripts = ask(&["--scripts"])?;
    for step in [
        "systemd-sysusers",
        "systemd-tmpfiles",
        "udevadm control",
        "daemon-reload",
        "preset every-thing.service",
    ] {
        holds(&scripts, step)?;
    }
    holds(
        &ask(&["--qf", "%{VERSION} %{LICENSE} %{URL} %{PACKAGER} %{SUMMARY}"])?,
        "1.2.3~rc1 MIT https://hooks.example.org/every-thing Ada <ada@hooks.example.org> Have everything a manifest knows",
    )?;
    holds(&ask(&["-lv"])?, "-r--r-----    1 root     root                       11")
}

fn deb_lists() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    for made in make(Format::Deb, dir.path())? {
        let said = run(Command::new("dpkg-deb").arg("-c").arg(&made.file))?;
        let mut listed = BTreeSet::new();
        for line in said.lines() {
            let mut words = line.split_whitespace();
            if words.nth(1) != Some("root/root") {
                return Err(line.to_owned().into());
            }
            let place = words.nth(3).unwrap().trim_start_matches('.').trim_end_matches('/');
            listed.insert(place.to_owned());
        }
        let mut expected = made.files.clone();
        let name = run(Command::new("dpkg-deb").arg("-f").arg(&made.file).arg("Package"))?;
        for document in ["copyright", "changelog.gz"] {
            expected.insert(format!("/usr/share/doc/{}/{document}", name.trim()));
        }
        for place in expected.clone() {
            expected.extend(
                Path::new(&place).ancestors().map(|a| a.to_str().unwrap().trim_end_matches('/').to_owned()),
            );
        }
        same(&listed, &expected, &made.file)?;
    }
    let whole = dir.path().join("packages/virt-hook-every-thing_1.2.3~rc1_all.deb");
    let control = run(Command::new("dpkg-deb").arg("-f").arg(&whole))?;
    for field in [
        "Depends: qemu-utils, sudo, virt-hooks (>= 0.1)",
        "Conflicts: virt-hook-no-thing",
        "Maintainer: Ada <ada@hooks.example.org>",
        "Homepage: https://hooks.example.org/every-thing",
        " .\n And here is another one.",
    ] {
        holds(&control, field)?;
    }
    let scripts = run(Command::new("dpkg-deb").arg("-I").arg(&whole).args([
        "postinst",
        "prerm",
        "postrm",
        "conffiles",
    ]))?;
    for step in [
        "systemd-sysusers",
        "deb-systemd-helper enable",
        "deb-systemd-invoke stop",
        "/etc/sudoers.d/50_every_thing",
    ] {
        holds(&scripts, step)?;
    }
    // The sums are those of the files.
    let root = dir.path().join("root");
    run(Command::new("dpkg-deb").arg("-R").args([&whole, &root]))?;
    run(Command::new("md5sum").args(["--check", "--strict", "--quiet", "DEBIAN/md5sums"]).current_dir(&root))
        .map(drop)
}

fn rpmlint() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let files: Vec<PathBuf> = make(Format::Rpm, dir.path())?.into_iter().map(|m| m.file).collect();
    // It ends badly when it complains, and words decide here whether it may.
    let said = Command::new("rpmlint").args(&files).output()?;
    let said = String::from_utf8_lossy(&said.stdout);
    holds(&said, &format!("{} packages and 0 specfiles checked", files.len()))?;
    complaints(&said, FINE_FOR_RPM)
}

fn lintian() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let files: Vec<PathBuf> = make(Format::Deb, dir.path())?.into_iter().map(|m| m.file).collect();
    let said =
        Command::new("lintian").args(["--allow-root", "--no-tag-display-limit"]).args(&files).output()?;
    let errors = String::from_utf8_lossy(&said.stderr);
    if !matches!(said.status.code(), Some(0 | 2)) {
        return Err(errors.into_owned().into());
    }
    complaints(&String::from_utf8_lossy(&said.stdout), FINE_FOR_DEB)
}

fn rpm_installs() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let root = root(dir.path())?;
    // Directories of the distribution's, and its records.
    for place in [
        "etc/sudoers.d",
        "usr/lib/systemd/system",
        "usr/lib/systemd/system-preset",
        "usr/lib/udev/rules.d",
        "usr/lib/sysusers.d",
        "usr/lib/tmpfiles.d",
        "etc/modprobe.d",
        "usr/libexec",
        "usr/share",
        "tmp",
        "var/tmp",
        "var/lib/rpm",
    ] {
        fs::create_dir_all(root.join(place))?;
    }
    let own = ["/var/lib/rpm"];
    let before = places(&root, &own)?;
    let rpm = || rpm(&root);
    let made = make(Format::Rpm, dir.path())?;
    let files: Vec<&PathBuf> = made.iter().map(|m| &m.file).collect();
    run(rpm().args(["-i", "--nodeps", "--nosignature"]).args(&files))?;
    let there = places(&root, &own)?;
    let missing: Vec<&String> = made.iter().flat_map(|m| &m.files).filter(|f| !there.contains(*f)).collect();
    if !missing.is_empty() {
        return Err(format!("not installed: {missing:?}").into());
    }
    let names = run(rpm().args(["-qa", "--qf", "%{NAME}\\n"]))?;
    let names: Vec<&str> = names.lines().collect();
    if names.len() != made.len() {
        return Err(format!("installed: {names:?}").into());
    }
    // Each file is as it was packed: size, mode, digest, owner, time.
    run(rpm().args(["-V", "--nodeps"]).args(&names))?;
    run(rpm().args(["-e", "--nodeps"]).args(&names))?;
    same(&places(&root, &own)?, &before, &root)
}

fn dpkg_installs() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let root = root(dir.path())?;
    for place in ["etc/sudoers.d", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"] {
        fs::create_dir_all(root.join(place))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    let own = ["/var/lib/dpkg", "/var/log"];
    let before = places(&root, &own)?;
    let dpkg = || dpkg(&root);
    let made = make(Format::Deb, dir.path())?;
    run(dpkg().arg("-i").args(made.iter().map(|m| &m.file)))?;
    let there = places(&root, &own)?;
    let missing: Vec<&String> = made.iter().flat_map(|m| &m.files).filter(|f| !there.contains(*f)).collect();
    if !missing.is_empty() {
        return Err(format!("not installed: {missing:?}").into());
    }
    let names = run(Command::new("dpkg-query").arg(format!("--root={}", root.display())).args([
        "-W",
        "-f",
        "${Package}\\n",
    ]))?;
    let names: Vec<&str> = names.lines().collect();
    let wrong = run(dpkg().arg("-V"))?;
    if names.len() != made.len() || !wrong.is_empty() {
        return Err(format!("installed: {names:?}\n{wrong}").into());
    }
    // What the administrator may have changed stays until it is purged.
    run(dpkg().arg("-r").args(&names))?;
    if !root.join("etc/sudoers.d/50_every_thing").is_file() {
        return Err("removed a configuration file".into());
    }
    run(dpkg().arg("-P").args(&names))?;
    let mut after = places(&root, &own)?;
    // dpkg keeps a directory that it has not made itself, and here it made all.
    let mut before = before;
    for place in ["/etc", "/etc/sudoers.d"] {
        after.remove(place);
        before.remove(place);
    }
    same(&after, &before, &root)
}

/// What lies beside a rule for moments, or until somebody looks at it, is not read a second time.
fn logrotate() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let rules = dir.path().join("rules.d");
    fs::create_dir(&rules)?;
    let rule = format!("{} {{\n  weekly\n  missingok\n}}\n", dir.path().join("mine.log").display());
    let real = rules.join("mine");
    fs::write(&real, &rule)?;
    for path in
        [names::beside_new(&real), names::beside_saved(&real), names::staged(&real), names::kept(&real)]
    {
        fs::write(path, &rule)?;
    }
    let main = dir.path().join("main.conf");
    fs::write(&main, format!("include {}\n", rules.display()))?;
    let said = || -> Result<String, Failed> {
        let state = dir.path().join("state");
        let path = "/usr/sbin:/sbin:/usr/bin:/bin";
        let out =
            Command::new("logrotate").env("PATH", path).arg("-d").arg("-s").arg(state).arg(&main).output()?;
        Ok(String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let good = said()?;
    if !good.contains("mine.log") || good.contains("duplicate") {
        return Err(good.into());
    }
    // Names with another end, or with a dot in front, are read and spoil the rule.
    for name in ["mine.virt-hooks-new", ".mine.virt-hooks.rpmnew"] {
        fs::write(rules.join(name), &rule)?;
        let bad = said()?;
        if !bad.contains("duplicate log entry") {
            return Err(bad.into());
        }
        fs::remove_file(rules.join(name))?;
    }
    Ok(())
}

/// Good by themselves, rules may still spoil those that are there.
fn visudo() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let existing = dir.path().join("sudoers");
    let look = |rules: &str, existing: Option<&Path>| {
        let kind = ItemKind::File { content: rules.into(), mode: 0o440 };
        let target = PathBuf::from("/etc/sudoers.d/50_of_no_package_here");
        sudoers::look(&[Item { target, kind, role: Role::Configuration }], existing)
            .map_err(|e| e.to_string())
    };
    let rules = "User_Alias HOOKS = vdsm\nHOOKS ALL=(ALL) NOPASSWD: /usr/sbin/ip\n";
    fs::write(&existing, "User_Alias HOOKS = qemu\nroot ALL=(ALL:ALL) ALL\n")?;
    let alone = look(rules, None);
    let together = look(rules, Some(&existing));
    let other = look(&rules.replace("HOOKS", "OTHER"), Some(&existing));
    fs::write(&existing, "was broken before\n")?;
    let broken = look(rules, Some(&existing));
    let good = Ok(sudoers::Looked::Good);
    let said = together.clone().err().unwrap_or_default();
    if alone == good && other == good && broken == good && said.contains("already defined") {
        return Ok(());
    }
    Err(format!("{alone:?}\n{together:?}\n{other:?}\n{broken:?}").into())
}
