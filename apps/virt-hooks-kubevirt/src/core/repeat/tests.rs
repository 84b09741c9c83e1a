// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::fs;

fn last(given: &str, left: &str) -> Last {
    Last { given: given.to_owned(), left: left.to_owned() }
}

fn undone(given: &str, left: &str, now: &str) -> String {
    match last(given, left).undo(&Document::parse(now).unwrap()) {
        Repeat::Run(doc) => doc.as_str().to_owned(),
        Repeat::Keep(doc, why) => panic!("{why}: {}", doc.as_str()),
    }
}

fn kept(given: &str, left: &str, now: &str) -> (String, String) {
    match last(given, left).undo(&Document::parse(now).unwrap()) {
        Repeat::Run(doc) => panic!("undone: {}", doc.as_str()),
        Repeat::Keep(doc, why) => (doc.as_str().to_owned(), why),
    }
}

/// What hooks were given, what they left: undone where it came back, with and without what libvirt adds.
#[test]
fn edits_that_came_back_are_undone() {
    let cases: &[(&str, &str, &str, &str)] = &[
        // (given, left, now, expected)
        ("<d><a/></d>", "<d><a/><b x='1'/></d>", "<d><a/><b x='1'/></d>", "<d><a/></d>"),
        ("<d><a/></d>", "<d><a/><b x='1'/></d>", "<d><a/></d>", "<d><a/></d>"),
        ("<d><a/></d>", "<d><a/><b x='1'/></d>", "<d><a/><b x='1' y='2'><c/></b></d>", "<d><a/></d>"),
        // As many as were added, and the right ones.
        (
            "<d><f n='1'/></d>",
            "<d><f n='1'/><f n='1'/></d>",
            "<d><f n='1'/><f n='1'/></d>",
            "<d><f n='1'/></d>",
        ),
        ("<d><f n='1'/></d>", "<d><f n='1'/><f n='1'/></d>", "<d><f n='1'/></d>", "<d><f n='1'/></d>"),
        (
            "<d><f n='1'/></d>",
            "<d><f n='2'/><f n='1'/></d>",
            "<d><f n='2'/><f n='1'/><f n='3'/></d>",
            "<d><f n='1'/><f n='3'/></d>",
        ),
        // Values.
        ("<d a='1'/>", "<d a='2'/>", "<d a='2'/>", "<d a='1'/>"),
        ("<d a='1'/>", "<d/>", "<d/>", "<d a=\"1\"/>"),
        ("<d/>", "<d a='2'/>", "<d a='2' b='3'/>", "<d b='3'/>"),
        ("<d><t>x</t></d>", "<d><t>y</t></d>", "<d><t>y</t></d>", "<d><t>x</t></d>"),
        ("<d><t>x</t></d>", "<d><t>y</t></d>", "<d><t>x</t></d>", "<d><t>x</t></d>"),
        ("<d a='0x1'/>", "<d a='0x02'/>", "<d a='0x0002'/>", "<d a='0x1'/>"),
        // What was taken out comes back, at its place.
        ("<d><a/><b/><c/></d>", "<d><a/><c/></d>", "<d><a/><c/><e/></d>", "<d><a/><b/><c/><e/></d>"),
        ("<d><a/><b/></d>", "<d><a/></d>", "<d><a/><b/></d>", "<d><a/><b/></d>"),
        // Another order is no edit.
        ("<d><a/><b/></d>", "<d><b/><a/></d>", "<d><b/><a/></d>", "<d><b/><a/></d>"),
        // A prefix is only a name.
        (
            "<d xmlns:q='u'/>",
            "<d xmlns:q='u'><q:c><q:a v='1'/></q:c></d>",
            "<d xmlns:n='u'><n:c><n:a v='1'/></n:c></d>",
            "<d xmlns:n='u'></d>",
        ),
    ];
    for (given, left, now, expected) in cases {
        assert_eq!(undone(given, left, now), *expected, "{given} -> {left}, now {now}");
    }
}

#[test]
fn devices_are_told_apart_by_what_names_them() {
    let given = "<d><devices><disk><target dev='vda'/><boot order='1'/></disk><disk><target dev='vdb'/><boot order='2'/></disk></devices></d>";
    let left = "<d><devices><disk><target dev='vda'/><boot order='2'/></disk><disk><target dev='vdb'/><boot order='3'/></disk><disk><target dev='sda'/><boot order='1'/></disk></devices></d>";
    // Other order, addresses; one that was plugged in meanwhile stays.
    let now = "<d><devices><disk><target dev='sda'/><boot order='1'/><address bus='1'/></disk><disk><target dev='vdc'/></disk><disk><target dev='vdb'/><boot order='3'/><address bus='2'/></disk><disk><target dev='vda'/><boot order='2'/></disk></devices></d>";
    let expected = "<d><devices><disk><target dev='vdc'/></disk><disk><target dev='vdb'/><boot order='2'/><address bus='2'/></disk><disk><target dev='vda'/><boot order='1'/></disk></devices></d>";
    assert_eq!(undone(given, left, now), expected);
}

#[test]
fn an_address_libvirt_gave_stays_and_one_of_a_hook_goes() {
    let given = "<domain><devices><disk><target dev='a'/></disk></devices></domain>";
    let left =
        "<domain><devices><disk><target dev='a'/><address bus='7' slot='1'/></disk></devices></domain>";
    let other =
        "<domain><devices><disk><target dev='a'/><address bus='1' slot='1'/></disk></devices></domain>";
    assert_eq!(undone(given, left, left), given);
    assert_eq!(undone(given, left, other), other);
}

#[test]
fn a_value_nobody_knows_keeps_the_hooks_from_running() {
    let (doc, why) = kept("<d a='1'><e/></d>", "<d a='2'><e/><f/></d>", "<d a='3'><e/></d>");
    assert_eq!(doc, "<d a='3'><e/><f/></d>");
    assert_eq!(why, "d/@a is \"3\", neither as hooks found it nor as they left it");
    let (doc, _) = kept("<d><t>1</t><g/></d>", "<d><t>2</t></d>", "<d><t>3</t><g/></d>");
    assert_eq!(doc, "<d><t>3</t></d>");
}

/// Undoing gives back what was given, whatever the edit.
#[test]
fn undoing_is_the_way_back() {
    let states = [
        "<d/>",
        "<d a='1'><x/></d>",
        "<d><x/><x/><x i='1'/></d>",
        "<d><devices><disk><target dev='a'/><alias name='q'/></disk><serial/><serial type='f'/></devices></d>",
        "<d><devices><serial type='f'/></devices><cpu><f n='1' p='r'/><f n='2'/></cpu></d>",
        "<d><cpu><f n='1' p='d'/></cpu><t>text</t></d>",
    ];
    for given in states {
        for left in states {
            let back = undone(given, left, left);
            let shape = |xml: &str| {
                let mut names: Vec<String> = Document::parse(xml)
                    .map(|d| {
                        d.descendants(d.root())
                            .map(|e| {
                                format!("{}{:?}{}", d.name(e), d.attributes(e).collect::<Vec<_>>(), d.text(e))
                            })
                            .collect()
                    })
                    .unwrap();
                names.sort_unstable();
                names
            };
            assert_eq!(shape(&back), shape(given), "{given} -> {left} -> {back}");
            assert_eq!(shape(&undone(given, left, given)), shape(given));
        }
    }
}

/// Many equal and many different elements: the time must not grow with their product without bound.
#[test]
fn large_documents_are_compared_in_time() {
    let args = |n: usize, from: usize| (0..n).map(|i| format!("<a v='{}'/>", i + from)).collect::<String>();
    let given = format!("<d>{}</d>", args(30_000, 0));
    let left = format!("<d>{}<b/></d>", args(30_000, 0));
    assert_eq!(undone(&given, &left, &left), given);
    let left = format!("<d>{}</d>", args(30_000, 30_000));
    let (_, why) = kept(&given, &left, &left);
    assert!(why.contains("too many children that changed"), "{why}");
}

#[test]
fn the_store_survives_a_restart_and_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("vmis");
    let store = Store::new(Some(place.clone()));
    assert_eq!(store.get("u").unwrap(), None);
    store.put("u", last("a", "b")).unwrap();
    store.put("../u", last("a", "c")).unwrap();
    assert_eq!(store.get("u").unwrap(), Some(last("a", "b")));
    assert_eq!(store.get("../u").unwrap(), Some(last("a", "c")), "in memory only");
    let again = Store::new(Some(place.clone()));
    assert_eq!(again.get("u").unwrap(), Some(last("a", "b")));
    assert_eq!(again.get("../u").unwrap(), None);
    again.forget("u").unwrap();
    again.forget("u").unwrap();
    assert_eq!(Store::new(Some(place.clone())).get("u").unwrap(), None);
    for n in 0..80 {
        again.put(&format!("u{n}"), last(&"x".repeat(1 << 20), "y")).unwrap();
    }
    assert_eq!(fs::read_dir(&place).unwrap().count(), 64);
    assert!(again.get("u79").unwrap().is_some() && again.get("u0").unwrap().is_none());
    fs::write(place.join("spoilt.json"), "{").unwrap();
    assert!(again.get("spoilt").unwrap_err().to_string().contains("vmis/spoilt.json: "));
}
