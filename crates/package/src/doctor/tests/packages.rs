// SPDX-License-Identifier: Apache-2.0
//! Installed packages.

use super::tree::{SH, Tree};
use crate::doctor::Severity::{Broken, Warning};

/// A package with the hook `50_NAME` at the tree's point.
fn package(t: &Tree, name: &str, lines: &str) {
    let (top, tables) = lines.split_once("--\n").unwrap_or((lines, ""));
    t.dir(&format!("packages/{name}"));
    t.file(
        &format!("packages/{name}/hook.toml"),
        format!(
            "manifest = 1\nname = \"{name}\"\nversion = \"1\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n\
             {top}\n[[point]]\nname = \"before_vm_start\"\norder = 50\n{tables}"
        ),
        0o644,
    );
}

super::cases! {
    PackageManifest: package_manifest => |t, k| {
        t.hook("50_a", SH);
        package(t, "a", "nonsense = 1");
        let found = t.examine();
        let f = found.iter().find(|f| f.kind == k).unwrap();
        assert_eq!(f.severity, Broken);
        assert!(f.what.starts_with("cannot be followed: 7:1: unknown key \"nonsense\""), "{f:?}");
        assert!(f.path.ends_with("packages/a/hook.toml"), "{f:?}");
    };
    PackageUnfit: package_unfit => |t, k| {
        t.hook("50_a", SH);
        package(t, "a", "--\nfailure = \"advisory\"\n");
        t.only(k, Warning, "packages/a/hook.toml");
    };
    PackageHookMissing: package_hook_missing => |t, k| {
        package(t, "a", "");
        t.only(k, Broken, "packages/a/hook.toml");
        t.hook("50_a", SH);
        assert_eq!(t.examine(), []);
    };
    PackageOrder: package_order => |t, k| {
        for (name, other) in [("a", "b"), ("b", "a")] {
            t.hook(&format!("50_{name}"), SH);
            package(t, name, &format!("after = [\"{other}\"]"));
        }
        t.only(k, Broken, "packages");
    };
    InterruptedInstall: interrupted_install => |t, k| {
        t.hook("50_a", SH);
        t.dir("packages");
        t.file("packages/.transaction.json", "{}", 0o600);
        t.only(k, Broken, "packages/.transaction.json");
    };
}
