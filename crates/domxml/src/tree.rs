// SPDX-License-Identifier: Apache-2.0
//! Where elements stand in the text, and how they are nested. Offsets follow each splice, so an
//! index means the same element for as long as that element is in the document.

use std::ops::Range;

pub(crate) const NONE: u32 = u32::MAX;
/// Parent of what is no longer in the document.
const GONE: u32 = u32::MAX - 1;

/// Offsets of one element. `<a b="1">text</a>`: start of the tag, after its `>`, start of the end
/// tag, after that. A self-closed element has `close_start` at its `/>`, before `open_end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) open_end: u32,
    pub(crate) close_start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// From offsets already known to fit: every text is held below 4 GiB.
    pub(crate) fn new(at: [usize; 4]) -> Self {
        let [start, open_end, close_start, end] = at.map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Self { start, open_end, close_start, end }
    }

    pub(crate) const fn is_self_closed(self) -> bool {
        self.close_start < self.open_end
    }

    pub(crate) const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// What stands between the tags; empty, and at the end, for a self-closed element.
    pub(crate) const fn content(self) -> Range<usize> {
        if self.is_self_closed() {
            self.end as usize..self.end as usize
        } else {
            self.open_end as usize..self.close_start as usize
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Links {
    parent: u32,
    prev: u32,
    next: u32,
    first: u32,
    last: u32,
}

/// All elements of a text. Index 0 is the root of a fresh parse.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    // Apart from the links, so that shifting runs over plain numbers.
    spans: Vec<Span>,
    links: Vec<Links>,
}

fn some(index: u32) -> Option<u32> {
    (index < GONE).then_some(index)
}

impl Tree {
    /// Adds an element after the last child of `parent`; returns its index.
    pub(crate) fn push_last(&mut self, parent: Option<u32>, span: Span) -> u32 {
        let index = u32::try_from(self.spans.len()).unwrap_or(GONE);
        self.spans.push(span);
        self.links.push(Links { parent: NONE, prev: NONE, next: NONE, first: NONE, last: NONE });
        if let Some(parent) = parent {
            let last = self.last_child(parent);
            self.link(index, parent, last);
        }
        index
    }

    fn at(&self, index: u32) -> Option<&Links> {
        self.links.get(index as usize)
    }

    fn at_mut(&mut self, index: u32) -> Option<&mut Links> {
        self.links.get_mut(index as usize)
    }

    /// Offsets of an element that is in the document.
    pub(crate) fn span(&self, index: u32) -> Option<Span> {
        self.at(index).filter(|links| links.parent != GONE)?;
        self.spans.get(index as usize).copied()
    }

    pub(crate) fn set_span(&mut self, index: u32, span: Span) {
        if let Some(old) = self.spans.get_mut(index as usize) {
            *old = span;
        }
    }

    pub(crate) fn parent(&self, index: u32) -> Option<u32> {
        self.at(index).and_then(|links| some(links.parent))
    }

    pub(crate) fn next(&self, index: u32) -> Option<u32> {
        self.at(index).and_then(|links| some(links.next))
    }

    pub(crate) fn prev(&self, index: u32) -> Option<u32> {
        self.at(index).and_then(|links| some(links.prev))
    }

    pub(crate) fn first_child(&self, index: u32) -> Option<u32> {
        self.at(index).and_then(|links| some(links.first))
    }

    pub(crate) fn last_child(&self, index: u32) -> Option<u32> {
        self.at(index).and_then(|links| some(links.last))
    }

    /// The element after `index` in document order, without leaving `top`.
    pub(crate) fn following(&self, index: u32, top: u32) -> Option<u32> {
        if let Some(child) = self.first_child(index) {
            return Some(child);
        }
        let mut index = index;
        while index != top {
            if let Some(next) = self.next(index) {
                return Some(next);
            }
            index = self.parent(index)?;
        }
        None
    }

    /// Hangs `index` under `parent`, after its child `prev` or in front of all.
    pub(crate) fn link(&mut self, index: u32, parent: u32, prev: Option<u32>) {
        let next = match prev {
            Some(prev) => self.next(prev),
            None => self.first_child(parent),
        };
        if let Some(links) = self.at_mut(index) {
            links.parent = parent;
            links.prev = prev.unwrap_or(NONE);
            links.next = next.unwrap_or(NONE);
        }
        match prev.and_then(|prev| self.at_mut(prev)) {
            Some(links) => links.next = index,
            None => {
                if let Some(links) = self.at_mut(parent) {
                    links.first = index;
                }
            }
        }
        match next.and_then(|next| self.at_mut(next)) {
            Some(links) => links.prev = index,
            None => {
                if let Some(links) = self.at_mut(parent) {
                    links.last = index;
                }
            }
        }
    }

    /// Takes `index` and all below it out of the document.
    pub(crate) fn remove(&mut self, index: u32) {
        let (parent, prev, next) = (self.parent(index), self.prev(index), self.next(index));
        match prev.and_then(|prev| self.at_mut(prev)) {
            Some(links) => links.next = next.unwrap_or(NONE),
            None => {
                if let Some(links) = parent.and_then(|parent| self.at_mut(parent)) {
                    links.first = next.unwrap_or(NONE);
                }
            }
        }
        match next.and_then(|next| self.at_mut(next)) {
            Some(links) => links.prev = prev.unwrap_or(NONE),
            None => {
                if let Some(links) = parent.and_then(|parent| self.at_mut(parent)) {
                    links.last = prev.unwrap_or(NONE);
                }
            }
        }
        let mut below = vec![index];
        while let Some(index) = below.pop() {
            let mut child = self.first_child(index);
            while let Some(found) = child {
                below.push(found);
                child = self.next(found);
            }
            if let Some(links) = self.at_mut(index) {
                *links = Links { parent: GONE, prev: NONE, next: NONE, first: NONE, last: NONE };
            }
        }
    }

    /// Takes over the elements of `other`, whose text has been put at offset `base`, as one more
    /// child of `parent` (after `prev`), or unattached as a new root. Returns the new top element.
    pub(crate) fn graft(&mut self, other: &Self, base: u32, place: Option<(u32, Option<u32>)>) -> u32 {
        let first = u32::try_from(self.spans.len()).unwrap_or(GONE);
        let moved = |index: u32| if index < GONE { index.saturating_add(first) } else { index };
        self.spans.extend(other.spans.iter().map(|s| Span {
            start: s.start.saturating_add(base),
            open_end: s.open_end.saturating_add(base),
            close_start: s.close_start.saturating_add(base),
            end: s.end.saturating_add(base),
        }));
        self.links.extend(other.links.iter().map(|l| Links {
            parent: moved(l.parent),
            prev: moved(l.prev),
            next: moved(l.next),
            first: moved(l.first),
            last: moved(l.last),
        }));
        if let Some((parent, prev)) = place {
            self.link(first, parent, prev);
        }
        first
    }

    /// Moves offsets after the text `at` was replaced by one of `length` bytes.
    ///
    /// Nothing may be replaced that reaches into an element without covering it, save for an edit
    /// inside one tag or one gap. An insertion at the end of an element is after it, one at its
    /// start before it, one after its start tag or before its end tag inside it.
    pub(crate) fn shift(&mut self, at: &Range<usize>, length: usize) {
        let delta = (length as u32).wrapping_sub(at.len() as u32);
        let (from, inside) = if at.is_empty() {
            (at.start as u32, (at.start as u32).saturating_add(1))
        } else {
            (at.end as u32, at.end as u32)
        };
        let moved = |at: u32, from: u32| at.wrapping_add(if at >= from { delta } else { 0 });
        for span in &mut self.spans {
            *span = Span {
                start: moved(span.start, from),
                open_end: moved(span.open_end, inside),
                close_start: moved(span.close_start, from),
                end: moved(span.end, inside),
            };
        }
    }
}
