// SPDX-License-Identifier: Apache-2.0
//! Appends the arguments of a property to the command line of QEMU.

use virt_hooks_sdk::serde_json::{self, Value};
use virt_hooks_sdk::{Context, Domain, Element, Failure, NewElement, QEMU_NAMESPACE};

const EXPECTED: &str = r#"qemu_cmdline: expected a JSON array of strings, such as ["-device", "edu"]"#;

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(property) = hook.property("qemu_cmdline")? else { return Ok(()) };
    let wanted = arguments(&property)?;
    let mut domain = hook.domain()?;
    let Some(top) = domain.first_named("domain") else {
        return Err(Failure::stop("qemu_cmdline: the payload has no <domain> to add arguments to"));
    };
    let is_there = domain
        .children(top)
        .filter(|&e| domain.is_in(e, QEMU_NAMESPACE, "commandline"))
        .any(|e| values(&domain, e).eq(wanted.iter().map(|argument| Some(argument.as_str().into()))));
    if is_there {
        return Ok(());
    }
    let prefix = domain.declare_namespace("qemu", QEMU_NAMESPACE)?;
    // In one piece, as each edit costs time in proportion to the document.
    let mut commandline = NewElement::new(format!("{prefix}:commandline"));
    for argument in wanted {
        commandline =
            commandline.child(NewElement::new(format!("{prefix}:arg")).attribute("value", argument));
    }
    domain.append(top, commandline).map_err(|e| Failure::stop(format!("qemu_cmdline: {e}")))?;
    Ok(domain.save()?)
}

fn arguments(property: &str) -> Result<Vec<String>, Failure> {
    let value = serde_json::from_str(property)
        .map_err(|e| Failure::stop(format!("{EXPECTED}, found no JSON: {e}")))?;
    let Value::Array(items) = value else {
        return Err(Failure::stop(format!("{EXPECTED}, found {}", kind(&value))));
    };
    let strings = items.into_iter().zip(1..).map(|(item, number)| match item {
        Value::String(argument) => Ok(argument),
        other => Err(Failure::stop(format!("{EXPECTED}, item {number} is {}", kind(&other)))),
    });
    strings.collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// What libvirt takes from a `qemu:commandline`: the values of its arguments.
fn values(domain: &Domain, commandline: Element) -> impl Iterator<Item = Option<std::borrow::Cow<'_, str>>> {
    let arguments = domain.children(commandline).filter(|&e| domain.is_in(e, QEMU_NAMESPACE, "arg"));
    arguments.map(|e| domain.attribute(e, "value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(property: &str, xml: &str) -> (Result<(), Failure>, String) {
        let mut hook = Context::for_test().with_env("qemu_cmdline", property).with_xml(xml);
        let result = run(&mut hook);
        (result, hook.xml_text())
    }

    #[track_caller]
    fn after(property: &str, xml: &str) -> String {
        let (result, out) = ran(property, xml);
        assert_eq!(result, Ok(()));
        assert_eq!(ran(property, &out), (Ok(()), out.clone()), "a second run changes nothing");
        out
    }

    const NS: &str = "xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\"";

    #[test]
    fn arguments_in_order_as_the_last_child() {
        assert_eq!(
            after(r#"["-set", "a&b", "", "-set"]"#, "<domain><os/></domain>"),
            format!(
                "<domain {NS}><os/><qemu:commandline><qemu:arg value=\"-set\"/><qemu:arg value=\"a&amp;b\"/>\
                 <qemu:arg value=\"\"/><qemu:arg value=\"-set\"/></qemu:commandline></domain>"
            )
        );
        assert_eq!(after("[]", "<domain/>"), format!("<domain {NS}><qemu:commandline/></domain>"));
    }

    #[test]
    fn what_is_there_is_kept_and_counts() {
        let one = format!(
            "<domain {NS}><qemu:commandline><qemu:arg value=\"-a\"/><qemu:arg value=\"b\"/></qemu:commandline></domain>"
        );
        assert_eq!(after(r#"["-a", "b"]"#, &one), one);
        for more in [r#"["-a"]"#, r#"["b"]"#, r#"["-a", "b", "c"]"#, "[]"] {
            let out = after(more, &one);
            assert_eq!(out.matches("qemu:commandline").count(), 4 - usize::from(more == "[]"), "{out}");
        }
    }

    #[test]
    fn another_prefix_of_the_namespace_is_used() {
        let out = after(r#"["-a"]"#, &format!("<domain {}/>", NS.replace(":qemu", ":q")));
        assert!(out.contains("<q:commandline><q:arg value=\"-a\"/></q:commandline>"), "{out}");
    }

    #[test]
    fn anything_but_an_array_of_strings_is_refused() {
        for (property, found) in [
            ("", "found no JSON"),
            ("-no-hpet", "found no JSON"),
            (r#"["-a",]"#, "found no JSON"),
            ("['-a']", "found no JSON"),
            ("null", "found null"),
            ("1", "found a number"),
            ("true", "found a boolean"),
            (r#""-a""#, "found a string"),
            (r#"{"-a": "b"}"#, "found an object"),
            (r#"["-a", 2]"#, "item 2 is a number"),
            (r#"[["-a"]]"#, "item 1 is an array"),
        ] {
            let (result, out) = ran(property, "<domain/>");
            let failure = result.unwrap_err();
            assert!(failure.stops() && failure.message().starts_with(EXPECTED), "{failure}");
            assert!(failure.message().contains(found), "{failure}");
            assert_eq!(out, "<domain/>");
        }
        let deep = "[".repeat(1 << 20);
        assert!(ran(&deep, "<domain/>").0.unwrap_err().message().len() < 300);
    }

    #[test]
    fn hostile_arguments_stay_arguments() {
        let out = after(r#"["a;b", "$(x)", "\n", "../x", "\"/><evil/>"]"#, "<domain/>");
        assert!(!out.contains("<evil/>"), "{out}");
        let (result, out) = ran(r#"["\u0000"]"#, "<domain/>");
        assert!(result.unwrap_err().message().starts_with("qemu_cmdline: character U+0000"));
        assert_eq!(out, "<domain/>");
    }

    #[test]
    fn many_arguments() {
        let property = format!("[{}\"\"]", "\"\",".repeat(300_000));
        let (result, out) = ran(&property, "<domain/>");
        assert_eq!(result, Ok(()));
        assert_eq!(out.matches("<qemu:arg ").count(), 300_001);
    }

    #[test]
    fn not_a_domain() {
        for (xml, reason) in [("<network/>", "has no <domain>"), ("junk", "is not XML")] {
            let (result, out) = ran("[]", xml);
            assert!(result.unwrap_err().message().contains(reason));
            assert_eq!(out, xml);
        }
    }

    #[test]
    fn without_the_property_nothing_is_read() {
        assert_eq!(run(&mut Context::for_test()), Ok(()));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar, and what they are to do.
        #[test]
        fn arguments_are_what_was_given(arguments in proptest::collection::vec("[^\\p{C}\u{fffe}\u{ffff}]{0,12}", 0..6)) {
            let out = after(&serde_json::to_string(&arguments).unwrap(), "<domain><os/></domain>");
            let domain = virt_hooks_sdk::Document::parse(out.as_str()).unwrap();
            let found: Vec<String> = domain.all_named("qemu:arg").into_iter().map(|e| domain.attribute(e, "value").unwrap().into_owned()).collect();
            proptest::prop_assert_eq!(found, arguments);
            proptest::prop_assert!(out.starts_with(&format!("<domain {NS}><os/><qemu:commandline")) && out.ends_with("</domain>"), "{}", out);
        }
    }
}
