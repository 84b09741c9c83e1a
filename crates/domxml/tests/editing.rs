// SPDX-License-Identifier: Apache-2.0
//! Edits of whole documents: what changes, and that nothing else does.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use virt_hooks_domxml::{Document, EditError, NewElement, OVIRT_VM_NAMESPACE, ParseError, QEMU_NAMESPACE};

const DOMAIN: &str = include_str!("../testdata/domain-12k.xml");

fn domain() -> Document {
    Document::parse(DOMAIN).unwrap()
}

/// Lines that are only before, and only after, in the order they stand.
fn difference(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.split('\n').collect(), after.split('\n').collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let own = |lines: &[&str]| lines[head..lines.len() - tail].iter().map(|&l| l.to_owned()).collect();
    (own(&old), own(&new))
}

/// An edit must change exactly these lines, and the document must still be one, with a tree
/// that is the same as that of a fresh parse.
#[track_caller]
fn changes(document: &Document, before: &str, old: &[&str], new: &[&str]) {
    let (found_old, found_new) = difference(before, document.as_str());
    assert_eq!((found_old, found_new), (to_owned(old), to_owned(new)));
    same_as_parsed(document);
}

fn to_owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&l| l.to_owned()).collect()
}

#[track_caller]
fn same_as_parsed(document: &Document) {
    let fresh = Document::parse(document.as_bytes()).unwrap();
    let listed = |d: &Document| -> Vec<(String, String, usize)> {
        let all = d.descendants(d.root());
        all.map(|e| (d.source(e).to_owned(), d.text(e).into_owned(), d.children(e).count())).collect()
    };
    assert_eq!(listed(document), listed(&fresh));
}

#[test]
fn attribute_keeps_its_quotes_and_place() {
    let mut d = domain();
    let mac = d.find("devices/interface/mac").unwrap();
    d.set_attribute(mac, "address", "a'b\"c&<>\n\t\r").unwrap();
    assert_eq!(d.attribute(mac, "address").unwrap(), "a'b\"c&<>\n\t\r");
    changes(
        &d,
        DOMAIN,
        &["      <mac address='52:54:00:1a:2b:30'/>"],
        &["      <mac address='a&apos;b\"c&amp;&lt;>&#10;&#9;&#13;'/>"],
    );
    d.set_attribute(mac, "address", "52:54:00:1a:2b:30").unwrap();
    assert_eq!(d.as_str(), DOMAIN);
}

#[test]
fn attribute_added_and_removed() {
    let mut d = Document::parse("<a>\n <b\n   x='1'\n   y='2' />\n <c/>\n</a>").unwrap();
    let (b, c) = (d.find("b").unwrap(), d.find("c").unwrap());
    d.set_attribute(b, "z", "3").unwrap();
    d.set_attribute(c, "z", "it's").unwrap();
    assert_eq!(d.as_str(), "<a>\n <b\n   x='1'\n   y='2'\n   z='3' />\n <c z=\"it's\"/>\n</a>");
    assert!(d.remove_attribute(b, "x").unwrap());
    assert!(!d.remove_attribute(b, "x").unwrap());
    assert_eq!(d.as_str(), "<a>\n <b\n   y='2'\n   z='3' />\n <c z=\"it's\"/>\n</a>");
    same_as_parsed(&d);
}

#[test]
fn attribute_under_another_prefix_is_the_same() {
    let mut d = Document::parse("<a xmlns:p='u' xmlns:q='u' p:x='1'/>").unwrap();
    d.set_attribute(d.root(), "q:x", "2").unwrap();
    assert_eq!(d.as_str(), "<a xmlns:p='u' xmlns:q='u' p:x='2'/>");
}

#[test]
fn equal_values_keep_their_spelling() {
    let source = "<a x='&#x61;'><b><![CDATA[t]]><!-- c --></b></a>";
    let mut d = Document::parse(source).unwrap();
    d.set_attribute(d.root(), "x", "a").unwrap();
    d.set_text(d.find("b").unwrap(), "t").unwrap();
    assert_eq!(d.as_str(), source);
    assert!(!d.is_changed());
    d.set_text(d.find("b").unwrap(), "u").unwrap();
    assert!(d.is_changed());
    assert_eq!(d.as_str(), "<a x='&#x61;'><b>u</b></a>");
}

#[test]
fn text() {
    let mut d = domain();
    let memory = d.find("memory").unwrap();
    d.set_text(memory, "1 < 2 & ]]>\r\n").unwrap();
    assert_eq!(d.text(memory), "1 < 2 & ]]>\r\n");
    changes(
        &d,
        DOMAIN,
        &["  <memory unit='KiB'>8388608</memory>"],
        &["  <memory unit='KiB'>1 &lt; 2 &amp; ]]&gt;&#13;", "</memory>"],
    );
    let pm = d.find("pm").unwrap();
    let child = d.find("pm/suspend-to-mem").unwrap();
    d.set_text(pm, "").unwrap();
    assert!(!d.contains(child));
    assert_eq!(d.source(pm), "<pm></pm>");
    assert_eq!(d.set_attribute(child, "x", "y"), Err(EditError::Gone { operation: "set attribute" }));
    same_as_parsed(&d);
}

#[test]
fn appended_in_the_indentation_around() {
    let mut d = domain();
    let devices = d.find("devices").unwrap();
    let watchdog = NewElement::new("watchdog")
        .attribute("model", "itco")
        .child(NewElement::new("alias").attribute("name", "ua-1"))
        .child(NewElement::new("note").text("a<b"));
    let watchdog = d.append(devices, watchdog).unwrap();
    changes(
        &d,
        DOMAIN,
        &[],
        &[
            "    <watchdog model=\"itco\">",
            "      <alias name=\"ua-1\"/>",
            "      <note>a&lt;b</note>",
            "    </watchdog>",
        ],
    );
    let note = d.find_below(watchdog, "note").unwrap();
    d.set_text(note, "edited").unwrap();
    d.set_attribute(note, "lang", "en").unwrap();
    assert_eq!(d.source(note), "<note lang=\"en\">edited</note>");
    d.remove(watchdog).unwrap();
    assert_eq!(d.as_str(), DOMAIN);
    assert!(!d.contains(note));
}

#[test]
fn self_closed_parent_opens() {
    for (before, after) in [
        ("<d><devices/></d>", "<d><devices><x/></devices></d>"),
        ("<d><devices  /></d>", "<d><devices><x/></devices></d>"),
        ("<d a='1'><devices></devices></d>", "<d a='1'><devices><x/></devices></d>"),
        ("<d>\n  <devices/>\n</d>", "<d>\n  <devices>\n    <x/>\n  </devices>\n</d>"),
        (
            "<d>\r\n\t<devices>\r\n\t</devices>\r\n</d>",
            "<d>\r\n\t<devices>\r\n\t\t<x/>\r\n\t</devices>\r\n</d>",
        ),
        ("<d>\n  <devices></devices></d>", "<d>\n  <devices>\n    <x/>\n  </devices></d>"),
        ("<d><devices> <y/> </devices></d>", "<d><devices> <y/><x/> </devices></d>"),
        ("<d>\n<devices>text</devices>\n</d>", "<d>\n<devices>text<x/></devices>\n</d>"),
        ("<d>\n<devices>\n<y/>t\n</devices>\n</d>", "<d>\n<devices>\n<y/>t\n<x/></devices>\n</d>"),
        (
            "<d>\n <devices>\n  <y/>\n  <!-- c -->\n </devices>\n</d>",
            "<d>\n <devices>\n  <y/>\n  <!-- c -->\n  <x/>\n </devices>\n</d>",
        ),
    ] {
        let mut d = Document::parse(before).unwrap();
        let devices = d.find("devices").unwrap();
        let x = d.append(devices, "<x/>").unwrap();
        assert_eq!(d.as_str(), after);
        assert_eq!(d.source(x), "<x/>");
        same_as_parsed(&d);
    }
}

#[test]
fn root_without_children() {
    for (before, after) in [
        ("<d/>", "<d><x/></d>"),
        ("<?xml version='1.0'?>\n<d/>\n", "<?xml version='1.0'?>\n<d><x/></d>\n"),
        ("<d>\n</d>", "<d>\n  <x/>\n</d>"),
    ] {
        let mut d = Document::parse(before).unwrap();
        d.ensure("x").unwrap();
        assert_eq!(d.as_str(), after);
        same_as_parsed(&d);
    }
}

#[test]
fn siblings() {
    let mut d = Document::parse("<d>\n  <a/>\n  <b/>\n</d>").unwrap();
    let (a, b) = (d.find("a").unwrap(), d.find("b").unwrap());
    let first = d.insert_before(a, "<first/>").unwrap();
    let mid = d.insert_after(a, "<mid/>").unwrap();
    d.insert_before(b, "<late/>").unwrap();
    let last = d.insert_after(b, "<last/>").unwrap();
    assert_eq!(d.as_str(), "<d>\n  <first/>\n  <a/>\n  <mid/>\n  <late/>\n  <b/>\n  <last/>\n</d>");
    same_as_parsed(&d);
    let names: Vec<_> = d.children(d.root()).map(|e| d.name(e).to_owned()).collect();
    assert_eq!(names, ["first", "a", "mid", "late", "b", "last"]);
    for e in [first, last, mid] {
        d.remove(e).unwrap();
    }
    assert_eq!(d.as_str(), "<d>\n  <a/>\n  <late/>\n  <b/>\n</d>");
    same_as_parsed(&d);
    for operation in ["insert before", "insert after", "remove"] {
        let root = d.root();
        let result = match operation {
            "insert before" => d.insert_before(root, "<x/>").map(|_| ()),
            "insert after" => d.insert_after(root, "<x/>").map(|_| ()),
            _ => d.remove(root),
        };
        assert_eq!(result, Err(EditError::Root { operation }));
    }
}

#[test]
fn removal_takes_the_line_only_if_alone_on_it() {
    for (before, after) in [
        ("<d>\n <x/>\n <y/>\n</d>", "<d>\n <y/>\n</d>"),
        ("<d>\r\n <x/>  \r\n <y/>\r\n</d>", "<d>\r\n <y/>\r\n</d>"),
        ("<d>\n <x/><y/>\n</d>", "<d>\n <y/>\n</d>"),
        ("<d>\n <y/><x/>\n</d>", "<d>\n <y/>\n</d>"),
        ("<d>\n <x/> <!-- why -->\n <y/></d>", "<d>\n  <!-- why -->\n <y/></d>"),
        ("<d><x/></d>", "<d></d>"),
        ("<d>\n  <x/></d>", "<d>\n  </d>"),
    ] {
        let mut d = Document::parse(before).unwrap();
        d.remove(d.find("x").unwrap()).unwrap();
        assert_eq!(d.as_str(), after);
        same_as_parsed(&d);
    }
}

#[test]
fn device_replaced_in_place() {
    let mut d = domain();
    let old = d.interface_by_mac("52:54:00:1A:2B:31").unwrap();
    let inner = d.child(old, "mac").unwrap();
    let device = "<?xml version=\"1.0\" encoding=\"utf-8\"?><interface type=\"network\"><mac address=\"52:54:00:1a:2b:31\"/></interface>\n";
    let new = d.replace(old, device).unwrap();
    assert!(!d.contains(old) && !d.contains(inner));
    assert_eq!(d.source(new), "<interface type=\"network\"><mac address=\"52:54:00:1a:2b:31\"/></interface>");
    assert_eq!(d.interface_by_mac("52:54:00:1a:2b:31"), Some(new));
    assert_eq!(d.devices("interface").len(), 3);
    assert_eq!(d.devices("interface")[1], new);
    same_as_parsed(&d);
}

#[test]
fn root_replaced() {
    let mut d = Document::parse("<?xml version='1.0'?>\n<!-- a --><d><x/></d><!-- b -->").unwrap();
    let root = d.replace(d.root(), "<e><y/></e>").unwrap();
    assert_eq!((root, d.as_str()), (d.root(), "<?xml version='1.0'?>\n<!-- a --><e><y/></e><!-- b -->"));
    assert_eq!(d.parent(root), None);
    d.append(root, "<z/>").unwrap();
    assert_eq!(d.source(root), "<e><y/><z/></e>");
    same_as_parsed(&d);
}

#[test]
fn fragments_that_are_refused() {
    let mut d = domain();
    let devices = d.find("devices").unwrap();
    let before = d.as_str().to_owned();
    for bad in [
        "",
        "text",
        "<a>",
        "</w><w>",
        "<a/></w><w><b/>",
        "<a/><b/>",
        "<a/>t",
        "<q:a/>",
        "<!DOCTYPE a><a/>",
        "<a b='1' b='2'/>",
        "<![CDATA[x]]>",
    ] {
        assert!(d.append(devices, bad).is_err(), "{bad}");
    }
    assert!(matches!(
        d.append(devices, "<a>\n<b></a>"),
        Err(EditError::Fragment(ParseError::Malformed { line: 2, .. }))
    ));
    for bad in [
        NewElement::new("a b='c'"),
        NewElement::new("q:a"),
        NewElement::new("a").attribute("x=", "1"),
        NewElement::new("a").attribute("x", "1").attribute("x", "2"),
        NewElement::new("a").attribute("x", "\0"),
        NewElement::new("a").text("\u{1}"),
    ] {
        assert!(d.append(devices, bad.clone()).is_err(), "{bad:?}");
    }
    assert!(d.set_attribute(devices, "a b", "1").is_err());
    assert!(d.set_attribute(devices, "q:a", "1").is_err());
    assert!(d.set_attribute(devices, "xmlns:a", "1").is_err());
    assert!(d.set_attribute(devices, "a", "\0").is_err());
    assert!(d.set_text(devices, "\0").is_err());
    assert!(d.contains(d.find("devices/emulator").unwrap()));
    assert_eq!(d.as_str(), before);
    assert!(!d.is_changed());
}

#[test]
fn namespaces_in_scope_of_a_fragment() {
    let mut d = Document::parse("<d xmlns='u' xmlns:p='v'><e xmlns:p='w'/></d>").unwrap();
    let e = d.find("e").unwrap();
    let f = d.append(e, "<p:f><g/></p:f>").unwrap();
    assert_eq!(d.namespace(f).as_deref(), Some("w"));
    assert_eq!(d.namespace(d.find("e/p:f/g").unwrap()).as_deref(), Some("u"));
    assert_eq!(d.source(f), "<p:f><g/></p:f>");
}

#[test]
fn declaring_namespaces() {
    let uri = QEMU_NAMESPACE;
    let declared = |source: &str| {
        let mut d = Document::parse(source).unwrap();
        let prefix = d.declare_namespace("qemu", uri).unwrap();
        same_as_parsed(&d);
        (prefix, d.into_bytes().len() - source.len())
    };
    assert_eq!(declared("<d/>"), ("qemu".to_owned(), " xmlns:qemu=''".len() + uri.len()));
    assert_eq!(declared(&format!("<d xmlns:q='{uri}'/>")), ("q".to_owned(), 0));
    assert_eq!(declared("<d xmlns:qemu='else'/>"), ("qemu1".to_owned(), " xmlns:qemu1=''".len() + uri.len()));
    assert_eq!(declared(&format!("<d xmlns='{uri}'/>")).0, "qemu");
    let mut d = domain();
    for (prefix, uri) in
        [("xml", "u"), ("xmlns", "u"), ("a", ""), ("a b", "u"), ("a", "http://www.w3.org/XML/1998/namespace")]
    {
        assert!(d.declare_namespace(prefix, uri).is_err(), "{prefix} {uri}");
    }
}

#[test]
fn qemu_arguments() {
    let mut d = domain();
    d.append_qemu_arguments(&["-device", "edu,x=\"<1>\""]).unwrap();
    let with_root = DOMAIN.replace(
        " xmlns:ovirt-vm=\"http://ovirt.org/vm/1.0\">",
        &format!(" xmlns:ovirt-vm=\"http://ovirt.org/vm/1.0\" xmlns:qemu=\"{QEMU_NAMESPACE}\">"),
    );
    changes(
        &d,
        &with_root,
        &[],
        &[
            "  <qemu:commandline>",
            "    <qemu:arg value=\"-device\"/>",
            "    <qemu:arg value=\"edu,x=&quot;&lt;1>&quot;\"/>",
            "  </qemu:commandline>",
        ],
    );
    d.append_qemu_arguments(&["-S"]).unwrap();
    assert_eq!(d.all_in(QEMU_NAMESPACE, "arg").len(), 3);
    assert_eq!(d.all_named("qemu:commandline").len(), 1);
    same_as_parsed(&d);
}

#[test]
fn ovirt_metadata() {
    let d = domain();
    let metadata = d.find("metadata").unwrap();
    let vm = d.child_in(metadata, OVIRT_VM_NAMESPACE, "vm").unwrap();
    let custom = d.child_in(vm, OVIRT_VM_NAMESPACE, "custom").unwrap();
    let properties: Vec<_> = d.children(custom).map(|p| (d.local_name(p), d.text(p))).collect();
    assert_eq!(properties[0], ("smbios", "{'serial': 'BLUE-0003'}".into()));
    let device = d.children(vm).find(|&e| d.has(e, "mac_address", "52:54:00:1a:2b:30")).unwrap();
    let custom = d.child_in(device, OVIRT_VM_NAMESPACE, "custom").unwrap();
    assert_eq!(d.text(d.child_in(custom, OVIRT_VM_NAMESPACE, "equivnets").unwrap()), "red blue green");
}

#[test]
fn reading() {
    let d = domain();
    assert_eq!(d.name(d.root()), "domain");
    assert_eq!(
        d.attributes(d.root()).map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(),
        ["type=kvm", "id=17"]
    );
    assert_eq!(d.text(d.find("title").unwrap()), "Shop front end & cache");
    assert_eq!(d.find_all("devices/disk/target").len(), 4);
    assert_eq!(d.all_named("address").len(), DOMAIN.matches("<address ").count());
    let rng = d.device_by_alias("ua-3a8df5a7-6c2e-4d38-a1cb-9e2ed1a0be20").unwrap();
    assert_eq!(d.name(rng), "rng");
    assert_eq!(d.parent(rng), d.find("devices"));
    assert_eq!(d.next_sibling(rng), d.find("devices/memory"));
    assert_eq!(d.device_by_alias("none"), None);
    assert_eq!(d.first_named("ovirt-vm:custom"), d.find("metadata/ovirt-vm:vm/ovirt-vm:custom"));
    assert_eq!(d.namespace(d.first_named("ovirt-vm:vm").unwrap()).as_deref(), Some(OVIRT_VM_NAMESPACE));
    assert_eq!(d.namespace(rng), None);
}

#[test]
fn nasty_documents_come_back_as_they_were() {
    let many = format!("<domain><devices>{}</devices></domain>", "<disk a='1'/>\n".repeat(10_000));
    let deep = "<a>".repeat(100_000) + "<x/>" + &"</a>".repeat(100_000);
    for source in [
        "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<a/>",
        "<?xml version='1.0' encoding='ASCII' standalone=\"yes\"?><a/>",
        "<!-- before --><?pi before?><a/><!-- after --><?pi after?>\n\n",
        "<a>\r\n  <b\tx = 'y'\r\n/>\r\n</a>\r\n",
        "<a><![CDATA[<b>&amp;]]>t<?pi <b/>?><!-- <c> --></a>",
        "<a x='&#10;&#9;&#13;\n\t>' y=\"'\" z='\"'></a >",
        "<p:a xmlns:p='u'><p:a xmlns:p='v' p:x='1'/><a xmlns='w'><b xmlns=''/></a></p:a>",
        "<a >&lt;&#x1F980;🦀]] ></a\n>",
        "<domain/>",
        &many,
        &deep,
    ] {
        let d = Document::parse(source).unwrap();
        assert!(!d.is_changed());
        assert_eq!(d.clone().into_bytes(), source.as_bytes());
        // Edit and undo: every other byte is still there.
        let mut d = d;
        let root = d.root();
        d.set_attribute(root, "virt-hooks", "x").unwrap();
        assert!(d.is_changed());
        d.remove_attribute(root, "virt-hooks").unwrap();
        assert_eq!(d.as_bytes(), source.as_bytes());
    }
    let d = Document::parse(many).unwrap();
    assert_eq!(d.devices("disk").len(), 10_000);
}

#[test]
fn documents_that_are_refused() {
    assert!(matches!(
        Document::parse("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>"),
        Err(ParseError::DocumentType { line: 1, column: 1 })
    ));
    assert!(matches!(
        Document::parse(&b"<?xml version='1.0' encoding='latin-1'?><a>\xE9</a>"[..]),
        Err(ParseError::NotUtf8 { offset: 43 })
    ));
    assert!(matches!(Document::parse(""), Err(ParseError::Empty)));
    let deep = "<a b='c'>".repeat(100_000);
    assert!(matches!(Document::parse(deep), Err(ParseError::Malformed { .. })));
}

#[test]
fn foreign_encoding_takes_only_ascii() {
    let mut d = Document::parse("<?xml version='1.0' encoding='ASCII'?><a/>").unwrap();
    d.set_attribute(d.root(), "b", "c").unwrap();
    let root = d.root();
    for result in [
        d.set_attribute(root, "b", "é"),
        d.set_text(root, "é"),
        d.append(root, "<é/>").map(|_| ()),
        d.replace(root, "<é/>").map(|_| ()),
    ] {
        assert_eq!(result, Err(EditError::Encoding { declared: "ASCII".to_owned() }));
    }
    assert_eq!(d.as_str(), "<?xml version='1.0' encoding='ASCII'?><a b=\"c\"/>");
}

#[test]
fn an_element_alone_takes_its_prefixes_along() {
    let d =
        Document::parse("<d xmlns:q='a&amp;\"b' xmlns:r='r'><e q:x='1'><q:f xml:id='i'/></e></d>").unwrap();
    let e = d.child(d.root(), "e").unwrap();
    let alone = d.standalone(e);
    assert_eq!(alone, "<e xmlns:q=\"a&amp;&quot;b\" q:x='1'><q:f xml:id='i'/></e>");
    assert!(Document::parse(alone).is_ok());
}
