// SPDX-License-Identifier: Apache-2.0
//! Which child of one element is which child of another.

use super::node::Node;

/// From which likeness on two elements of the same name are taken for the same.
const ALIKE: f64 = 0.5;
/// How many pairs are looked at, at most, where elements are not simply equal.
const PAIRS: usize = 1 << 20;

/// Something to be found: an element, as it may look.
pub(super) struct Wanted<'a> {
    /// The forms it may have.
    pub(super) forms: Vec<&'a Node>,
    /// Those of a lower rank are found first, by the same sign.
    pub(super) rank: u8,
}

/// By what an element that is not equal is known, the surest sign first.
#[derive(Clone, Copy)]
enum Sign {
    Key,
    Within,
    Alike,
    OnlyOne,
}

/// Too many elements that are all different, to be compared one by one.
#[derive(Debug)]
pub(super) struct TooMany;

/// Finds each of `wanted` among `found`: the position of each, where there is one. Nothing is found twice.
pub(super) fn find(wanted: &[Wanted<'_>], found: &[&Node]) -> Result<Vec<Option<usize>>, TooMany> {
    let mut places: Vec<Option<usize>> = vec![None; wanted.len()];
    let mut free = vec![true; found.len()];
    let ranks = wanted.iter().map(|w| w.rank).max().unwrap_or(0);
    equal(wanted, found, ranks, &mut places, &mut free);
    let left = places.iter().filter(|p| p.is_none()).count();
    if left.saturating_mul(free.iter().filter(|f| **f).count()) > PAIRS {
        return Err(TooMany);
    }
    for sign in [Sign::Key, Sign::Within, Sign::Alike, Sign::OnlyOne] {
        for rank in 0..=ranks {
            for (w, place) in wanted.iter().zip(&mut places).filter(|(w, p)| w.rank == rank && p.is_none()) {
                let fits = found.iter().enumerate().filter(|(at, _)| free.get(*at) == Some(&true));
                let mut best: Option<(f64, usize)> = None;
                for (at, node) in fits {
                    let score = w.forms.iter().filter_map(|form| score(sign, form, node, found));
                    let score = score.fold(None, |best: Option<f64>, s| Some(best.map_or(s, |b| b.max(s))));
                    if let Some(score) = score
                        && best.is_none_or(|(b, _)| score > b)
                    {
                        best = Some((score, at));
                    }
                }
                if let Some((_, at)) = best {
                    *place = Some(at);
                    if let Some(taken) = free.get_mut(at) {
                        *taken = false;
                    }
                }
            }
        }
    }
    Ok(places)
}

/// Equal elements, in order: nearly all of them, so without comparing each with each.
fn equal(wanted: &[Wanted<'_>], found: &[&Node], ranks: u8, places: &mut [Option<usize>], free: &mut [bool]) {
    let mut by_shape: std::collections::HashMap<u64, std::collections::VecDeque<usize>> = Default::default();
    for (at, node) in found.iter().enumerate() {
        by_shape.entry(node.shape).or_default().push_back(at);
    }
    for rank in 0..=ranks {
        for (w, place) in wanted.iter().zip(places.iter_mut()).filter(|(w, _)| w.rank == rank) {
            *place = w.forms.iter().find_map(|form| by_shape.get_mut(&form.shape)?.pop_front());
            if let Some(taken) = place.and_then(|at| free.get_mut(at)) {
                *taken = false;
            }
        }
    }
}

/// How well `node` fits by this sign; `None`: not at all.
fn score(sign: Sign, form: &Node, node: &Node, among: &[&Node]) -> Option<f64> {
    if form.tag != node.tag {
        return None;
    }
    let same_key = form.same_key(node);
    let fits = match sign {
        Sign::Key => same_key == Some(true),
        _ if same_key == Some(false) => false,
        Sign::Within => form.is_within(node) || node.is_within(form),
        // Another address of the same bus looks alike.
        Sign::Alike => !form.is_device_address && form.likeness(node) >= ALIKE,
        Sign::OnlyOne => !form.is_device_address && among.iter().filter(|n| n.tag == node.tag).count() == 1,
    };
    fits.then(|| form.likeness(node))
}
