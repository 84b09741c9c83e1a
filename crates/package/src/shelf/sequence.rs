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
