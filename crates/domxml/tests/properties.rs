// SPDX-License-Identifier: Apache-2.0
//! What holds for every document, edit and text.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::collection::vec;
use proptest::prelude::*;
use virt_hooks_domxml::secrets::{mask, mask_values, secret_values};
use virt_hooks_domxml::{Document, Element, NewElement, check};

const DOMAIN: &str = include_str!("../testdata/domain-12k.xml");

/// Text that XML can hold, heavy on what has to be escaped.
fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~\t\n\r]{0,20}", "[<>&'\"\\]\t\n\r]{0,12}", "[\u{20}-\u{D7FF}\u{10000}-\u{10FFFF}]{0,8}"]
}

/// Documents of any nesting, layout and spelling.
fn document() -> impl Strategy<Value = String> {
    let filler = prop_oneof![
        Just(String::new()),
        Just("\n  ".to_owned()),
        Just("\r\n".to_owned()),
        Just(" t&amp;x ".to_owned()),
        Just("<!-- <c> -->".to_owned()),
        Just("<![CDATA[<d>]]>".to_owned()),
        Just("<?p i?>".to_owned()),
    ];
    let tag = prop_oneof![
        Just(("a", "")),
        Just(("b", " x='1'")),
        Just(("c", "\n y = \"a'&#10;>\" ")),
        Just(("p:d", " xmlns:p='u' p:z='/'")),
    ];
    let leaf = (tag.clone(), prop_oneof![Just(""), Just(" ")])
        .prop_map(|((name, attributes), blank)| format!("<{name}{attributes}{blank}/>"));
    leaf.prop_recursive(4, 24, 5, move |inner| {
        (tag.clone(), vec((filler.clone(), inner), 0..5), filler.clone()).prop_map(
            |((name, attributes), children, end)| {
                let inside: String = children.into_iter().map(|(gap, child)| gap + &child).collect();
                format!("<{name}{attributes}>{inside}{end}</{name}>")
            },
        )
    })
}

#[derive(Debug, Clone)]
enum Edit {
    Attribute(String, String),
    Unset(String),
    Text(String),
    Append(String),
    Before(String),
    After(String),
    Replace(String),
    Remove,
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = "[xyz]";
    prop_oneof![
        (name, value()).prop_map(|(name, value)| Edit::Attribute(name, value)),
        name.prop_map(Edit::Unset),
        value().prop_map(Edit::Text),
        value().prop_map(Edit::Append),
        value().prop_map(Edit::Before),
        value().prop_map(Edit::After),
        value().prop_map(Edit::Replace),
        Just(Edit::Remove),
    ]
}

fn new(text: &str) -> NewElement {
    NewElement::new("n").attribute("v", text).child(NewElement::new("m").text(text))
}

fn apply(d: &mut Document, at: Element, edit: Edit) {
    let is_root = at == d.root();
    let added = match edit {
        Edit::Attribute(name, value) => {
            d.set_attribute(at, &name, &value).unwrap();
            assert_eq!(d.attribute(at, &name).unwrap(), value);
            return;
        }
        Edit::Unset(name) => {
            d.remove_attribute(at, &name).unwrap();
            assert_eq!(d.attribute(at, &name), None);
            return;
        }
        Edit::Text(text) => {
            d.set_text(at, &text).unwrap();
            assert_eq!((d.text(at).into_owned(), d.children(at).count()), (text, 0));
            return;
        }
        Edit::Remove => {
            assert_eq!(d.remove(at).is_err(), is_root);
            return assert_eq!(d.contains(at), is_root);
        }
        Edit::Append(text) => d.append(at, new(&text)).map(|e| (e, text)),
        Edit::Replace(text) => d.replace(at, new(&text)).map(|e| (e, text)),
        Edit::Before(text) => d.insert_before(at, new(&text)).map(|e| (e, text)),
        Edit::After(text) => d.insert_after(at, new(&text)).map(|e| (e, text)),
    };
    match added {
        Ok((element, text)) => {
            assert_eq!(d.attribute(element, "v").unwrap(), text);
            assert_eq!(d.text(d.child(element, "m").unwrap()), text);
        }
        Err(_) => assert!(is_root),
    }
}

type Line = (String, Vec<(String, String)>, String, usize);

fn listed(d: &Document) -> Vec<Line> {
    let one = |e| {
        let attributes = d.attributes(e).map(|(n, v)| (n.to_owned(), v.into_owned())).collect();
        (d.source(e).to_owned(), attributes, d.text(e).into_owned(), d.children(e).count())
    };
    d.descendants(d.root()).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_as_roxmltree_does(source in document()) {
        let d = Document::parse(source.as_str()).unwrap();
        let other = roxmltree::Document::parse(&source).unwrap();
        let ours: Vec<_> = d.descendants(d.root()).map(|e| (
            d.local_name(e).to_owned(),
            d.namespace(e).map(std::borrow::Cow::into_owned),
            d.attributes(e).map(|(_, v)| v.into_owned()).collect::<Vec<_>>(),
            d.text(e).into_owned(),
            d.source(e).to_owned(),
        )).collect();
        let theirs: Vec<_> = other.descendants().filter(roxmltree::Node::is_element).map(|n| (
            n.tag_name().name().to_owned(),
            n.tag_name().namespace().map(str::to_owned),
            n.attributes().map(|a| a.value().to_owned()).collect::<Vec<_>>(),
            n.children().filter(roxmltree::Node::is_text).filter_map(|c| c.text()).collect::<String>(),
            source[n.range()].to_owned(),
        )).collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn any_edits_leave_what_a_fresh_parse_sees(
        source in document(),
        edits in vec((any::<prop::sample::Index>(), edit()), 1..12),
    ) {
        let mut d = Document::parse(source).unwrap();
        for (which, edit) in edits {
            let all: Vec<_> = d.descendants(d.root()).collect();
            apply(&mut d, *which.get(&all), edit);
            let fresh = Document::parse(d.as_bytes()).unwrap();
            prop_assert_eq!(listed(&d), listed(&fresh));
        }
    }

    #[test]
    fn an_attribute_changes_nothing_around_it(which in any::<prop::sample::Index>(), value in value()) {
        let mut d = Document::parse(DOMAIN).unwrap();
        let all: Vec<_> = d.descendants(d.root()).filter(|&e| d.attributes(e).count() > 0).collect();
        let element = *which.get(&all);
        let name = d.attributes(element).next().unwrap().0.to_owned();
        let start = d.source(element).as_ptr() as usize - d.as_str().as_ptr() as usize;
        d.set_attribute(element, &name, &value).unwrap();
        prop_assert_eq!(d.attribute(element, &name).unwrap(), value);
        // All before the element's first value, and all after it, is as it was.
        let quote = start + DOMAIN[start..].find(['"', '\'']).unwrap() + 1;
        let tail = DOMAIN.len() - (quote + DOMAIN[quote..].find(['"', '\'']).unwrap());
        prop_assert_eq!(&d.as_str()[..quote], &DOMAIN[..quote]);
        prop_assert_eq!(&d.as_str()[d.as_str().len() - tail..], &DOMAIN[DOMAIN.len() - tail..]);
    }

    #[test]
    fn a_text_changes_nothing_around_it(value in value()) {
        let mut d = Document::parse(DOMAIN).unwrap();
        let name = d.find("name").unwrap();
        d.set_text(name, &value).unwrap();
        prop_assert_eq!(d.text(name), value);
        let (head, tail) = DOMAIN.split_once("web-blue-03").unwrap();
        prop_assert!(d.as_str().starts_with(head) && d.as_str().ends_with(tail));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = check(&bytes);
        let _ = Document::parse(bytes.as_slice());
        let _ = mask_values(&bytes, &secret_values(&bytes));
        let _ = mask(&bytes);
    }

    #[test]
    fn no_piece_of_markup_makes_it_panic(pieces in vec(prop::sample::select(PIECES), 0..24)) {
        let text = pieces.concat();
        let _ = check(text.as_bytes());
        if let Ok(mut d) = Document::parse(text.as_str()) {
            let root = d.root();
            d.set_text(root, "x").unwrap();
            prop_assert!(check(d.as_bytes()).is_ok());
        }
        let masked = mask(text.as_bytes()).into_owned();
        // Masking again finds nothing new, and no value is left where it was found.
        let again = mask(&masked).into_owned();
        prop_assert_eq!(&again, &masked);
        let _ = secret_values(text.as_bytes());
    }

    #[test]
    fn whatever_the_password_is_it_is_masked(secret in "[ -~]{1,20}", noise in "[a-z<>'\" =/]{0,10}") {
        prop_assume!(!secret.trim().is_empty() && secret.trim() != "***");
        let mut d = Document::parse("<a><g/><password/></a>").unwrap();
        let (g, password) = (d.find("g").unwrap(), d.find("password").unwrap());
        d.set_attribute(g, "passwd", &secret).unwrap();
        d.set_text(password, secret.trim()).unwrap();
        let text = format!("{noise}\n{}", d.as_str());
        let text = text.as_bytes();
        if !noise.contains(['<', '\'', '"', '=']) {
            let masked = mask(text).into_owned();
            prop_assert!(masked.ends_with(b"<a><g passwd=\"***\"/><password>***</password></a>"));
        }
        if secret.trim().len() >= 4 {
            let values = secret_values(d.as_bytes());
            prop_assert!(values.iter().any(|v| v == secret.as_bytes()));
            prop_assert_eq!(&mask_values(secret.as_bytes(), &values)[..], b"***");
        }
    }
}

const PIECES: &[&str] = &[
    "<",
    ">",
    "/",
    "</",
    "/>",
    "<a>",
    "</a>",
    "<a ",
    "='",
    "'",
    "\"",
    "=\"",
    "passwd",
    "password",
    "<password>",
    "</password>",
    "<secret>",
    "</secret>",
    "<p:ticket x='>'>",
    "<secret/>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?",
    "?>",
    "\"token\"",
    ":",
    "\\",
    "\\\"",
    "***",
    "&amp;",
    "&",
    " ",
    "\n",
    "x",
    "é",
    "<!DOCTYPE a>",
    "<?xml version='1.0'?>",
    " xmlns='u'",
    "\u{FEFF}",
];
