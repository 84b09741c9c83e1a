// SPDX-License-Identifier: Apache-2.0
//! Which places differ.
#![expect(clippy::unwrap_used, reason = "a test may")]

use virt_hooks_domxml::{Document, compare};

fn paths(before: &str, after: &str) -> Vec<String> {
    let doc = |text: &str| Document::parse(text).unwrap();
    compare(&doc(before), &doc(after)).into_iter().map(|d| d.path).collect()
}

#[test]
fn attributes_texts_and_elements() {
    let before =
        "<domain><name>a</name><cpu mode='x'/><devices><disk><target dev='vda'/></disk></devices></domain>";
    let after = "<domain><name>b</name><cpu mode='y'/><devices><disk><driver cache='none'/><target dev='vda'/></disk></devices></domain>";
    assert_eq!(
        paths(before, after),
        ["/domain/cpu/@mode", "/domain/devices/disk[vda]/driver", "/domain/name/text()"]
    );
    assert_eq!(paths(before, before), [""; 0]);
}

#[test]
fn one_more_of_a_kind_leaves_the_others_alone() {
    let list = |items: &[&str]| {
        let features: String = items.iter().map(|i| format!("<feature name='{i}'/>")).collect();
        format!("<domain><cpu>{features}</cpu></domain>")
    };
    assert_eq!(paths(&list(&["b"]), &list(&["a", "b"])), ["/domain/cpu/feature[a]"]);
    assert_eq!(paths(&list(&["a", "b"]), &list(&["b", "a"])), [""; 0]);
    assert_eq!(paths(&list(&["a"]), &list(&["a", "a"])), ["/domain/cpu/feature[a]#2"]);
}

#[test]
fn white_space_between_elements_is_nothing() {
    assert_eq!(paths("<d><a/></d>", "<d>\n  <a/>\n</d>"), [""; 0]);
    assert_eq!(paths("<d><a/></d>", "<d><a></a></d>"), [""; 0]);
}

#[test]
fn what_is_in_a_new_element_is_not_told_again() {
    assert_eq!(paths("<d/>", "<d><a x='1'><b>t</b></a><ab/></d>"), ["/d/a", "/d/ab"]);
}
