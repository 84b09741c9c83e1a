// SPDX-License-Identifier: Apache-2.0
//! The image for a cluster: the Containerfile copies what is laid out, all of it and nothing else; and is built for
//! real where something can.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use tempfile::TempDir;

fn main() -> ExitCode {
    let tool = ["buildah", "podman", "docker"].into_iter().find(|tool| {
        // What needs a daemon says no where there is none.
        let mut command = Command::new(tool);
        command.arg("info").stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    let why = if tool.is_some() { "" } else { " (skipped: no buildah, podman or docker that works here)" };
    let plain = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        plain("the_containerfile_copies_what_is_laid_out", the_containerfile_copies_what_is_laid_out),
        plain("what_is_left_out_is_what_does_not_work_there", what_is_left_out_is_what_does_not_work_there),
        plain("what_was_not_built_is_told", what_was_not_built_is_told),
        Trial::test(format!("it_is_built_for_real{why}"), move || {
            it_is_built_for_real(tool.unwrap_or_default());
            Ok(())
        })
        .with_ignored_flag(tool.is_none()),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Stand-ins for the executables, and the tree made of them.
fn laid_out() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (bin, tree) = (dir.path().join("bin"), dir.path().join("tree"));
    fs::create_dir(&bin).unwrap();
    for name in ["virt-hooks-kubevirt", "virt-hooks-bundled"] {
        fs::write(bin.join(name), name).unwrap();
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o700)).unwrap();
    }
    // What lay there is gone.
    fs::create_dir_all(tree.join("hooks/left-over")).unwrap();
    fs::write(tree.join("hooks/left-over/hook"), "").unwrap();
    xtask::image::lay_out(&tree, &[bin]).unwrap();
    (dir, tree)
}

/// Instructions, with continued lines joined.
fn instructions() -> Vec<Vec<String>> {
    let text = fs::read_to_string(xtask::root().join("packaging/kubevirt/Containerfile")).unwrap();
    text.replace("\\\n", " ")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn files(dir: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let place = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &place, found);
        } else {
            found.insert(place);
        }
    }
}

fn the_containerfile_copies_what_is_laid_out() {
    let (_dir, tree) = laid_out();
    let mut there = BTreeSet::new();
    files(&tree, Path::new(""), &mut there);
    assert!(there.contains(Path::new("hooks/smbios/before_vm_start/50_smbios")), "{there:?}");
    let mut copied = BTreeSet::new();
    let mut image = BTreeSet::new();
    for instruction in instructions() {
        let [verb, from, to] = instruction.as_slice() else { continue };
        if verb != "COPY" {
            continue;
        }
        let source = tree.join(from);
        assert!(source.symlink_metadata().is_ok(), "{from} is not made by the build");
        assert_eq!(source.is_dir(), from.ends_with('/'), "{from}");
        let mut below = BTreeSet::new();
        if source.is_dir() {
            files(&source, Path::new(""), &mut below);
        } else {
            below.insert(PathBuf::new());
        }
        for place in below {
            let join = |base: &str| {
                if place.as_os_str().is_empty() { PathBuf::from(base) } else { Path::new(base).join(&place) }
            };
            copied.insert(join(from));
            image.insert(join(to));
        }
    }
    assert_eq!(copied, there, "the image has all that is laid out");
    // Links lead to what is in the image.
    for file in &there {
        if let Ok(leads_to) = fs::read_link(tree.join(file)) {
            assert!(image.contains(&leads_to), "{} leads to {}", file.display(), leads_to.display());
        }
    }
    let said = |verb: &str| -> Vec<String> {
        let all: Vec<_> = instructions().into_iter().filter(|i| i[0] == verb).collect();
        assert_eq!(all.len(), 1, "{verb}");
        all[0][1..].to_vec()
    };
    assert_eq!(said("FROM"), ["scratch"]);
    assert_eq!(said("USER"), ["107:107"]);
    assert_eq!(said("ENV"), ["VIRT_HOOKS_PACKAGES_DIR=/packages"]);
    let entry = said("ENTRYPOINT").join(" ");
    let program =
        entry.strip_prefix("[\"").and_then(|e| e.strip_suffix("\"]")).expect("the form without a shell");
    assert!(image.contains(Path::new(program)), "{program}");
    // There is no shell in there to run anything with.
    assert!(instructions().iter().all(|i| i[0] != "RUN" && i[0] != "ADD"));
    let mode = fs::metadata(tree.join("virt-hooks-kubevirt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

fn what_is_left_out_is_what_does_not_work_there() {
    let (_dir, tree) = laid_out();
    let names = |dir: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(tree.join(dir)).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("hooks"), names("packages"));
    for (name, is_there) in [("smbios", true), ("qemucmdline", true), ("vhostmd", false), ("checkips", false)]
    {
        assert_eq!(names("hooks").contains(name), is_there, "{name}");
    }
    let link = fs::read_link(tree.join("hooks/smbios/before_vm_start/50_smbios")).unwrap();
    assert_eq!(link, Path::new("/virt-hooks-bundled"));
    let manifest = fs::read_to_string(tree.join("packages/smbios/hook.toml")).unwrap();
    assert_eq!(manifest, fs::read_to_string(xtask::root().join("hooks/smbios/hook.toml")).unwrap());
}

fn what_was_not_built_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let said =
        xtask::image::lay_out(&dir.path().join("tree"), &[dir.path().to_owned()]).unwrap_err().to_string();
    assert!(said.contains("virt-hooks-kubevirt"), "{said}");
    assert!(!dir.path().join("tree").exists());
}

fn it_is_built_for_real(tool: &str) {
    let (_dir, tree) = laid_out();
    let file = xtask::root().join("packaging/kubevirt/Containerfile");
    let tag = format!("localhost/virt-hooks-kubevirt-test:{}", std::process::id());
    let mut build = Command::new(tool);
    build.arg("build").arg("--file").arg(file).args(["--tag", &tag]).arg(&tree);
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let removed = Command::new(tool).args(["rmi", &tag]).stdout(Stdio::null()).status().unwrap();
    assert!(removed.success());
}
