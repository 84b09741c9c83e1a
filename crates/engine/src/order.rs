// SPDX-License-Identifier: Apache-2.0
//! The order that packages ask for, on top of the names of their files.

use crate::discover::Hook;
use crate::outcome::Trouble;
use std::ffi::OsStr;
use virt_hooks_contract::Manifest;

/// Puts hooks where their packages want them: `after` and `before` first, and of two that could come next the one
/// whose name comes first.
pub(crate) fn arrange(point: &str, hooks: Vec<Hook>) -> Result<Vec<Hook>, Trouble> {
    let wishes: Vec<Wish<'_>> = hooks.iter().map(Wish::of).collect();
    let order = sequence(&wishes).map_err(|left| Trouble::Cycle {
        point: point.to_owned(),
        hooks: left.iter().map(|at| hooks[*at].name().to_string_lossy().into_owned()).collect(),
    })?;
    let mut hooks: Vec<Option<Hook>> = hooks.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| hooks[at].take()).collect())
}

/// The hooks of these packages at `point` that would wait for each other; `None` where there is an order.
pub fn find_cycle(point: &str, packages: &[&Manifest]) -> Option<Vec<String>> {
    let mut wishes: Vec<Wish<'_>> = packages
        .iter()
        .flat_map(|m| m.point.iter().map(move |p| (m, p)))
        .filter(|(_, p)| p.name == point)
        .map(|(m, p)| Wish { file: &p.file, manifest: Some(m) })
        .collect();
    wishes.sort_by_key(|w| w.file);
    let left = sequence(&wishes).err()?;
    Some(left.into_iter().map(|at| wishes[at].file.to_owned()).collect())
}

struct Wish<'a> {
    file: &'a str,
    manifest: Option<&'a Manifest>,
}

impl Hook {
    /// Whether one of the names in a package's `after` or `before` means it.
    pub fn is_one_of(&self, names: &[String]) -> bool {
        Wish::of(self).is_one_of(names)
    }
}

impl<'a> Wish<'a> {
    fn of(hook: &'a Hook) -> Self {
        Self {
            file: hook.path.file_name().and_then(OsStr::to_str).unwrap_or_default(),
            manifest: hook.package.as_ref().map(|d| &d.package.manifest),
        }
    }

    /// Whether one of these names means it, by package or by file.
    fn is_one_of(&self, names: &[String]) -> bool {
        let package = self.manifest.map(|m| m.name.as_str());
        names.iter().any(|name| self.file == name || package == Some(name))
    }
}

/// An order that all wishes allow, or those that wait for each other.
fn sequence(wishes: &[Wish<'_>]) -> Result<Vec<usize>, Vec<usize>> {
    // Pairs of "this one" and "not before that one ran".
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (at, wish) in wishes.iter().enumerate() {
        let Some(manifest) = wish.manifest else { continue };
        for (other, named) in wishes.iter().enumerate().filter(|(other, _)| *other != at) {
            if named.is_one_of(&manifest.after) {
                edges.push((at, other));
            }
            if named.is_one_of(&manifest.before) {
                edges.push((other, at));
            }
        }
    }
    let mut left: Vec<usize> = (0..wishes.len()).collect();
    let mut order = Vec::with_capacity(wishes.len());
    while !left.is_empty() {
        let waits = |at: usize| edges.iter().any(|(second, first)| *second == at && left.contains(first));
        let Some(free) = left.iter().position(|at| !waits(*at)) else { return Err(left) };
        order.push(left.remove(free));
    }
    Ok(order)
}
