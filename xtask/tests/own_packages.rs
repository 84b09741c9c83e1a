// SPDX-License-Identifier: Apache-2.0
//! Our own packages, made from the executables that lie beside this test, without their symbols: what linters say, and that
//! they are installed, replaced by newer ones and removed without a trace, where neither systemd nor anything else runs.

#[path = "../../crates/package/tests/host_tools/mod.rs"]
mod host_tools;

use host_tools::{complaints, dpkg, holds, places, root, rpm, run, same, trial};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use virt_hooks_contract::Catalogue;
use virt_hooks_package::build::{Format, Parcel, write};
use xtask::packages::{Packaging, parcels};

/// Neither tool likes packages from the future.
const TIME: u32 = 1_764_000_000;
/// The packages that are no hook.
const OWN: &[&str] = &["virt-hooks", "virt-hooks-bundled", "virt-hooks-kubevirt"];
const PROGRAMS: &[&str] =
    &["virt-hooks", "virt-hooks-vm", "virt-hooksd", "virt-hooks-bundled", "virt-hooks-kubevirt"];

fn main() -> ExitCode {
    let missing = beside()
        .map_or(Some("executables"), |dir| PROGRAMS.iter().find(|name| !dir.join(name).is_file()).copied());
    let trial = |name: &str, tools: &[&str], test| match missing {
        None => trial(name, tools, test),
        Some(program) => {
            let why = format!(" (skipped: {program} is not built: cargo build --workspace)");
            Trial::test(format!("{name}{why}"), test).with_ignored_flag(true)
        }
    };
    let trials = vec![
        trial("rpmlint_is_content", &["strip", "rpmlint"], rpmlint),
        trial("lintian_is_content", &["strip", "lintian"], lintian),
        trial("an_rpm_has_the_notices_of_others", &["strip", "rpm"], rpm_notices),
        trial("a_deb_has_the_notices_of_others", &["strip", "dpkg"], deb_notices),
        trial("rpm_installs_upgrades_and_removes", &["strip", "rpm", "root", "ldd"], with_rpm),
        trial("dpkg_installs_upgrades_and_purges", &["strip", "dpkg", "root", "ldd"], with_dpkg),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Where the executables of the same build are.
fn beside() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.parent()?.to_owned())
}

/// What is packed, from executables as they are released: without symbols.
fn packed(dir: &Path) -> Result<Vec<Parcel>, Failed> {
    let (built, bin) = (beside().ok_or("this test lies nowhere")?, dir.join("bin"));
    fs::create_dir_all(&bin)?;
    for program in PROGRAMS {
        run(Command::new("strip").arg("-o").args([bin.join(program), built.join(program)]))?;
    }
    let to = Packaging { out: dir, bin_dirs: &[bin], time: TIME, sign: None };
    Ok(parcels(&to, &Catalogue::built_in())?)
}

fn written(parcels: &[Parcel], format: Format, dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    parcels.iter().map(|p| Ok(write(p, format, dir, None)?.package)).collect()
}

/// The packages that are no hook, as files.
fn own(format: Format, dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut parcels = packed(dir)?;
    parcels.retain(|p| OWN.contains(&&*p.name));
    assert_eq!(parcels.len(), OWN.len());
    written(&parcels, format, &dir.join("packages"))
}

/// The tags of a tool that are fine; each line has to say why.
fn allowed(tool: &str) -> Result<Vec<String>, Failed> {
    let file = xtask::root().join("xtask/tests/lint-allow.txt");
    let mut tags = Vec::new();
    for line in fs::read_to_string(file)?.lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [of, tag, _, ..] if *of == tool => tags.push((*tag).to_owned()),
            ["rpmlint" | "lintian", _, _, ..] => {}
            _ => return Err(format!("lint-allow.txt: \"{line}\" is not TOOL TAG REASON").into()),
        }
    }
    Ok(tags)
}

fn content(tool: &str, said: &str) -> Result<(), Failed> {
    let allowed = allowed(tool)?;
    complaints(said, &allowed.iter().map(String::as_str).collect::<Vec<_>>())
}

fn rpmlint() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    // It ends badly when it complains; words decide here whether it may.
    let said = Command::new("rpmlint").args(own(Format::Rpm, dir.path())?).output()?;
    let said = String::from_utf8_lossy(&said.stdout);
    holds(&said, &format!("{} packages and 0 specfiles checked", OWN.len()))?;
    content("rpmlint", &said)
}

fn lintian() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let files = own(Format::Deb, dir.path())?;
    let said =
        Command::new("lintian").args(["--allow-root", "--no-tag-display-limit"]).args(files).output()?;
    if !matches!(said.status.code(), Some(0 | 2)) {
        return Err(String::from_utf8_lossy(&said.stderr).into_owned().into());
    }
    content("lintian", &String::from_utf8_lossy(&said.stdout))
}

/// What must be in the notices of each package with executables.
const LINKED: &[(&str, &[&str])] = &[
    ("virt-hooks", &["clap ", "libloading ", "Permission is hereby granted"]),
    ("virt-hooks-bundled", &["serde_json ", "Permission is hereby granted"]),
    ("virt-hooks-kubevirt", &["tonic ", "tonic-prost ", "Permission is hereby granted"]),
];

fn rpm_notices() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let files = own(Format::Rpm, dir.path())?;
    let ask = |what: &[&str], file: &Path| {
        run(Command::new("rpm").args(["-qp", "--nosignature"]).args(what).arg(file))
    };
    for file in &files {
        let licences = ask(&["--licensefiles"], file)?;
        let name = ask(&["--qf", "%{NAME}"], file)?;
        holds(&licences, &format!("/usr/share/doc/{name}/THIRD-PARTY\n"))?;
        holds(&licences, &format!("/usr/share/doc/{name}/LICENSE\n"))?;
    }
    Ok(())
}

fn deb_notices() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    for (at, file) in own(Format::Deb, dir.path())?.iter().enumerate() {
        let out = dir.path().join(at.to_string());
        run(Command::new("dpkg-deb").arg("-x").arg(file).arg(&out))?;
        let name = run(Command::new("dpkg-deb").arg("-f").arg(file).arg("Package"))?;
        let doc = out.join("usr/share/doc").join(name.trim());
        let notices = fs::read_to_string(doc.join("THIRD-PARTY"))?;
        let (_, wanted) = LINKED.iter().find(|(n, _)| *n == name.trim()).ok_or("an unknown package")?;
        for words in *wanted {
            holds(&notices, words)?;
        }
        // Policy has people look into this file first.
        holds(
            &fs::read_to_string(doc.join("copyright"))?,
            &format!("/usr/share/doc/{}/THIRD-PARTY", name.trim()),
        )?;
    }
    Ok(())
}

/// All packages, and the same as of a later version.
fn two_versions(format: Format, dir: &Path) -> Result<(Vec<Parcel>, [Vec<PathBuf>; 2]), Failed> {
    let old = packed(dir)?;
    let mut new = old.clone();
    for parcel in &mut new {
        "99.0.0".clone_into(&mut parcel.version);
    }
    let files = [&old, &new].map(|p| written(p, format, &dir.join("packages")));
    let [first, second] = files;
    Ok((old, [first?, second?]))
}

/// That everything packed is there.
fn all_there(parcels: &[Parcel], there: &BTreeSet<String>) -> Result<(), Failed> {
    let wanted = parcels.iter().flat_map(|p| &p.items).map(|i| i.target.to_string_lossy());
    let missing: Vec<_> = wanted.filter(|t| !there.contains(&**t)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("not installed: {missing:?}").into()) }
}

/// A root with the directories that a distribution's own packages have.
fn bare_root(dir: &Path, parcels: &[Parcel], more: &[&str]) -> Result<PathBuf, Failed> {
    let root = root(dir)?;
    for place in more {
        fs::create_dir_all(root.join(place))?;
    }
    let packed: BTreeSet<&Path> = parcels.iter().flat_map(|p| &p.items).map(|i| i.target.as_path()).collect();
    for target in &packed {
        for above in target.ancestors().skip(1).filter(|a| !packed.contains(a)) {
            fs::create_dir_all(root.join(above.strip_prefix("/")?))?;
        }
    }
    Ok(root)
}

fn with_rpm() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let (parcels, [old, new]) = two_versions(Format::Rpm, dir.path())?;
    let root = bare_root(dir.path(), &parcels, &["tmp", "var/tmp", "var/lib/rpm"])?;
    let records = ["/var/lib/rpm"];
    let before = places(&root, &records)?;
    let rpm = || rpm(&root);
    run(rpm().args(["-i", "--nodeps", "--nosignature"]).args(&old))?;
    all_there(&parcels, &places(&root, &records)?)?;
    // The administrator's own stays through it all.
    let mine = root.join("etc/virt-hooks/hooks/before_vm_start/50_mine");
    fs::create_dir_all(mine.parent().ok_or("no directory")?)?;
    fs::write(&mine, "mine")?;
    run(rpm().args(["-U", "--nodeps", "--nosignature"]).args(&new))?;
    all_there(&parcels, &places(&root, &records)?)?;
    let names = run(rpm().args(["-qa", "--qf", "%{NAME} %{VERSION}\\n"]))?;
    if names.lines().count() != parcels.len() || names.lines().any(|l| !l.ends_with(" 99.0.0")) {
        return Err(format!("installed: {names}").into());
    }
    let names: Vec<&str> = parcels.iter().map(|p| p.name.as_str()).collect();
    run(rpm().args(["-V", "--nodeps"]).args(&names))?;
    run(rpm().args(["-e", "--nodeps"]).args(&names))?;
    assert_eq!(fs::read_to_string(&mine)?, "mine");
    fs::remove_dir_all(root.join("etc/virt-hooks"))?;
    same(&places(&root, &records)?, &before, &root)
}

fn with_dpkg() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let (parcels, [old, new]) = two_versions(Format::Deb, dir.path())?;
    let more = ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log", "usr/share/doc"];
    let root = bare_root(dir.path(), &parcels, &more)?;
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    let records = ["/var/lib/dpkg", "/var/log"];
    // dpkg takes empty directories of a distribution for its own when their last file goes.
    let files = |places: BTreeSet<String>| -> BTreeSet<String> {
        places.into_iter().filter(|p| !root.join(&p[1..]).is_dir() || p.contains("virt-hook")).collect()
    };
    let before = files(places(&root, &records)?);
    let dpkg = || dpkg(&root);
    run(dpkg().arg("-i").args(&old))?;
    all_there(&parcels, &places(&root, &records)?)?;
    run(dpkg().arg("-i").args(&new))?;
    all_there(&parcels, &places(&root, &records)?)?;
    let state = run(Command::new("dpkg-query").arg(format!("--root={}", root.display())).args([
        "-W",
        "-f",
        "${db:Status-Status} ${Version}\\n",
    ]))?;
    let changed = run(dpkg().arg("-V"))?;
    if state.lines().count() != parcels.len()
        || state.lines().any(|l| l != "installed 99.0.0")
        || !changed.is_empty()
    {
        return Err(format!("installed:\n{state}{changed}").into());
    }
    let names: Vec<&str> = parcels.iter().map(|p| p.name.as_str()).collect();
    run(dpkg().arg("-r").args(&names))?;
    run(dpkg().arg("-P").args(&names))?;
    same(&files(places(&root, &records)?), &before, &root)
}
