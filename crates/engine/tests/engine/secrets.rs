// SPDX-License-Identifier: Apache-2.0
//! Secrets never leave as text.

use crate::bench_bed::{Bed, UUID, point};
use virt_hooks_engine::{CustomProperties, Event, Vm};

const DOMAIN: &str = "<domain><uuid>6f0c2a3e-1111-4222-8333-444455556666</uuid><devices>\n<graphics type='vnc' passwd='s3cr3tvnc'/>\n<secret>s3cr3ttext</secret>\n</devices></domain>";

#[test]
fn not_in_stderr_diff_report_or_error() {
    let bed = Bed::new();
    bed.hook(
        "before_vm_start/10_leaky",
        "sed -i 's/s3cr3tvnc/n3ws3cr3t/; s/vnc/spice/' \"$_hook_domxml\"; cat \"$_hook_domxml\"; cat \"$_hook_domxml\" >&2; echo bare s3cr3tvnc s3cr3ttext n3ws3cr3t >&2; echo \"$vnc_password\" >&2; exit 1",
    );
    let vm = Vm {
        id: UUID.into(),
        name: None,
        properties: CustomProperties::from_iter([("vnc_password", "pr0pertys3cr3t")]),
    };
    let point = point("before_vm_start");
    let o = bed.engine().fire(&Event { vm: Some(&vm), ..Event::new(&point, DOMAIN) });
    let all = format!(
        "{:?} {} {} {}",
        o,
        serde_json::to_string(&o.report(true)).unwrap(),
        o.error_text(),
        o.runs[0].diff().unwrap()
    );
    for secret in ["s3cr3tvnc", "s3cr3ttext", "n3ws3cr3t", "pr0pertys3cr3t"] {
        assert!(!all.contains(secret), "{secret} shows in {all}");
    }
    assert!(all.contains("bare *** *** ***"), "{all}");
    assert!(
        String::from_utf8_lossy(o.payload.bytes()).contains("n3ws3cr3t"),
        "the payload itself is what it is"
    );
}

#[test]
fn a_dry_run_masks_them_too() {
    let mut bed = Bed::new();
    bed.settings.secret_properties = vec!["color".into()];
    bed.hook("before_vm_start/10_x", "");
    let vm = Vm {
        id: UUID.into(),
        name: None,
        properties: CustomProperties::from_iter([
            ("api_token", "t0ps3cret"),
            ("color", "mauve"),
            ("plain", "text"),
        ]),
    };
    let point = point("before_vm_start");
    let plan = bed.engine().plan(&Event { vm: Some(&vm), ..Event::new(&point, DOMAIN) }).unwrap();
    let value = |name: &str| plan.environment.iter().find(|(n, _)| n == name).unwrap().1.as_str();
    assert_eq!((value("api_token"), value("color"), value("plain")), ("***", "***", "text"));
    assert_eq!(plan.hooks.len(), 1);
    assert!(!bed.path("run").exists(), "a dry run writes nothing");
}

#[test]
fn a_diff_shows_what_changed_and_no_more() {
    let bed = Bed::new();
    let python = "#!/usr/bin/python3\nimport os, xml.dom.minidom as m\np = os.environ['_hook_domxml']\nd = m.parse(p)\nopen(p, 'w').write(d.toxml())\n";
    bed.file("before_vm_start/10_rewrites", python, 0o755);
    bed.hook("before_vm_start/20_password", "sed -i s/s3cr3tvnc/0therpassword/ \"$_hook_domxml\"");
    bed.hook("before_vm_start/30_type", "sed -i 's/\"vnc\"/\"spice\"/' \"$_hook_domxml\"");
    let o = bed.engine().fire(&Event::new(&point("before_vm_start"), DOMAIN));
    let diffs: Vec<_> = o.runs.iter().map(|r| r.diff().unwrap()).collect();
    assert_eq!(diffs[0], "(only the way it is written changed)\n");
    assert_eq!(diffs[1], "(only secrets changed)\n");
    assert!(
        diffs[2].contains("-<graphics type=\"vnc\" passwd=\"***\"/>\n+<graphics type=\"spice\""),
        "{}",
        diffs[2]
    );
}

#[test]
fn a_secret_property_is_masked_however_it_is_written() {
    let bed = Bed::new();
    bed.hook(
        "before_vm_start/10_x",
        r#"printf '%s\n' 'pr0p&lt;rty&quot;s&amp;x' 'pr0p<rty\"s&x' "$api_token" >&2"#,
    );
    let vm = Vm {
        id: UUID.into(),
        name: None,
        properties: CustomProperties::from_iter([("api_token", "pr0p<rty\"s&x")]),
    };
    let point = point("before_vm_start");
    let o = bed.engine().fire(&Event { vm: Some(&vm), ..Event::new(&point, DOMAIN) });
    assert_eq!(o.runs[0].stderr, "***\n***\n***\n");
}

#[test]
fn not_in_what_the_engine_says_itself() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_uuid", "sed -i 's/6f0c2a3e-[^<]*/s3cr3tvnc/' \"$_hook_domxml\"");
    bed.hook(
        "before_vm_start/20_root",
        "{ printf '<'; head -c 100000 /dev/zero | tr '\\0' a; printf '/>'; } > \"$_hook_domxml\"",
    );
    bed.hook("before_vm_start/30_entity", "sed -i 's/s3cr3tvnc/p\\&ssw0rd;/' \"$_hook_domxml\"");
    let o = bed.engine().fire(&Event::new(&point("before_vm_start"), DOMAIN));
    let report = serde_json::to_string(&o.report(true)).unwrap();
    assert_eq!(o.runs.iter().filter(|r| r.failed()).count(), 3, "{report}");
    assert!(!report.contains("s3cr3tvnc") && !report.contains("ssw0rd"), "{report}");
    assert!(report.contains("another UUID: ***"), "{report}");
    assert!(report.len() < 10_000, "bounded as the rest: {}", report.len());
}

#[test]
fn not_in_what_is_printed_for_debugging() {
    let bed = Bed::new();
    bed.hook("before_vm_start/10_edit", "sed -i 's/vnc/spice/' \"$_hook_domxml\"");
    let o = bed.engine().fire(&Event::new(&point("before_vm_start"), DOMAIN));
    assert!(o.runs[0].changed());
    let bytes = format!("{:?}", b"s3cr3ttext");
    let shown = format!("{o:?}");
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

#[test]
fn not_as_they_are_written_in_xml_and_json() {
    let bed = Bed::new();
    let spelt = ["a<b&\"1", "a&lt;b&amp;\"1", "a&lt;b&amp;&quot;1", "a<b&\\\"1"];
    bed.file("spelt", spelt.map(|s| format!("x {s} y\n")).concat(), 0o644);
    bed.hook("before_vm_cont/10_x", &format!("cat '{}' >&2", bed.path("vendor/spelt").display()));
    let vm = Vm {
        id: UUID.into(),
        name: None,
        properties: CustomProperties::from_iter([("vnc_password", "a<b&\"1")]),
    };
    let point = point("before_vm_cont");
    let o = bed.engine().fire(&Event { vm: Some(&vm), ..Event::new(&point, DOMAIN) });
    assert_eq!(o.runs[0].stderr, "x *** y\n".repeat(spelt.len()));
}
