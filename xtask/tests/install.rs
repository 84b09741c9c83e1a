// SPDX-License-Identifier: Apache-2.0
//! The installed tree.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use virt_hooks_contract::Catalogue;
use xtask::Error;
use xtask::install::{Installation, install};

struct Place {
    dir: TempDir,
    bin: PathBuf,
    dest: PathBuf,
}

impl Place {
    fn new(executables: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (bin, dest) = (dir.path().join("bin"), dir.path().join("dest"));
        fs::create_dir(&bin).unwrap();
        for name in executables {
            fs::write(bin.join(name), name).unwrap();
        }
        Self { dir, bin, dest }
    }

    fn install(&self, prefix: &str) -> Result<String, Error> {
        let bins = [self.dir.path().join("nowhere"), self.bin.clone()];
        let to = Installation { destdir: &self.dest, prefix: prefix.as_ref(), bin_dirs: &bins };
        install(&to, &Catalogue::built_in())
    }

    /// Path → mode, and a letter for directories; with the content's length for files.
    fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        walk(&self.dest, &self.dest, &mut tree);
        tree
    }
}

fn walk(root: &Path, dir: &Path, tree: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let kind = if meta.is_dir() { "d".to_owned() } else { format!("f{}", meta.len()) };
        tree.insert(name, format!("{:04o} {kind}", meta.permissions().mode() & 0o7777));
        if meta.is_dir() {
            walk(root, &path, tree);
        }
    }
}

#[test]
fn everything_is_in_its_place_with_its_mode() {
    let place = Place::new(&["virt-hooks", "virt-hooks-vm", "virt-hooksd", "virt-hooks-kubevirt"]);
    let said = place.install("/usr").unwrap();
    assert!(said.ends_with("/usr\n") && !said.contains("without"), "{said}");
    let tree = place.tree();
    for (path, is) in &tree {
        let wanted = match (is.ends_with('d'), path.as_str()) {
            (true, _)
            | (
                _,
                "usr/bin/virt-hooks"
                | "usr/bin/virt-hooks-kubevirt"
                | "usr/libexec/virt-hooks/virt-hooks-vm"
                | "usr/libexec/virt-hooks/virt-hooksd",
            ) => "0755",
            _ => "0644",
        };
        assert!(is.starts_with(wanted), "{path}: {is}");
    }
    let points: Vec<String> =
        Catalogue::built_in().iter().map(|p| format!("usr/libexec/vdsm/hooks/{}", p.name)).collect();
    assert_eq!(points.len(), 58);
    for path in points.iter().map(String::as_str).chain([
        "etc/virt-hooks/hooks",
        "etc/virt-hooks/points.d",
        "usr/bin/virt-hooks",
        "usr/libexec/virt-hooks/virt-hooks-vm",
        "usr/libexec/virt-hooks/virt-hooksd",
        "usr/lib/systemd/system/virt-hooksd.service",
        "usr/lib/systemd/system/virt-hooksd.socket",
        "usr/share/virt-hooks/python/hooking/__init__.py",
        "usr/share/virt-hooks/python/hooking/py.typed",
        "usr/share/virt-hooks/python/vdsm/hook/hooking.py",
        "usr/share/virt-hooks/schema/config.schema.json",
        "usr/share/virt-hooks/schema/hook.schema.json",
        "usr/share/virt-hooks/schema/report.schema.json",
        "usr/bin/virt-hooks-kubevirt",
        "usr/share/doc/virt-hooks/LICENSE",
        "usr/share/doc/virt-hooks/THIRD-PARTY",
        "usr/share/doc/virt-hooks-kubevirt/LICENSE",
        "usr/share/bash-completion/completions/virt-hooks-kubevirt",
        "usr/share/zsh/site-functions/_virt-hooks-kubevirt",
        "usr/share/fish/vendor_completions.d/virt-hooks-kubevirt.fish",
        "usr/share/doc/virt-hooks-kubevirt/THIRD-PARTY",
        "usr/share/doc/virt-hooks/examples/config.toml",
        "usr/share/man/man1/virt-hooks-kubevirt.1",
        "usr/share/man/man1/virt-hooks.1",
        "usr/share/man/man1/virt-hooks-fire.1",
        "usr/share/man/man1/virt-hooks-vm-start.1",
        "usr/share/man/man5/hook.toml.5",
        "usr/share/man/man5/virt-hooks-config.toml.5",
        "usr/share/man/man8/virt-hooks.8",
        "usr/share/man/man8/virt-hooksd.8",
        "usr/share/bash-completion/completions/virt-hooks",
        "usr/share/zsh/site-functions/_virt-hooks",
        "usr/share/fish/vendor_completions.d/virt-hooks.fish",
        "usr/share/bash-completion/completions/virt-hooksd",
        "usr/share/zsh/site-functions/_virt-hooksd",
        "usr/share/fish/vendor_completions.d/virt-hooksd.fish",
    ]) {
        assert!(tree.contains_key(path), "{path} is missing");
    }
    let odd: Vec<&String> = tree
        .keys()
        .filter(|p| p.contains("__pycache__") || p.contains(".pyc") || p.contains(".new"))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert_eq!(fs::read_to_string(place.dest.join("usr/bin/virt-hooks")).unwrap(), "virt-hooks");
}

#[test]
fn c22_c23_the_units_know_the_prefix_and_fire_the_points_of_the_agent() {
    let place = Place::new(&["virt-hooks", "virt-hooksd"]);
    place.install("/opt/vh").unwrap();
    let unit = fs::read_to_string(place.dest.join("opt/vh/lib/systemd/system/virt-hooksd.service")).unwrap();
    for line in [
        // The dash: whatever becomes of the hooks, the agent starts, and is stopped.
        "ExecStartPre=-/opt/vh/bin/virt-hooks fire before_vdsm_start",
        "ExecStart=/opt/vh/libexec/virt-hooks/virt-hooksd",
        "ExecStopPost=-/opt/vh/bin/virt-hooks fire after_vdsm_stop",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line} in:\n{unit}");
    }
    assert!(!unit.contains("@PREFIX@") && !unit.contains("User="), "as root: {unit}");
}

#[test]
fn a_second_time_changes_nothing_and_keeps_what_others_put_there() {
    let place = Place::new(&["virt-hooks"]);
    let said = place.install("/usr").unwrap();
    assert!(said.contains("without virt-hooks-vm"), "{said}");
    let pages: Vec<String> = place.tree().into_keys().filter(|p| p.contains("/man/")).collect();
    assert!(pages.iter().any(|p| p.ends_with("/virt-hooks.1")), "{pages:?}");
    let absent = |p: &String| p.contains("virt-hooksd") || p.contains("kubevirt");
    assert!(!pages.iter().any(absent), "pages of what is not there: {pages:?}");
    let own = place.dest.join("usr/libexec/vdsm/hooks/before_vm_start");
    fs::write(own.join("50_mine"), "x").unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o750)).unwrap();
    let before = place.tree();
    place.install("/usr").unwrap();
    assert_eq!(place.tree(), before);
}

#[test]
fn another_prefix_leaves_etc_where_it_is() {
    let place = Place::new(&["virt-hooks"]);
    place.install("/opt/virt hooks").unwrap();
    assert!(place.dest.join("opt/virt hooks/bin/virt-hooks").is_file());
    assert!(place.dest.join("etc/virt-hooks/hooks").is_dir());
    assert!(!place.dest.join("usr").exists());
    for bad in ["usr", "/usr/../..", ""] {
        assert!(matches!(place.install(bad), Err(Error::Prefix(_))), "{bad}");
    }
}

#[test]
fn nothing_is_written_through_a_link_that_leads_out() {
    let place = Place::new(&["virt-hooks"]);
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(place.dest.join("usr/share")).unwrap();
    symlink(&outside, place.dest.join("usr/share/virt-hooks")).unwrap();
    assert!(matches!(place.install("/usr"), Err(Error::LeadsOut { .. })));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // Inside, a link is as good as a directory.
    fs::remove_file(place.dest.join("usr/share/virt-hooks")).unwrap();
    fs::create_dir(place.dest.join("elsewhere")).unwrap();
    symlink("../../elsewhere", place.dest.join("usr/share/virt-hooks")).unwrap();
    place.install("/usr").unwrap();
    assert!(place.dest.join("elsewhere/python/hooking/__init__.py").is_file());
}

#[test]
fn a_link_in_place_of_a_file_is_replaced_not_followed() {
    let place = Place::new(&["virt-hooks"]);
    let precious = place.dir.path().join("precious");
    fs::write(&precious, "keep me").unwrap();
    fs::create_dir_all(place.dest.join("usr/bin")).unwrap();
    symlink(&precious, place.dest.join("usr/bin/virt-hooks")).unwrap();
    place.install("/usr").unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "keep me");
    assert!(place.dest.join("usr/bin/virt-hooks").symlink_metadata().unwrap().is_file());
}

#[test]
fn without_the_command_nothing_is_installed() {
    let place = Place::new(&["virt-hooks-vm"]);
    assert!(matches!(place.install("/usr"), Err(Error::NotBuilt { .. })));
    assert!(!place.dest.exists());
}

#[test]
fn an_empty_destdir_is_this_host() {
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["install", "--destdir", "", "--prefix", "not/absolute", "--bin-dir", "x"])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said, "xtask: the prefix not/absolute is not an absolute path without \"..\"\n");
}

#[test]
fn each_bundled_hook_is_a_link_to_one_executable() {
    let place = Place::new(&["virt-hooks", "virt-hooks-bundled"]);
    place.install("/usr").unwrap();
    let mut hooks = 0;
    for entry in fs::read_dir(xtask::root().join("hooks")).unwrap() {
        let package = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(package.join("hook.toml")) else { continue };
        let manifest = virt_hooks_contract::Manifest::parse("hook.toml", &text).unwrap();
        let home = place.dest.join("usr/share/virt-hooks/packages").join(&manifest.name);
        assert!(home.join("hook.toml").is_file() && home.join("README.md").is_file());
        for point in &manifest.point {
            let link = place.dest.join("usr/libexec/vdsm/hooks").join(&point.name).join(&point.file);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(&link).unwrap(), "virt-hooks-bundled", "{}", link.display());
            hooks += 1;
        }
        for file in &manifest.file {
            assert!(place.dest.join(file.target.trim_start_matches('/')).is_file(), "{}", file.target);
        }
    }
    assert!(hooks > 0);
    // Again, and nothing changes.
    let before = place.tree();
    place.install("/usr").unwrap();
    assert_eq!(place.tree(), before);
}
