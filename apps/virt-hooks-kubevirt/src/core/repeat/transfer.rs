// SPDX-License-Identifier: Apache-2.0
//! Takes a document from one state to another wherever it is in the first.
//!
//! The two states are what hooks were given and what they left. A third document, which KubeVirt and libvirt
//! made of a mixture of both, is taken back to the first state where it shows the second: the edits are undone.
//! The other way round they are made where they are missing. What neither state knows stays as it is.

use super::matching::{Wanted, find};
use super::node::{Node, same_value};
use virt_hooks_domxml::{Document, EditError, Element};

/// Why a document cannot be taken to the other state.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    /// A value that neither state has.
    #[error("{place} is {found:?}, neither as hooks found it nor as they left it")]
    Other { place: String, found: String },
    /// Too many elements to compare.
    #[error("{place} has too many children that changed")]
    TooMany { place: String },
    /// An edit is not possible.
    #[error("{place}: {source}")]
    Edit { place: String, source: EditError },
}

/// How to treat a value that neither state has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strange {
    /// It is an obstacle.
    Refused,
    /// It stays.
    Kept,
}

/// Takes `doc` to the state `to` wherever it is in the state `from`.
pub(super) fn transfer(
    from: &Document,
    to: &Document,
    doc: &mut Document,
    strange: Strange,
) -> Result<(), Obstacle> {
    let (from_tree, to_tree, tree) = (Node::of(from), Node::of(to), Node::of(doc));
    let mut work = Work { to, doc, strange };
    work.element(&from_tree, &to_tree, &tree, &tree.tag)
}

struct Work<'a> {
    to: &'a Document,
    doc: &'a mut Document,
    strange: Strange,
}

impl Work<'_> {
    fn element(&mut self, from: &Node, to: &Node, here: &Node, place: &str) -> Result<(), Obstacle> {
        if from.whole == to.whole {
            return Ok(());
        }
        self.attributes(from, to, here, place)?;
        if from.text != to.text && !same_value(&here.text, &to.text) {
            // Setting the text of what has children would take them out.
            if here.children.is_empty() && same_value(&here.text, &from.text) {
                self.edit(place, |doc| doc.set_text(here.element, &to.text))?;
            } else {
                self.strange(place, &here.text)?;
            }
        }
        self.children(from, to, here, place)
    }

    fn attributes(&mut self, from: &Node, to: &Node, here: &Node, place: &str) -> Result<(), Obstacle> {
        let only_to = to.attributes.iter().filter(|(n, _)| from.attribute(n).is_none());
        for (name, _) in from.attributes.iter().chain(only_to) {
            let (was, wanted, is) = (from.attribute(name), to.attribute(name), here.attribute(name));
            let same = |a: Option<&str>, b: Option<&str>| match (a, b) {
                (Some(a), Some(b)) => same_value(a, b),
                (a, b) => a == b,
            };
            if same(was, wanted) || same(is, wanted) {
                continue;
            }
            match (same(is, was), wanted, is) {
                (true, Some(value), _) => {
                    self.edit(place, |doc| doc.set_attribute(here.element, name, value))?;
                }
                (true, None, _) => {
                    self.edit(place, |doc| doc.remove_attribute(here.element, name).map(drop))?;
                }
                // Neither: KubeVirt's schema does not know it.
                (false, _, None) => {}
                (false, _, Some(found)) => self.strange(&format!("{place}/@{name}"), found)?,
            }
        }
        Ok(())
    }

    fn children(&mut self, from: &Node, to: &Node, here: &Node, place: &str) -> Result<(), Obstacle> {
        let too_many = |_| Obstacle::TooMany { place: place.to_owned() };
        // Which child became which.
        let wanted: Vec<Wanted<'_>> =
            from.children.iter().map(|c| Wanted { forms: vec![c], rank: 0 }).collect();
        let later: Vec<&Node> = to.children.iter().collect();
        let became = find(&wanted, &later).map_err(too_many)?;
        let mut origins: Vec<Option<usize>> = vec![None; to.children.len()];
        for (origin, at) in became.iter().enumerate() {
            if let Some(place) = at.and_then(|at| origins.get_mut(at)) {
                *place = Some(origin);
            }
        }
        let came_of = |at: usize| origins.get(at).copied().flatten();

        // Where each of them is here: those that both states have before those that only one has.
        let mut wanted = Vec::with_capacity(from.children.len() + to.children.len());
        for (child, became) in from.children.iter().zip(&became) {
            let other = became.and_then(|at| to.children.get(at));
            let rank = u8::from(other.is_none());
            wanted.push(Wanted { forms: std::iter::once(child).chain(other).collect(), rank });
        }
        let new: Vec<(usize, &Node)> =
            to.children.iter().enumerate().filter(|(at, _)| came_of(*at).is_none()).collect();
        wanted.extend(new.iter().map(|(_, c)| Wanted { forms: vec![*c], rank: 2 }));
        let all: Vec<&Node> = here.children.iter().collect();
        let places = find(&wanted, &all).map_err(too_many)?;
        let (old_places, new_places) = places.split_at(from.children.len());
        let at = |place: &Option<usize>| place.and_then(|p| here.children.get(p));

        for ((child, became), found) in from.children.iter().zip(&became).zip(old_places) {
            let Some(found) = at(found) else { continue };
            match became.and_then(|b| to.children.get(b)) {
                Some(other) => self.element(child, other, found, &format!("{place}/{}", child.tag))?,
                None => self.edit(place, |doc| doc.remove(found.element))?,
            }
        }
        // In order, so that what is put in stands before what is put in after it.
        for ((position, child), found) in new.iter().zip(new_places) {
            if found.is_some() {
                continue;
            }
            let after = to.children.get(position + 1..).unwrap_or_default().iter().enumerate();
            let next = after.map(|(n, _)| position + 1 + n).find_map(|later| {
                let origin = came_of(later)?;
                old_places.get(origin).and_then(at).map(|n| n.element).filter(|e| self.doc.contains(*e))
            });
            self.put(here.element, next, child, place)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        parent: Element,
        before: Option<Element>,
        child: &Node,
        place: &str,
    ) -> Result<(), Obstacle> {
        let xml = self.to.standalone(child.element);
        self.edit(place, |doc| match before {
            Some(next) => doc.insert_before(next, &xml).map(drop),
            None => doc.append(parent, &xml).map(drop),
        })
    }

    fn strange(&self, place: &str, found: &str) -> Result<(), Obstacle> {
        match self.strange {
            Strange::Kept => Ok(()),
            Strange::Refused => Err(Obstacle::Other { place: place.to_owned(), found: found.to_owned() }),
        }
    }

    fn edit(
        &mut self,
        place: &str,
        edit: impl FnOnce(&mut Document) -> Result<(), EditError>,
    ) -> Result<(), Obstacle> {
        edit(self.doc).map_err(|source| Obstacle::Edit { place: place.to_owned(), source })
    }
}
