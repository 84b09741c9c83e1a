// SPDX-License-Identifier: Apache-2.0

use super::*;
use regex_lite::Regex;

const GOOD: &str = "manifest = 1\nname = \"smbios\"\nversion = \"1.0\"\nsummary = \"s\"\ndescription = \"d\"\nlicence = \"Apache-2.0\"\n\
    [[point]]\nname = \"before_vm_start\"\nfile = \"50_smbios\"\n";

fn error(text: &str) -> String {
    Manifest::parse("hook.toml", text).unwrap_err().to_string()
}

fn with_property(lines: &str) -> String {
    format!("{GOOD}[[property]]\nname = \"p\"\nscope = \"vm\"\ndescription = \"d\"\n{lines}")
}

#[test]
fn a_small_one_is_enough() {
    let m = Manifest::parse("hook.toml", GOOD).unwrap();
    assert!(m.idempotent && !m.required && m.property.is_empty() && m.when.is_none());
    assert!(m.against(&Catalogue::built_in()).is_empty());
}

#[test]
fn a_whole_one() {
    let text = GOOD.replace(
        "[[point]]",
        "after = [\"a\"]\nbefore = [\"50_b\"]\nconflicts = [\"c\"]\nengine = \"0.1\"\n[[point]]",
    ) + "timeout = \"1m\"\nfailure = \"veto\"\n[when]\nproperty = [\"smbios\"]\nname = \"web-.*\"\n\
           [[when.metadata]]\nnamespace = \"urn:x\"\nelement = \"e\"\n\
           [packages]\nrpm = [\"lvm2\"]\n[privileges]\nrun_as = \"root\"\ncapabilities = [\"CAP_NET_ADMIN\"]\n\
           [portability]\nkubevirt = \"care\"\nnote = \"n\"\n";
    let m = Manifest::parse("hook.toml", &text).unwrap();
    assert_eq!(m.portability.kubevirt, Some(Support::Care));
    assert_eq!(m.point[0].timeout, Some(Duration::from_secs(60)));
    assert!(m.when.unwrap().compile().unwrap().allows_name("web-1"));
}

#[test]
fn an_order_makes_a_file_name() {
    let m = Manifest::parse("hook.toml", &GOOD.replace("file = \"50_smbios\"", "order = 5")).unwrap();
    assert_eq!(m.point[0].file, "05_smbios");
    assert!(error(&GOOD.replace("file = \"50_smbios\"", "order = 100")).contains("from 0 to 99"));
    assert!(
        error(&GOOD.replace("50_smbios", "../50_smbios")).starts_with("hook.toml:9:1: file \"../50_smbios\"")
    );
}

#[test]
fn mistakes_are_placed() {
    assert!(error(&GOOD.replace("summary", "sumary")).starts_with("hook.toml:4:1: unknown key \"sumary\""));
    assert!(
        error(&GOOD.replace("manifest = 1", "manifest = 2\nnewkey = 1")).contains("newer than this program")
    );
    assert!(
        error(&GOOD.replace("version = \"1.0\"", "version = \"one\"")).starts_with("hook.toml:3:1: version")
    );
    assert!(error(&GOOD.replace("[[point]]", "engine = \"99.1\"\n[[point]]")).contains("update virt-hooks"));
}

#[test]
fn a_point_is_no_path() {
    for name in ["../../etc", "/etc/cron.d", "a b", ""] {
        let said = error(&GOOD.replace("before_vm_start", name));
        assert!(said.starts_with("hook.toml:8:1:") && said.contains("cannot name a hook point"), "{said}");
    }
}

#[test]
fn names_that_cannot_be() {
    for (name, meant) in [("Sm.Bios", "sm_bios"), ("a b", "a_b"), ("a/b", "a_b")] {
        let said = check_name(name).unwrap_err();
        assert!(said.ends_with(&format!("did you mean \"{meant}\"?")), "{said}");
    }
    for name in ["", "..", "-a", "é", "a\nb", &"x".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
    assert_eq!(check_name("extra_ipv4-addrs"), Ok(()));
}

#[test]
fn a_property_says_its_values_in_one_way() {
    assert!(
        error(&with_property("type = \"integer\"\npattern = \"x\"\nexample = \"1\"\n"))
            .contains("one of pattern, type")
    );
    assert!(error(&with_property("type = \"integer\"\nexample = \"x\"\n")).contains("its example \"x\""));
    assert!(
        error(&with_property("choices = [\"a\"]\nexample = \"a\"\ndefault = \"b\"\n"))
            .contains("its default \"b\"")
    );
    assert!(error(&with_property("pattern = \"(\"\nexample = \"x\"\n")).contains("regular expression"));
    assert!(error(&GOOD.replace("[[point]]", "[[property]]\nname = \"LD_PRELOAD\"\nscope = \"vm\"\ndescription = \"d\"\nexample = \"x\"\n[[point]]")).contains("protected"));
}

#[test]
fn values_are_judged_whole() {
    let m = Manifest::parse("hook.toml", &with_property("choices = [\"a.c\", \"b\"]\nexample = \"b\"\n"))
        .unwrap();
    let p = m.property("p").unwrap();
    let check = p.check().unwrap();
    assert!(check.allows(b"a.c") && !check.allows(b"abc") && !check.allows(b"b\n") && !check.allows(b"\xff"));
    assert_eq!(
        p.objection(&check, b"x").unwrap(),
        "property p: \"x\" is none of a.c, b; an example is \"b\""
    );
    let secret = ManifestProperty { secret: true, ..p.clone() };
    assert!(!secret.objection(&check, b"hunter2").unwrap().contains("hunter2"));
}

#[test]
fn types_know_their_values() {
    let allows =
        |t: PropertyType, v: &str| Regex::new(&format!("\\A(?:{})\\z", t.pattern())).unwrap().is_match(v);
    assert!(allows(PropertyType::Boolean, "TRUE") && !allows(PropertyType::Boolean, "2"));
    assert!(allows(PropertyType::Integer, "-3") && !allows(PropertyType::Natural, "-3"));
    assert!(allows(PropertyType::Mac, "52:54:00:aa:BB:01") && !allows(PropertyType::Mac, "52-54"));
    assert!(allows(PropertyType::Text, "a\nb"));
}

#[test]
fn a_failure_is_never_laxer() {
    let catalogue = Catalogue::built_in();
    let with = |point: &str, failure: &str| {
        let text = GOOD.replace("before_vm_start", point) + &format!("failure = \"{failure}\"\n");
        Manifest::parse("hook.toml", &text).unwrap().against(&catalogue).join("")
    };
    assert!(with("before_vm_start", "advisory").contains("laxer"));
    assert!(with("after_vm_start", "veto").contains("too late"));
    assert_eq!(with("before_vm_set_ticket", "veto"), "");
    assert!(with("before_vm_strat", "veto").contains("did you mean \"before_vm_start\""));
}
