// SPDX-License-Identifier: Apache-2.0
//! An install that was killed: who reads says so, who writes mends it first.

use crate::case::Done;
use crate::shelf::Image;
use std::fs;

const JOURNAL: &str = "root/usr/share/virt-hooks/packages/.transaction.json";

/// A root with one good package, and another of which a killed install left the hook only.
fn cut_off() -> Image {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("install @mine").ended(0);
    let root = fs::canonicalize(image.path("root")).unwrap();
    let half = "usr/libexec/vdsm/hooks/before_vm_start/50_half";
    image.file(&format!("root/{half}"), "#!/bin/sh\n");
    let place = root.join(half);
    image.file(
        JOURNAL,
        &format!("{{\"done\":false,\"places\":[[\"{}\",false]],\"made\":[]}}", place.display()),
    );
    image
}

#[track_caller]
fn told(done: Done, code: i32) {
    let done = done.ended(code);
    let line = done.stderr.lines().find(|l| l.contains("was interrupted")).unwrap_or_default();
    assert!(line.starts_with("warning: an install or remove was interrupted ("), "{}", done.stderr);
    assert!(line.contains("\"virt-hooks verify --recover\" as root"), "{line}");
}

#[test]
fn verbs_that_read_say_so_and_change_nothing() {
    let image = cut_off();
    let before = image.tree();
    for verb in ["list", "info mine", "order before_vm_start", "properties"] {
        told(image.run(verb), 0);
    }
    for verb in ["disable mine --dry-run", "install @mine --dry-run", "remove mine --dry-run"] {
        told(image.run(verb), 0);
    }
    told(image.run("verify"), 1);
    told(image.run("verify mine"), 1);
    let said = image.run("doctor").ended(1).stdout;
    assert!(said.contains(".transaction.json") && said.contains("virt-hooks verify --recover"), "{said}");
    assert_eq!(image.tree(), before);
}

#[test]
fn verbs_that_write_undo_it_first() {
    for verb in ["disable mine", "enable mine", "install @mine", "remove mine", "verify --recover"] {
        let image = cut_off();
        let done = image.run(verb).ended(0);
        assert!(done.stderr.contains("what it left half done is undone now"), "{verb}: {}", done.stderr);
        assert!(!image.path(JOURNAL).exists() && !image.hook("half").exists(), "{verb}");
        assert!(!image.run("list").ended(0).stderr.contains("interrupted"), "{verb}");
    }
}

/// Also where it left nothing of the package that is asked for.
#[test]
fn a_package_whose_removal_was_cut_off_can_be_removed() {
    let image = Image::new();
    image.package("mine", "1.0", "");
    image.run("install @mine").ended(0);
    let root = fs::canonicalize(image.path("root")).unwrap();
    let home = root.join("usr/share/virt-hooks/packages/mine");
    let mut places = Vec::new();
    for name in ["hook.toml", "files.json"] {
        fs::rename(home.join(name), home.join(format!("{name}.virt-hooks-former.rpmsave"))).unwrap();
        places.push(format!("[\"{}\",true]", home.join(name).display()));
    }
    image.file(JOURNAL, &format!("{{\"done\":false,\"places\":[{}],\"made\":[]}}", places.join(",")));
    assert!(image.run("remove mine").ended(0).stderr.contains("removed: mine 1.0"));
    assert!(image.tree().is_empty());
}
