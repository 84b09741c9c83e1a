// SPDX-License-Identifier: Apache-2.0
//! In which order the files of a package come and go.
//!
//! Events go on while packages are changed, and a process that is killed leaves things as they are until the next one
//! comes. So at no moment is a hook there without what belongs to it: what it needs and what describes it come before
//! it and go after it. Undoing goes the other way round.

use super::record::{Kept, RECORD};
use super::transaction::Change;
use crate::build::ItemKind;
use crate::build::layout::{HOOKS, MANIFEST, PACKAGES};
use std::path::Path;

/// When a change has its turn, first to last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Files that hooks need.
    Files,
    /// Hooks that go.
    GoneHooks,
    /// The manifest and the record.
    Description,
    /// Hooks that come, or change.
    Hooks,
    /// Files that no hook needs any more.
    GoneFiles,
}

/// The changes of a package in their order; `kept` says what was recorded of a place.
pub(super) fn in_turn<'a>(
    package: &str,
    mut changes: Vec<Change>,
    kept: impl Fn(&Path) -> Option<&'a Kept>,
) -> Vec<Change> {
    let home = Path::new(PACKAGES).join(package);
    let describes = |target: &Path| target == home.join(MANIFEST) || target == home.join(RECORD);
    let turn = |change: &Change| match change {
        change if describes(change.target()) => Turn::Description,
        Change::Put { target, what } if is_of_a_point(target) && runs(what) => Turn::Hooks,
        Change::Put { .. } => Turn::Files,
        Change::Remove { target } if is_of_a_point(target) && kept(target).is_some_and(ran) => {
            Turn::GoneHooks
        }
        Change::Remove { .. } => Turn::GoneFiles,
    };
    // Stable: within a turn the order stays.
    changes.sort_by_key(turn);
    changes
}

/// Whether it lies in the directory of a hook point itself.
fn is_of_a_point(target: &Path) -> bool {
    target.strip_prefix(HOOKS).is_ok_and(|rest| rest.components().count() == 2)
}

fn runs(what: &ItemKind) -> bool {
    match what {
        ItemKind::Directory => false,
        ItemKind::Link(_) => true,
        ItemKind::File { mode, .. } => mode & 0o111 != 0,
    }
}

fn ran(kept: &Kept) -> bool {
    match kept {
        Kept::Link { .. } => true,
        Kept::File { mode, .. } => u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o111 != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::Root;
    use super::super::transaction::Transaction;
    use super::super::{plan_install, plan_remove};
    use super::*;
    use crate::build::Item;
    use crate::build::layout::Role;
    use std::fs;
    use std::path::PathBuf;
    use virt_hooks_contract::Manifest;

    const DATA: &str = "/usr/share/mine/data";

    /// A package whose hook needs a file of the same version.
    fn package(version: &str) -> (Manifest, Vec<Item>) {
        let text = format!(
            "manifest = 1\nname = \"mine\"\nversion = \"{version}\"\nsummary = \"s\"\ndescription = \"d\"\n\
             licence = \"MIT\"\n[[point]]\nname = \"before_vm_start\"\norder = 50\n"
        );
        let item = |target: PathBuf, content: &str, mode| Item {
            target,
            kind: ItemKind::File { content: content.into(), mode },
            role: Role::File,
        };
        let items = vec![
            item(Path::new(HOOKS).join("before_vm_start/50_mine"), version, 0o755),
            item(Path::new(PACKAGES).join("mine").join(MANIFEST), &text, 0o644),
            item(DATA.into(), version, 0o644),
        ];
        (Manifest::parse("hook.toml", &text).unwrap(), items)
    }

    /// A hook that is there finds its manifest and its file, and none of a version before its own.
    fn is_whole(root: &Path) {
        let read = |place: &Path| fs::read_to_string(root.join(place.strip_prefix("/").unwrap())).ok();
        let Some(hook) = read(&Path::new(HOOKS).join("before_vm_start/50_mine")) else { return };
        let manifest = read(&Path::new(PACKAGES).join("mine").join(MANIFEST));
        assert!(manifest.is_some_and(|m| m.contains(&format!("\"{hook}\"")) || hook == "1"), "hook {hook}");
        let data = read(Path::new(DATA)).unwrap_or_else(|| panic!("hook {hook} without its file"));
        assert!(data >= hook, "hook {hook} with the file of {data}");
    }

    /// What the shelf is to become.
    type Planned = fn(&Root) -> Vec<Change>;

    #[test]
    fn at_no_step_is_a_hook_without_what_belongs_to_it() {
        let install: fn(&Root, &str) -> Vec<Change> = |root, version| {
            let (manifest, items) = package(version);
            plan_install(root, &manifest, items).unwrap().changes
        };
        let ways: [(Option<&str>, Planned); 3] = [
            (None, |root| {
                let (manifest, items) = package("1");
                plan_install(root, &manifest, items).unwrap().changes
            }),
            (Some("1"), |root| {
                let (manifest, items) = package("2");
                plan_install(root, &manifest, items).unwrap().changes
            }),
            (Some("1"), |root| plan_remove(root, "mine").unwrap().changes),
        ];
        for (there, planned) in ways {
            let mut killed_at = 0_usize;
            loop {
                let dir = tempfile::tempdir().unwrap();
                let root = Root::at(dir.path()).unwrap();
                if let Some(version) = there {
                    Transaction::begin(&root).unwrap().apply(&install(&root, version)).unwrap();
                }
                let changes = planned(&root);
                let mut steps = 0;
                let mut go_on = || {
                    is_whole(dir.path());
                    steps += 1;
                    steps <= killed_at
                };
                Transaction::begin(&root).unwrap().apply_until(&changes, &mut go_on).unwrap();
                is_whole(dir.path());
                // The next one undoes it, step by step, while events go on.
                drop(Transaction::begin_watched(&root, &mut || is_whole(dir.path())).unwrap());
                is_whole(dir.path());
                if steps <= killed_at {
                    assert!(steps > 5, "{steps}");
                    break;
                }
                killed_at += 1;
            }
        }
    }
}
