// SPDX-License-Identifier: Apache-2.0
//! The packages of everything.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use virt_hooks_contract::Catalogue;
use virt_hooks_package::build::{ItemKind, Parcel};
use xtask::Error;
use xtask::packages::{Packaging, packages, parcels};

/// Directories with executables and for packages, thrown away in the end.
struct Place(tempfile::TempDir);

impl Place {
    fn new(executables: &[&str]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.bin()).unwrap();
        for name in executables {
            fs::write(place.bin().join(name), name).unwrap();
        }
        place
    }

    fn bin(&self) -> PathBuf {
        self.0.path().join("bin")
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn parcels(&self) -> Result<Vec<Parcel>, Error> {
        let bins = [self.bin()];
        let to = Packaging { out: &self.out(), bin_dirs: &bins, time: 1_764_000_000, sign: None };
        parcels(&to, &Catalogue::built_in())
    }
}

const ALL: &[&str] =
    &["virt-hooks", "virt-hooks-vm", "virt-hooksd", "virt-hooks-bundled", "virt-hooks-kubevirt"];

fn places(parcel: &Parcel) -> Vec<&str> {
    parcel.items.iter().map(|i| i.target.to_str().unwrap()).collect()
}

#[test]
fn the_main_package_has_everything_but_the_hooks() {
    let parcels = Place::new(ALL).parcels().unwrap();
    let main = parcels.iter().find(|p| p.name == "virt-hooks").unwrap();
    let there = places(main);
    for place in [
        "/usr/bin/virt-hooks",
        "/usr/libexec/virt-hooks/virt-hooks-vm",
        "/usr/libexec/virt-hooks/virt-hooksd",
        "/usr/lib/systemd/system/virt-hooksd.service",
        "/usr/lib/systemd/system/virt-hooksd.socket",
        "/usr/share/doc/virt-hooks/LICENSE",
        "/usr/share/doc/virt-hooks/THIRD-PARTY",
        "/usr/share/doc/virt-hooks/examples/config.toml",
        "/usr/share/man/man5/hook.toml.5.gz",
        "/usr/share/man/man5/virt-hooks-config.toml.5.gz",
        "/usr/share/man/man8/virt-hooksd.8.gz",
        "/usr/share/zsh/site-functions/_virt-hooks",
        "/usr/share/fish/vendor_completions.d/virt-hooks.fish",
        "/usr/share/bash-completion/completions/virt-hooksd",
        "/usr/share/zsh/site-functions/_virt-hooksd",
        "/usr/share/fish/vendor_completions.d/virt-hooksd.fish",
        "/etc/virt-hooks/hooks",
        "/etc/virt-hooks/points.d",
        "/usr/share/man/man1/virt-hooks.1.gz",
        "/usr/share/man/man8/virt-hooks.8.gz",
        "/usr/share/bash-completion/completions/virt-hooks",
        "/usr/share/virt-hooks/python/hooking/__init__.py",
    ] {
        assert!(there.contains(&place), "{place} is missing");
    }
    for point in Catalogue::built_in().iter() {
        let dir = format!("/usr/libexec/vdsm/hooks/{}", point.name);
        assert!(there.contains(&&*dir), "{dir} is missing");
    }
    // What every distribution has is not this package's.
    assert!(!there.contains(&"/usr/bin") && !there.contains(&"/usr/share/man/man1"));
    assert!(
        main.items.iter().all(|i| !matches!(i.kind, ItemKind::Link(_))),
        "hooks are in packages of their own"
    );
}

#[test]
fn required_hooks_are_pulled_in_and_others_named() {
    let parcels = Place::new(ALL).parcels().unwrap();
    let main = parcels.iter().find(|p| p.name == "virt-hooks").unwrap();
    let mut hooks = 0;
    for entry in fs::read_dir(xtask::root().join("hooks")).unwrap() {
        let Ok(text) = fs::read_to_string(entry.unwrap().path().join("hook.toml")) else { continue };
        let manifest = virt_hooks_contract::Manifest::parse("hook.toml", &text).unwrap();
        let name = virt_hooks_package::build::package_name(&manifest.name);
        let parcel = parcels.iter().find(|p| p.name == name).unwrap();
        for family in [&main.rpm, &main.deb] {
            assert_eq!(family.requires.contains(&name), manifest.required, "{name}");
            assert_eq!(family.suggests.contains(&name), !manifest.required, "{name}");
        }
        // No circle: hooks need the bundled executable, and only the main package needs hooks.
        for family in [&parcel.rpm, &parcel.deb] {
            let bundled = family.requires.iter().find(|r| r.starts_with("virt-hooks-bundled ")).unwrap();
            assert!(bundled.contains(concat!(">= ", env!("CARGO_PKG_VERSION"))), "{name}: {bundled}");
            assert!(!family.requires.iter().any(|r| r == "virt-hooks"), "{name}");
        }
        let of_vdsm = format!("vdsm-hook-{}", manifest.name.replace('_', "-"));
        assert!(parcel.rpm.conflicts.contains(&of_vdsm), "{name}");
        for point in &manifest.point {
            let place = format!("/usr/libexec/vdsm/hooks/{}/{}", point.name, point.file);
            assert!(places(parcel).contains(&&*place), "{place}");
        }
        hooks += 1;
    }
    assert!(hooks > 20);
    assert_eq!(parcels.len(), hooks + 3);
}

#[test]
fn the_driver_for_kubevirt_is_a_package_of_its_own_that_needs_no_other() {
    let parcels = Place::new(ALL).parcels().unwrap();
    let driver = parcels.iter().find(|p| p.name == "virt-hooks-kubevirt").unwrap();
    let there = places(driver);
    for place in [
        "/usr/bin/virt-hooks-kubevirt",
        "/usr/share/doc/virt-hooks-kubevirt",
        "/usr/share/doc/virt-hooks-kubevirt/LICENSE",
        "/usr/share/bash-completion/completions/virt-hooks-kubevirt",
        "/usr/share/zsh/site-functions/_virt-hooks-kubevirt",
        "/usr/share/fish/vendor_completions.d/virt-hooks-kubevirt.fish",
        "/usr/share/doc/virt-hooks-kubevirt/THIRD-PARTY",
        "/usr/share/man/man1/virt-hooks-kubevirt.1.gz",
        "/usr/share/man/man1/virt-hooks-kubevirt-sidecar.1.gz",
    ] {
        assert!(there.contains(&place), "{place} is missing");
    }
    assert!(driver.rpm.requires.is_empty() && driver.deb.requires.is_empty());
    let main = parcels.iter().find(|p| p.name == "virt-hooks").unwrap();
    assert!(!places(main).iter().any(|p| p.contains("kubevirt")));
}

#[test]
fn no_file_is_in_two_packages() {
    let parcels = Place::new(ALL).parcels().unwrap();
    let mut owners = BTreeMap::new();
    for parcel in &parcels {
        for item in parcel.items.iter().filter(|i| i.kind != ItemKind::Directory) {
            let before = owners.insert(&item.target, &parcel.name);
            assert!(
                before.is_none(),
                "{} is in {} and {}",
                item.target.display(),
                before.unwrap(),
                parcel.name
            );
        }
    }
}

#[test]
fn libraries_that_executables_load_are_required() {
    let place = Place::new(ALL);
    fs::write(
        place.bin().join("virt-hooks-vm"),
        b"\x7fELF\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.17\0libgcc_s.so.1\0",
    )
    .unwrap();
    let parcels = place.parcels().unwrap();
    let main = parcels.iter().find(|p| p.name == "virt-hooks").unwrap();
    for needed in ["libc6 (>= 2.34)", "libgcc-s1"] {
        assert!(main.deb.requires.iter().any(|r| r == needed), "{:?}", main.deb.requires);
    }
    for needed in ["libc.so.6(GLIBC_2.34)(64bit)", "libgcc_s.so.1()(64bit)"] {
        assert!(main.rpm.requires.iter().any(|r| r == needed), "{:?}", main.rpm.requires);
    }
}

#[test]
fn without_an_executable_there_are_no_packages() {
    for missing in ["virt-hooks", "virt-hooks-bundled", "virt-hooks-kubevirt"] {
        let rest: Vec<&str> = ALL.iter().copied().filter(|n| *n != missing).collect();
        let place = Place::new(&rest);
        assert!(matches!(place.parcels(), Err(Error::NotBuilt { name, .. }) if name == missing));
    }
}

#[test]
fn all_are_written_twice_with_the_same_bytes() {
    let (place, other) = (Place::new(ALL), Place::new(ALL));
    let make = |place: &Place| {
        let bins = [place.bin()];
        let to = Packaging { out: &place.out(), bin_dirs: &bins, time: 1_764_000_000, sign: None };
        packages(&to, &Catalogue::built_in()).unwrap()
    };
    let said = make(&place);
    make(&other);
    let mut names = 0;
    for entry in fs::read_dir(place.out()).unwrap() {
        let path = entry.unwrap().path();
        let name: &Path = path.file_name().unwrap().as_ref();
        assert!(
            fs::read(&path).unwrap() == fs::read(other.out().join(name)).unwrap(),
            "{} differs",
            name.display()
        );
        assert!(said.contains(&*path.to_string_lossy()));
        names += 1;
    }
    assert_eq!(names, said.lines().count());
}
