// SPDX-License-Identifier: Apache-2.0
//! An element as it is compared: without white space, comments and the order of attributes.

use std::hash::{DefaultHasher, Hash, Hasher};
use virt_hooks_domxml::{Document, Element};

/// How deep the address of a device lies: `domain/devices/disk/address`.
const DEVICE_ADDRESS: usize = 3;

/// An element and everything below it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) element: Element,
    pub(super) tag: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Node>,
    /// Over everything.
    pub(super) whole: u64,
    /// Over everything but the address of a device, which libvirt adds.
    pub(super) shape: u64,
    /// Whether it is the address of a device.
    pub(super) is_device_address: bool,
}

impl Node {
    /// The root of a document.
    pub(super) fn of(doc: &Document) -> Self {
        Self::at(doc, doc.root(), 0)
    }

    fn at(doc: &Document, element: Element, depth: usize) -> Self {
        let children: Vec<Self> = doc.children(element).map(|c| Self::at(doc, c, depth + 1)).collect();
        // A prefix is only a name for its namespace: KubeVirt may write another.
        let tag = match doc.name(element).contains(':') {
            true => format!("{}|{}", doc.namespace(element).unwrap_or_default(), doc.local_name(element)),
            false => doc.name(element).to_owned(),
        };
        let mut attributes: Vec<(String, String)> =
            doc.attributes(element).map(|(n, v)| (n.to_owned(), v.into_owned())).collect();
        attributes.sort_unstable();
        let text = doc.text(element).trim().to_owned();
        let is_device_address = depth == DEVICE_ADDRESS && tag == "address";
        let hash = |with_address: bool| {
            let mut hasher = DefaultHasher::new();
            (&tag, &attributes, &text).hash(&mut hasher);
            for child in children.iter().filter(|c| with_address || !c.is_device_address) {
                if with_address { child.whole } else { child.shape }.hash(&mut hasher);
            }
            hasher.finish()
        };
        let (whole, shape) = (hash(true), hash(false));
        Self { element, tag, attributes, text, children, whole, shape, is_device_address }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn below(&self, child: &str, attribute: &str) -> Option<&str> {
        self.children.iter().find(|c| c.tag == child)?.attribute(attribute)
    }

    /// What it can be told by, the surest first; the same places in every element.
    fn keys(&self) -> [Option<&str>; 4] {
        [
            self.below("alias", "name"),
            self.below("target", "dev"),
            self.below("mac", "address"),
            self.attribute("name"),
        ]
    }

    /// Whether the surest thing both can be told by is the same; `None`: there is no such thing.
    pub(super) fn same_key(&self, other: &Self) -> Option<bool> {
        let both = self.keys().into_iter().zip(other.keys()).find_map(|(a, b)| a.zip(b));
        both.map(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// Whether everything of this is in `other`, whatever else is: what libvirt adds is more, what KubeVirt's
    /// schema does not know is less.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        if self.tag != other.tag || (!self.text.is_empty() && !same_value(&self.text, &other.text)) {
            return false;
        }
        let attributes = self.attributes.iter();
        if !attributes.into_iter().all(|(n, v)| other.attribute(n).is_some_and(|o| same_value(v, o))) {
            return false;
        }
        let mut free: Vec<&Self> = other.children.iter().collect();
        self.children.iter().filter(|c| !c.is_device_address).all(|c| {
            let found = free.iter().position(|o| c.is_within(o));
            found.map(|at| free.swap_remove(at)).is_some()
        })
    }

    /// How much both have in common, from 0 to 1.
    pub(super) fn likeness(&self, other: &Self) -> f64 {
        let (common, all) = self.common(other);
        if all == 0 { 1.0 } else { 2.0 * common as f64 / all as f64 }
    }

    /// Facts in common, and facts of both counted together.
    fn common(&self, other: &Self) -> (usize, usize) {
        let same =
            self.attributes.iter().filter(|(n, v)| other.attribute(n).is_some_and(|o| same_value(v, o)));
        let mut common = same.count();
        let mut all = self.attributes.len() + other.attributes.len();
        if !self.text.is_empty() || !other.text.is_empty() {
            common += usize::from(same_value(&self.text, &other.text));
            all += usize::from(!self.text.is_empty()) + usize::from(!other.text.is_empty());
        }
        let mut free: Vec<&Self> = other.children.iter().filter(|c| !c.is_device_address).collect();
        for child in self.children.iter().filter(|c| !c.is_device_address) {
            match free.iter().position(|o| o.tag == child.tag) {
                Some(at) => {
                    let (c, a) = child.common(free.remove(at));
                    common += c + 1;
                    all += a + 2;
                }
                None => all += child.facts(),
            }
        }
        all += free.iter().map(|c| c.facts()).sum::<usize>();
        (common, all)
    }

    fn facts(&self) -> usize {
        let own = 1 + self.attributes.len() + usize::from(!self.text.is_empty());
        own + self.children.iter().map(Self::facts).sum::<usize>()
    }
}

/// Whether two values say the same: libvirt writes numbers its own way (`0x0` becomes `0x0000`).
pub(super) fn same_value(a: &str, b: &str) -> bool {
    a == b || number(a).zip(number(b)).is_some_and(|(a, b)| a == b)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?,
    }
}
