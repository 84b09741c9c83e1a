// SPDX-License-Identifier: Apache-2.0
//! Which places of a document differ between two of its states.

use crate::{Document, Element};
use std::collections::{BTreeMap, BTreeSet};

/// A place whose content differs: an element, an attribute (`…/@name`) or a text (`…/text()`), as people would point at
/// it: `/domain/devices/disk[vda]/driver/@cache`.
///
/// Elements of one name are told apart by what names them (a name, an alias, a target, a MAC address, their values) and
/// only else by their number, so that one more of them does not make all that follow differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The place.
    pub path: String,
    /// What was there; `None`: nothing.
    pub before: Option<String>,
    /// What is there now; `None`: nothing. Of an element its source.
    pub after: Option<String>,
}

/// The places that differ, sorted. Of an element that came or went there is one place, and none for what is in it.
pub fn compare(before: &Document, after: &Document) -> Vec<Difference> {
    let (old, new) = (places(before), places(after));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut differences: Vec<Difference> = Vec::new();
    let mut whole: Option<String> = None;
    for path in paths {
        if whole.as_ref().is_some_and(|w| path.starts_with(w.as_str())) {
            continue;
        }
        let (was, is) = (old.get(path), new.get(path));
        let (b, a) = match (was, is) {
            (Some(Place::Element(_)), Some(Place::Element(_))) => continue,
            (Some(b), Some(a)) if b == a => continue,
            (b, a) => (b, a),
        };
        if matches!((b, a), (Some(Place::Element(_)), None) | (None, Some(Place::Element(_)))) {
            whole = Some(format!("{path}/"));
        }
        let text = |p: Option<&Place>| {
            p.map(|p| match p {
                Place::Element(text) | Place::Value(text) => text.clone(),
            })
        };
        differences.push(Difference { path: path.clone(), before: text(b), after: text(a) });
    }
    differences
}

#[derive(PartialEq)]
enum Place {
    Element(String),
    Value(String),
}

fn places(doc: &Document) -> BTreeMap<String, Place> {
    let mut all = BTreeMap::new();
    walk(doc, doc.root(), format!("/{}", doc.name(doc.root())), &mut all);
    all
}

fn walk(doc: &Document, element: Element, path: String, all: &mut BTreeMap<String, Place>) {
    // Documents that were parsed are nested as deep as the parser allows, which is not deep.
    for (name, value) in doc.attributes(element) {
        all.insert(format!("{path}/@{name}"), Place::Value(value.into_owned()));
    }
    let text = doc.text(element);
    if !text.trim().is_empty() && doc.children(element).next().is_none() {
        all.insert(format!("{path}/text()"), Place::Value(text.trim().to_owned()));
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let children: Vec<Element> = doc.children(element).collect();
    for child in &children {
        let name = doc.name(*child);
        let alone = children.iter().filter(|c| doc.name(**c) == name).count() == 1;
        let mut label = match key(doc, *child) {
            Some(key) => format!("{name}[{key}]"),
            None => name.to_owned(),
        };
        let number = seen.entry(label.clone()).or_default();
        *number += 1;
        if *number > 1 || (!alone && !label.ends_with(']')) {
            label = format!("{label}#{number}");
        }
        walk(doc, *child, format!("{path}/{label}"), all);
    }
    all.insert(path, Place::Element(doc.source(element).to_owned()));
}

/// What an element is told apart from others of its name by.
fn key(doc: &Document, element: Element) -> Option<String> {
    let own = |name: &str| doc.attribute(element, name).map(std::borrow::Cow::into_owned);
    let of = |child: &str, name: &str| {
        doc.child(element, child).and_then(|c| doc.attribute(c, name)).map(std::borrow::Cow::into_owned)
    };
    // What libvirt's own tools find devices by, then what entries of lists have in place of a name.
    of("target", "dev")
        .or_else(|| of("mac", "address"))
        .or_else(|| of("alias", "name"))
        .or_else(|| own("name"))
        .or_else(|| own("value"))
        .or_else(|| own("dev").filter(|_| doc.name(element) == "boot"))
}
