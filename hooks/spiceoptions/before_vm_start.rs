// SPDX-License-Identifier: Apache-2.0
//! Sets options of SPICE displays.

use crate::shared::messages::{log_few, shown};
use virt_hooks_sdk::{Context, Domain, EditError, Element, Failure, Mapping, NewElement};

/// Element, its attribute, and the values of that.
const OPTIONS: &[(&str, &str, &[&str])] = &[
    ("image", "compression", &["auto_glz", "auto_lz", "quic", "glz", "lz", "off"]),
    ("jpeg", "compression", &["auto", "never", "always"]),
    ("zlib", "compression", &["auto", "never", "always"]),
    ("playback", "compression", &["on", "off"]),
    ("streaming", "mode", &["filter", "all", "off"]),
    ("mouse", "mode", &["server", "client"]),
];

const EXPECTED: &str = "spiceoptions: expected a mapping such as {'image': {'compression': 'auto_glz'}}";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(property) = hook.property("spiceoptions")? else { return Ok(()) };
    let wanted = options(hook, &property)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut domain = hook.domain()?;
    for graphics in domain.all_named("graphics") {
        if domain.has(graphics, "type", "spice") {
            for option in &wanted {
                set(&mut domain, graphics, *option)?;
            }
        }
    }
    Ok(domain.save()?)
}

/// Element, attribute, value.
type Setting = (&'static str, &'static str, &'static str);

/// What is valid of the property; tells of what is not.
fn options(hook: &Context, property: &str) -> Result<Vec<Setting>, Failure> {
    let mapping = Mapping::parse(property).map_err(|e| Failure::stop(format!("{EXPECTED}; {e}")))?;
    let mut wanted = Vec::new();
    let mut unknown = Vec::new();
    for (key, attributes) in mapping.iter() {
        let Some(attributes) = attributes.as_mapping() else {
            return Err(Failure::stop(format!("{EXPECTED}; the value of {} is a string", shown(key))));
        };
        let element = key.to_lowercase();
        let known = OPTIONS.iter().find(|(name, ..)| *name == element);
        if known.is_none() {
            let names: Vec<_> = OPTIONS.iter().map(|(name, ..)| *name).collect();
            unknown.push(format!("element {}, expected one of {}", shown(key), names.join(", ")));
        }
        for (attribute, value) in attributes.iter() {
            let Some(value) = value.as_text() else {
                return Err(Failure::stop(format!(
                    "{EXPECTED}; the value of {} is a mapping",
                    shown(attribute)
                )));
            };
            let Some(&(element, name, values)) = known else { continue };
            if attribute != name {
                unknown.push(format!("attribute {} of {element}, expected {name}", shown(attribute)));
            } else if let Some(value) = values.iter().find(|&&known| known == value) {
                wanted.push((element, name, *value));
            } else {
                let (value, values) = (shown(value), values.join(", "));
                unknown.push(format!("{name} {value} of {element}, expected one of {values}"));
            }
        }
    }
    let lines = unknown.iter().map(|what| format!("spiceoptions: skipped {what}"));
    log_few(hook, lines, |n| format!("spiceoptions: skipped {n} more"));
    Ok(wanted)
}

fn set(domain: &mut Domain, graphics: Element, (name, attribute, value): Setting) -> Result<(), EditError> {
    let there: Vec<Element> = domain.children(graphics).filter(|&e| domain.name(e) == name).collect();
    match there.split_first() {
        Some((&first, more)) => {
            domain.set_attribute(first, attribute, value)?;
            // libvirt would let the last of them count.
            more.iter().try_for_each(|&other| domain.remove(other))
        }
        None => domain.append(graphics, NewElement::new(name).attribute(attribute, value)).map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(property: &str, xml: &str) -> (Result<(), Failure>, String, Vec<String>) {
        let mut hook = Context::for_test().with_env("spiceoptions", property).with_xml(xml);
        let result = run(&mut hook);
        (result, hook.xml_text(), hook.logged())
    }

    #[track_caller]
    fn after(property: &str, xml: &str) -> String {
        let (result, out, logged) = ran(property, xml);
        assert_eq!((result, logged.as_slice()), (Ok(()), &[][..]));
        assert_eq!(ran(property, &out).1, out, "a second run changes nothing");
        out
    }

    const SPICE: &str = "<domain><devices><graphics type='spice'/></devices></domain>";

    #[test]
    fn every_option() {
        for (element, attribute, values) in OPTIONS {
            for value in *values {
                let out = after(&format!("{{'{element}': {{'{attribute}': '{value}'}}}}"), SPICE);
                let with = format!("<graphics type='spice'><{element} {attribute}=\"{value}\"/></graphics>");
                assert_eq!(out, SPICE.replace("<graphics type='spice'/>", &with));
            }
        }
    }

    #[test]
    fn in_order_in_every_spice_display() {
        let xml = "<domain><graphics type='spice'/><graphics type='vnc'/><graphics type='spice'/></domain>";
        let options = "<mouse mode=\"client\"/><image compression=\"lz\"/>";
        let spice = format!("<graphics type='spice'>{options}</graphics>");
        assert_eq!(
            after("{'Mouse': {'mode': 'client'}, 'IMAGE': {'compression': 'lz'}}", xml),
            xml.replace("<graphics type='spice'/>", &spice)
        );
    }

    #[test]
    fn what_is_there_is_replaced() {
        let xml = "<domain><graphics type='spice'><image compression='quic'/><listen/><mouse mode='client'/>\
                   <image compression='off'/></graphics></domain>";
        assert_eq!(
            after("{'image': {'compression': 'glz'}}", xml),
            xml.replace("quic", "glz").replace("<image compression='off'/>", "")
        );
    }

    #[test]
    fn what_is_not_known_is_told_and_skipped() {
        let (result, out, logged) = ran(
            "{'imagex': {'compression': 'off'}, 'image': {'compression': 'best', 'x': 'y'}, 'jpeg': {'Compression': 'auto'}, \
             'mouse': {'mode': 'server'}, '\\n': {}}",
            SPICE,
        );
        assert_eq!(result, Ok(()));
        assert!(out.contains("<graphics type='spice'><mouse mode=\"server\"/></graphics>"), "{out}");
        assert_eq!(
            logged,
            [
                "spiceoptions: skipped element \"imagex\", expected one of image, jpeg, zlib, playback, streaming, mouse",
                "spiceoptions: skipped compression \"best\" of image, expected one of auto_glz, auto_lz, quic, glz, lz, off",
                "spiceoptions: skipped attribute \"x\" of image, expected compression",
                "spiceoptions: skipped attribute \"Compression\" of jpeg, expected compression",
                "spiceoptions: skipped element \"\\n\", expected one of image, jpeg, zlib, playback, streaming, mouse",
            ]
        );
    }

    #[test]
    fn anything_but_a_mapping_of_mappings_is_refused() {
        let long = format!("{{'{}': 'x'}}", "x".repeat(1 << 20));
        for property in [
            "",
            "None",
            "[]",
            "{'image'}",
            "{'image': 'off'}",
            "{'image': ['compression']}",
            "{'image': {'compression': 1}}",
            "{'image': {'compression': {}}}",
            "{'nothing': {'x': {}}}",
            "{'image': {'compression': 'off'}}; x",
            &long,
        ] {
            let (result, out, logged) = ran(property, SPICE);
            let failure = result.unwrap_err();
            assert!(failure.stops() && failure.message().starts_with(EXPECTED), "{failure}");
            assert!(failure.message().len() < 300 && logged.is_empty(), "{failure}");
            assert_eq!(out, SPICE);
        }
    }

    #[test]
    fn without_anything_to_set_nothing_is_read() {
        assert_eq!(run(&mut Context::for_test()), Ok(()));
        for property in ["{}", "{'image': {}}", "{'image': {'compression': 'x'}}"] {
            assert_eq!(run(&mut Context::for_test().with_env("spiceoptions", property)), Ok(()));
        }
        assert!(ran("{'mouse': {'mode': 'server'}}", "junk").0.unwrap_err().message().contains("is not XML"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar, and what they are to do.
        #[test]
        fn each_option_is_an_element_in_order(chosen in proptest::sample::subsequence((0..OPTIONS.len()).collect::<Vec<_>>(), 1..OPTIONS.len()), which in 0_usize..100) {
            let triples: Vec<Setting> = chosen.iter().map(|&n| { let (element, attribute, values) = OPTIONS[n]; (element, attribute, values[which % values.len()]) }).collect();
            let property: Vec<String> = triples.iter().map(|(e, a, v)| format!("\"{}\": {{'{a}': '{v}'}}", e.to_uppercase())).collect();
            let elements: String = triples.iter().map(|(e, a, v)| format!("<{e} {a}=\"{v}\"/>")).collect();
            let with = format!("<graphics type='spice'>{elements}</graphics>");
            proptest::prop_assert_eq!(after(&format!("{{ {} , }}", property.join(" , ")), SPICE), SPICE.replace("<graphics type='spice'/>", &with));
        }
    }
}
