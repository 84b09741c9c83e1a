// SPDX-License-Identifier: Apache-2.0
//! What events see while packages are changed, at each step, and after a kill at each step.

use super::install::{plan_install, plan_remove};
use super::root::Root;
use super::transaction::{Change, Transaction, interrupted};
use crate::build::layout::{HOOKS, PACKAGES, Role};
use crate::build::{Item, ItemKind};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use virt_hooks_contract::{Manifest, Point};
use virt_hooks_engine::{Engine, Settings};

const POINT: &str = "before_vm_start";

/// A version of a package: its hooks at one point and at another, and the helper that each of them needs.
fn version(number: &str, hooks: &[&str], helper: &str) -> (Manifest, Vec<Item>) {
    let mut text = format!(
        "manifest = 1\nname = \"mine\"\nversion = \"{number}\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"MIT\"\n"
    );
    for hook in hooks {
        text += &format!("[[point]]\nname = \"{POINT}\"\nfile = \"{hook}\"\n");
    }
    text += "[[point]]\nname = \"after_vm_destroy\"\norder = 50\n";
    let item = |target: &Path, content: &str, mode| Item {
        target: target.to_owned(),
        kind: ItemKind::File { content: content.into(), mode },
        role: Role::File,
    };
    let home = Path::new(PACKAGES).join("mine");
    let helper = Path::new(HOOKS).join(POINT).join(helper);
    let needs = helper.to_str().unwrap().to_owned();
    let mut items = vec![
        // Last by name, and first to come.
        item(&helper, number, 0o644),
        item(&home.join("hook.toml"), &text, 0o644),
        item(&Path::new(HOOKS).join("after_vm_destroy/50_mine"), &needs, 0o755),
    ];
    items.extend(hooks.iter().map(|h| item(&Path::new(HOOKS).join(POINT).join(h), &needs, 0o755)));
    items.sort_by(|a, b| a.target.cmp(&b.target));
    (Manifest::parse("hook.toml", &text).unwrap(), items)
}

/// That each hook an event would run is described by its package, and has the helper that it needs.
#[track_caller]
fn nothing_runs_half(root: &Path, when: &str) {
    let below = |place: &str| root.join(place.trim_start_matches('/'));
    let mut settings = Settings::new(vec![below(HOOKS)], root.join("run"));
    settings.packages_dir = Some(below(PACKAGES));
    let engine = Engine::new(settings);
    for point in [POINT, "after_vm_destroy"] {
        for hook in engine.chain(&Point::unknown(point)).unwrap().hooks {
            let name = hook.path.display();
            assert!(hook.package.is_some(), "{when}: {name} runs without its manifest");
            let needs = fs::read_to_string(&hook.path).unwrap();
            assert!(below(&needs).is_file(), "{when}: {name} runs without {needs}");
        }
    }
}

/// All files below the root, but for the lock.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if !path.ends_with(".lock") {
                all.insert(
                    path.display().to_string().replace(&dir.display().to_string(), ""),
                    fs::read_to_string(&path).unwrap(),
                );
            }
        }
    }
    all
}

/// Has a change done, and killed after each of its steps, from a state that is made anew each time.
fn at_every_step(before: &dyn Fn(&Root), plan: &dyn Fn(&Root) -> Vec<Change>) {
    let start = || {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path()).unwrap();
        before(&root);
        (dir, root)
    };
    let (dir, root) = start();
    let old = tree(dir.path());
    let mut steps = 0_usize;
    let transaction = Transaction::begin(&root).unwrap();
    let mut watch = || {
        steps += 1;
        nothing_runs_half(dir.path(), &format!("after {steps} steps"));
        true
    };
    transaction.apply_until(&plan(&root), &mut watch).unwrap();
    let new = tree(dir.path());
    assert!(steps > 8 && old != new, "{steps}");
    drop(transaction);
    for killed_at in 0..steps {
        let (dir, root) = start();
        let mut left = killed_at;
        let mut go_on = || {
            left = left.wrapping_sub(1);
            left != usize::MAX
        };
        let packages = root.place(Path::new(PACKAGES)).unwrap();
        let transaction = Transaction::begin(&root).unwrap();
        transaction.apply_until(&plan(&root), &mut go_on).unwrap();
        assert!(!interrupted(&packages).unwrap(), "somebody is at it");
        drop(transaction);
        let when = format!("killed after {killed_at} of {steps} steps");
        assert!(interrupted(&packages).unwrap(), "{when}");
        nothing_runs_half(dir.path(), &when);
        let mut undone = 0;
        let mut watch = || {
            undone += 1;
            nothing_runs_half(dir.path(), &format!("{when}, {undone} undone"));
        };
        assert!(Transaction::begin_watched(&root, &mut watch).unwrap().recovered());
        assert!(!interrupted(&packages).unwrap());
        let now = tree(dir.path());
        assert!(now == old || now == new, "{when}: {now:?}");
    }
}

fn put(root: &Root, (manifest, items): (Manifest, Vec<Item>)) {
    let plan = plan_install(root, &manifest, items).unwrap();
    Transaction::begin(root).unwrap().apply(&plan.changes).unwrap();
}

fn first() -> (Manifest, Vec<Item>) {
    version("1", &["50_a", "60_b"], "z1.py")
}

#[test]
fn an_install_never_has_a_hook_run_half() {
    at_every_step(&|_| {}, &|root| {
        let (manifest, items) = first();
        plan_install(root, &manifest, items).unwrap().changes
    });
}

#[test]
fn an_upgrade_never_has_a_hook_run_half() {
    at_every_step(&|root| put(root, first()), &|root| {
        // One hook goes, one comes, one changes, and what they need is another file.
        let (manifest, items) = version("2", &["40_c", "60_b"], "a2.py");
        plan_install(root, &manifest, items).unwrap().changes
    });
}

#[test]
fn a_removal_never_has_a_hook_run_half() {
    at_every_step(&|root| put(root, first()), &|root| plan_remove(root, "mine").unwrap().changes);
}
