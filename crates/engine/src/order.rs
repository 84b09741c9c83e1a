// SPDX-License-Identifier: Apache-2.0
//! The order that packages ask for, on top of the names of their files.

use crate::discover::Hook;
use crate::outcome::Trouble;

/// Puts hooks where their packages want them: `after` and `before` first, and of two that could come next the one
/// whose name comes first.
pub(crate) fn arrange(point: &str, hooks: Vec<Hook>) -> Result<Vec<Hook>, Trouble> {
    // Pairs of "this one" and "not before that one ran".
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (at, hook) in hooks.iter().enumerate() {
        let Some(package) = &hook.package else { continue };
        let manifest = &package.package.manifest;
        edges.extend(called(&hooks, &manifest.after).map(|first| (at, first)));
        edges.extend(called(&hooks, &manifest.before).map(|second| (second, at)));
    }
    edges.retain(|(second, first)| second != first);
    if edges.is_empty() {
        return Ok(hooks);
    }
    let mut left: Vec<usize> = (0..hooks.len()).collect();
    let mut order = Vec::with_capacity(hooks.len());
    while !left.is_empty() {
        let free = left
            .iter()
            .position(|at| !edges.iter().any(|(second, first)| second == at && left.contains(first)));
        let Some(free) = free else {
            let names = left.iter().map(|at| hooks[*at].name().to_string_lossy().into_owned()).collect();
            return Err(Trouble::Cycle { point: point.to_owned(), hooks: names });
        };
        order.push(left.remove(free));
    }
    let mut hooks: Vec<Option<Hook>> = hooks.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| hooks[at].take()).collect())
}

/// The hooks that these names mean, by package or by file.
fn called(hooks: &[Hook], names: &[String]) -> impl Iterator<Item = usize> {
    let is_called = |hook: &Hook| {
        let package = hook.package.as_ref().map(|d| d.package.name());
        names.iter().any(|name| hook.name() == name.as_str() || package == Some(name))
    };
    hooks.iter().enumerate().filter(move |(_, hook)| is_called(hook)).map(|(at, _)| at)
}
