// SPDX-License-Identifier: Apache-2.0
//! Requires or disables the CPU features that a property names.

use crate::shared::messages::{MOST, shown};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use virt_hooks_sdk::{Context, Failure, NewElement};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    // Whatever fails here does not keep the other hooks from running.
    change(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn change(hook: &Context) -> Result<(), Failure> {
    let property = match hook.property("cpuflags")? {
        Some(property) => property,
        None if hook.flag("sap_agent")? => "SAP".to_owned(),
        None => return Ok(()),
    };
    let features = features(&property)?;
    let mut domain = hook.domain()?;
    let Some(cpu) = domain.first_named("cpu") else {
        return Err(Failure::stop("cpuflags: the domain has no <cpu> to set features of"));
    };
    let mut there = HashMap::new();
    for feature in domain.children(cpu).filter(|&e| domain.name(e) == "feature") {
        if let Some(name) = domain.attribute(feature, "name") {
            there.entry(name.into_owned()).or_insert(feature);
        }
    }
    for (name, policy) in features {
        match there.get(name) {
            Some(&feature) => domain.set_attribute(feature, "policy", policy)?,
            None => {
                let feature = NewElement::new("feature").attribute("name", name).attribute("policy", policy);
                domain.append(cpu, feature)?;
            }
        }
    }
    Ok(domain.save()?)
}

/// Names and policies in the order of their first appearance.
fn features(property: &str) -> Result<Vec<(&str, &'static str)>, Failure> {
    let mut features = Vec::new();
    if property.trim().is_empty() {
        return Ok(features);
    }
    let mut unclear = Vec::new();
    for item in property.split(',').map(str::trim) {
        if item == "SAP" {
            features.extend([("invtsc", "require"), ("rdtscp", "require")]);
            continue;
        }
        let signed = match (item.strip_prefix('+'), item.strip_prefix('-')) {
            (Some(name), _) => Some((name.trim(), "require")),
            (_, Some(name)) => Some((name.trim(), "disable")),
            _ => None,
        };
        match signed.filter(|(name, _)| is_name(name)) {
            Some(feature) => features.push(feature),
            None => unclear.push(item),
        }
    }
    if !unclear.is_empty() {
        return Err(Failure::stop(format!(
            "cpuflags: expected +NAME, -NAME or SAP, separated by commas, found {}",
            listed(&unclear)
        )));
    }
    let (mut policies, mut conflicts) = (HashMap::new(), Vec::new());
    features.retain(|&(name, policy)| match policies.entry(name) {
        Entry::Vacant(free) => {
            free.insert(policy);
            true
        }
        Entry::Occupied(taken) => {
            if *taken.get() != policy && !conflicts.contains(&name) {
                conflicts.push(name);
            }
            false
        }
    });
    if conflicts.is_empty() {
        Ok(features)
    } else {
        Err(Failure::stop(format!(
            "cpuflags: expected each name with one sign, found both for {}",
            listed(&conflicts)
        )))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Items for a message, which has to stay readable whatever they are.
fn listed(items: &[&str]) -> String {
    let mut list = items.iter().take(MOST).map(|item| shown(item)).collect::<Vec<_>>().join(", ");
    if items.len() > MOST {
        list.push_str(&format!(" and {} more", items.len() - MOST));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(environment: &[(&str, &str)], xml: &str) -> (Result<(), Failure>, String) {
        let mut hook = Context::for_test().with_xml(xml);
        for &(name, value) in environment {
            hook = hook.with_env(name, value);
        }
        let result = run(&mut hook);
        (result, hook.xml_text())
    }

    #[track_caller]
    fn after(flags: &str, xml: &str) -> String {
        let (result, out) = ran(&[("cpuflags", flags)], xml);
        assert_eq!(result, Ok(()));
        assert_eq!(ran(&[("cpuflags", flags)], &out).1, out, "a second run changes nothing");
        out
    }

    const SAP: &str = "<domain><cpu><feature name=\"invtsc\" policy=\"require\"/>\
                       <feature name=\"rdtscp\" policy=\"require\"/></cpu></domain>";

    #[test]
    fn in_order_once_each() {
        assert_eq!(
            after(" +sse4.1 ,-vmx-ept,+ 3dnow,SAP,-vmx-ept", "<domain><cpu/></domain>"),
            "<domain><cpu><feature name=\"sse4.1\" policy=\"require\"/><feature name=\"vmx-ept\" policy=\"disable\"/>\
             <feature name=\"3dnow\" policy=\"require\"/><feature name=\"invtsc\" policy=\"require\"/>\
             <feature name=\"rdtscp\" policy=\"require\"/></cpu></domain>"
        );
        assert_eq!(after("SAP,SAP", "<domain><cpu/></domain>"), SAP);
    }

    #[test]
    fn a_feature_that_is_there_is_changed_in_its_place() {
        assert_eq!(
            after(
                "-vmx,+aes",
                "<domain><cpu><feature policy='require' name='vmx'/><feature name='aes'/></cpu></domain>"
            ),
            "<domain><cpu><feature policy='disable' name='vmx'/><feature name='aes' policy='require'/></cpu></domain>"
        );
    }

    #[test]
    fn only_features_of_the_cpu_itself_count() {
        let out = after("+aes", "<domain><cpu><model><feature name='aes'/></model></cpu><cpu/></domain>");
        assert_eq!(
            out,
            "<domain><cpu><model><feature name='aes'/></model><feature name=\"aes\" policy=\"require\"/></cpu><cpu/></domain>"
        );
    }

    #[test]
    fn the_sap_agent() {
        let xml = "<domain><cpu/></domain>";
        assert_eq!(ran(&[("sap_agent", "True")], xml), (Ok(()), SAP.to_owned()));
        for environment in
            [&[("sap_agent", "no")][..], &[("cpuflags", "  "), ("sap_agent", "true")], &[("cpuflags", "")]]
        {
            assert_eq!(ran(environment, xml), (Ok(()), xml.to_owned()), "{environment:?}");
        }
    }

    #[test]
    fn refused() {
        let xml = "<domain><cpu/></domain>";
        let long = "x".repeat(1 << 20);
        let many = "x,".repeat(1 << 19);
        for (flags, reason) in [
            ("*aes,+mmx", "found \"*aes\""),
            ("sap", "found \"sap\""),
            ("aes,mmx", "found \"aes\", \"mmx\""),
            ("+aes,", "found \"\""),
            (",,", "found \"\", \"\", \"\""),
            ("+", "found \"+\""),
            ("- ", "found \"-\""),
            ("+a b", "found \"+a b\""),
            ("+a\"/>", "found \"+a\\\"/>\""),
            ("+a;b", "found \"+a;b\""),
            ("+a\n-b", "found \"+a\\n-b\""),
            ("+a,-a,+b,-b,-a", "found both for \"a\", \"b\""),
            ("SAP,-invtsc", "found both for \"invtsc\""),
            (&long, "found \"xxxx"),
            (&many, "and 524281 more"),
        ] {
            let (result, out) = ran(&[("cpuflags", flags)], xml);
            let failure = result.unwrap_err();
            assert!(!failure.stops() && failure.message().starts_with("cpuflags: expected "), "{failure}");
            assert!(failure.message().contains(reason) && failure.message().len() < 300, "{failure}");
            assert_eq!(out, xml);
        }
    }

    #[test]
    fn no_cpu() {
        for flags in ["+aes", " "] {
            let (result, out) = ran(&[("cpuflags", flags)], "<domain/>");
            assert_eq!(result, Err(Failure::go_on("cpuflags: the domain has no <cpu> to set features of")));
            assert_eq!(out, "<domain/>");
        }
        assert_eq!(ran(&[("cpuflags", "+aes")], "junk").0.unwrap_err().exit_code(), 1);
    }

    #[test]
    fn without_a_property_nothing_is_read() {
        assert_eq!(run(&mut Context::for_test().with_env("sap_agent", "0")), Ok(()));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar, and what they are to do.
        #[test]
        fn each_flag_is_a_feature_in_order(flags in proptest::collection::vec(("[a-z][a-z0-9_.-]{0,8}", proptest::bool::ANY, " ?"), 1..8)) {
            let mut seen = std::collections::HashSet::new();
            let flags: Vec<_> = flags.into_iter().filter(|(name, ..)| seen.insert(name.clone())).collect();
            let value: Vec<String> = flags.iter().map(|(name, on, blank)| format!("{blank}{}{blank}{name}{blank}", if *on { '+' } else { '-' })).collect();
            let features: String = flags.iter().map(|(name, on, _)| format!("<feature name=\"{name}\" policy=\"{}\"/>", if *on { "require" } else { "disable" })).collect();
            proptest::prop_assert_eq!(after(&value.join(","), "<domain><cpu/></domain>"), format!("<domain><cpu>{features}</cpu></domain>"));
        }
    }
}
