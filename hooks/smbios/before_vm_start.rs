// SPDX-License-Identifier: Apache-2.0
//! Sets entries of `<sysinfo type="smbios">` and makes the firmware show them.

use virt_hooks_sdk::{Context, Domain, EditError, Element, Failure, Mapping, NewElement};

const EXPECTED: &str =
    "smbios: expected mappings of strings separated by ^, such as {'serial': '1234'}^{'vendor': 'oVirt'}";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(property) = hook.property("smbios")? else { return Ok(()) };
    let wanted = settings(&property)?;
    let mut domain = hook.domain()?;
    let Some(top) = domain.first_named("domain") else {
        return Err(Failure::stop("smbios: the payload has no <domain> to set strings in"));
    };
    let edit = |e: EditError| Failure::stop(format!("smbios: {e}"));
    let sysinfo = match smbios_sysinfo(&domain)? {
        Some(found) => found,
        None => domain.append(top, NewElement::new("sysinfo").attribute("type", "smbios")).map_err(edit)?,
    };
    for setting in &wanted {
        set(&mut domain, sysinfo, setting).map_err(edit)?;
    }
    if let Some(other) = show_sysinfo(&mut domain, top).map_err(edit)? {
        hook.log(format_args!(
            "smbios: <smbios mode={other:?}> of the domain hides the strings from the guest; \"sysinfo\" would show them"
        ));
    }
    Ok(domain.save()?)
}

/// One string to set.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    block: &'static str,
    name: String,
    value: String,
}

fn settings(property: &str) -> Result<Vec<Setting>, Failure> {
    let mut settings = Vec::new();
    for (part, number) in property.split('^').zip(1..) {
        let mapping =
            Mapping::parse(part).map_err(|e| Failure::stop(format!("{EXPECTED}; mapping {number}, {e}")))?;
        if mapping.is_empty() {
            return Err(Failure::stop(format!("{EXPECTED}; mapping {number} is empty")));
        }
        for (key, value) in mapping.iter() {
            let Some(value) = value.as_text() else {
                return Err(Failure::stop(format!("{EXPECTED}; mapping {number} holds another one")));
            };
            let (block, name) = place(key);
            settings.push(Setting { block, name: name.to_owned(), value: value.to_owned() });
        }
    }
    Ok(settings)
}

/// The block a name belongs to, and its name there.
fn place(key: &str) -> (&'static str, &str) {
    if let Some((block, name)) = key.split_once('.') {
        let named = ["bios", "system", "baseBoard", "chassis"].into_iter().find(|&known| known == block);
        if let Some(block) = named {
            return (block, name);
        }
    }
    let block = if matches!(key, "vendor" | "version" | "date" | "release") { "bios" } else { "system" };
    (block, key)
}

fn smbios_sysinfo(domain: &Domain) -> Result<Option<Element>, Failure> {
    for sysinfo in domain.all_named("sysinfo") {
        match domain.attribute(sysinfo, "type").as_deref() {
            Some("smbios") => return Ok(Some(sysinfo)),
            Some(_) => {}
            None => return Err(Failure::stop("smbios: a <sysinfo> of the domain has no type")),
        }
    }
    Ok(None)
}

fn set(domain: &mut Domain, sysinfo: Element, setting: &Setting) -> Result<(), EditError> {
    let found = domain.all_named_below(sysinfo, setting.block).first().copied();
    let block = match found {
        Some(block) => block,
        None => domain.append(sysinfo, NewElement::new(setting.block))?,
    };
    let entries = domain.all_named_below(block, "entry");
    match entries.into_iter().find(|&entry| domain.has(entry, "name", &setting.name)) {
        Some(entry) => domain.set_text(entry, &setting.value),
        None => {
            let entry = NewElement::new("entry").attribute("name", &setting.name).text(&setting.value);
            domain.append(block, entry).map(|_| ())
        }
    }
}

/// Lets the firmware show the strings, where that is known; returns the mode that keeps it from doing so.
fn show_sysinfo(domain: &mut Domain, top: Element) -> Result<Option<String>, EditError> {
    let Some(os) = domain.child(top, "os") else { return Ok(None) };
    let Some(kind) = domain.child(os, "type") else { return Ok(None) };
    // libvirt takes the host's where none is written.
    let arch = domain.attribute(kind, "arch").unwrap_or(std::env::consts::ARCH.into());
    if !matches!(&*arch, "x86_64" | "i686" | "x86") {
        return Ok(None);
    }
    match domain.child(os, "smbios") {
        Some(smbios) => {
            let mode = domain.attribute(smbios, "mode").unwrap_or_default();
            Ok((mode != "sysinfo").then(|| mode.into_owned()))
        }
        None => {
            domain.append(os, NewElement::new("smbios").attribute("mode", "sysinfo"))?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(property: &str, xml: &str) -> (Result<(), Failure>, String, Vec<String>) {
        let mut hook = Context::for_test().with_env("smbios", property).with_xml(xml);
        let result = run(&mut hook);
        (result, hook.xml_text(), hook.logged())
    }

    #[track_caller]
    fn after(property: &str, xml: &str) -> String {
        let (result, out, _) = ran(property, xml);
        assert_eq!(result, Ok(()));
        assert_eq!(ran(property, &out).1, out, "a second run changes nothing");
        out
    }

    const SYSTEM: &str = "<domain><sysinfo type='smbios'><system><entry name='manufacturer'>m</entry>\
                          <entry name='serial'>s</entry></system></sysinfo></domain>";

    #[test]
    fn replaced_or_added_in_the_block_of_the_name() {
        assert_eq!(
            after("{'serial': '1234'}^{'vendor': 'oVirt'} ^ {'date': '1/1/2020'}", SYSTEM),
            "<domain><sysinfo type='smbios'><system><entry name='manufacturer'>m</entry><entry name='serial'>1234</entry>\
             </system><bios><entry name=\"vendor\">oVirt</entry><entry name=\"date\">1/1/2020</entry></bios></sysinfo></domain>"
        );
        assert_eq!(
            after("{'serial': '1'}", "<domain/>"),
            "<domain><sysinfo type=\"smbios\"><system><entry name=\"serial\">1</entry></system></sysinfo></domain>"
        );
    }

    #[test]
    fn every_pair_counts() {
        let out = after("{'new': '1', 'serial': '2', 'release': '3'}", SYSTEM);
        for part in [
            "<entry name='serial'>2</entry><entry name=\"new\">1</entry></system>",
            "<bios><entry name=\"release\">3</entry></bios>",
        ] {
            assert!(out.contains(part), "{out}");
        }
    }

    #[test]
    fn blocks_by_name() {
        let out =
            after("{'version': 'b', 'system.version': 's', 'chassis.asset': 'c', 'a.b': 'd'}", "<domain/>");
        for part in [
            "<bios><entry name=\"version\">b</entry></bios>",
            "<system><entry name=\"version\">s</entry><entry name=\"a.b\">d</entry></system>",
            "<chassis><entry name=\"asset\">c</entry></chassis>",
        ] {
            assert!(out.contains(part), "{out}");
        }
    }

    #[test]
    fn an_empty_entry_gets_text() {
        let xml = "<domain><sysinfo type='smbios'><system><entry name='serial'/></system></sysinfo></domain>";
        assert_eq!(after("{'serial': 'a<b'}", xml), xml.replace("/></sys", ">a&lt;b</entry></sys"));
    }

    #[test]
    fn only_the_smbios_sysinfo() {
        let out = after("{'serial': '1'}", "<domain><sysinfo type='fwcfg'/></domain>");
        assert!(out.starts_with("<domain><sysinfo type='fwcfg'/><sysinfo type=\"smbios\">"), "{out}");
        let (result, ..) = ran("{'serial': '1'}", "<domain><sysinfo/><sysinfo type='smbios'/></domain>");
        assert_eq!(result.unwrap_err().message(), "smbios: a <sysinfo> of the domain has no type");
    }

    #[test]
    fn the_firmware_shows_them_on_x86() {
        let os = |arch: &str, more: &str| {
            format!("<domain><os><type arch='{arch}'>hvm</type>{more}</os></domain>")
        };
        for (arch, more, added) in [
            ("x86_64", "", true),
            ("i686", "", true),
            ("x86_64", "<smbios mode='sysinfo'/>", false),
            ("x86_64", "<smbios mode='host'/>", false),
            ("aarch64", "", false),
            ("ppc64", "", false),
        ] {
            let out = after("{'serial': '1'}", &os(arch, more));
            assert_eq!(out.contains("<smbios mode=\"sysinfo\"/></os>"), added, "{out}");
        }
        let (_, _, logged) = ran("{'serial': '1'}", &os("x86_64", "<smbios mode='host'/>"));
        assert!(matches!(logged.as_slice(), [line] if line.starts_with("smbios: <smbios mode=\"host\">")));
    }

    #[test]
    fn anything_but_mappings_of_strings_is_refused() {
        let long = format!("{{'serial': '{}", "x".repeat(1 << 20));
        for property in [
            "",
            "^",
            "{}",
            "None",
            "{'a': '1'}^",
            "^{'a': '1'}",
            "{'a': '1'}^{}",
            "{'a': None}",
            "{'a': 1}",
            "{'a': b'x'}",
            "{'a': {'b': 'c'}}",
            "{'a': 'x^y'}",
            "['a']",
            "{'a': '''x'''}",
            "{'a': 'b'; }",
            "{'a': '$(x)\n'}",
            &long,
        ] {
            let (result, out, _) = ran(property, SYSTEM);
            let failure = result.unwrap_err();
            assert!(failure.stops() && failure.message().starts_with(EXPECTED), "{failure}");
            assert!(failure.message().len() < 300, "{failure}");
            assert_eq!(out, SYSTEM);
        }
    }

    #[test]
    fn what_xml_cannot_hold_is_refused() {
        let (result, out, _) = ran(r"{'serial': 'a\0'}", SYSTEM);
        assert!(result.unwrap_err().message().starts_with("smbios: character U+0000"));
        assert_eq!(out, SYSTEM);
    }

    #[test]
    fn not_a_domain() {
        for (xml, reason) in [("<network/>", "has no <domain>"), ("junk", "is not XML")] {
            assert!(ran("{'a': 'b'}", xml).0.unwrap_err().message().contains(reason));
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
        fn each_pair_is_an_entry(pairs in proptest::collection::vec(("[a-z]{3,9}", "[A-Za-z0-9 /.:;$()-]{1,12}"), 1..6), joined in proptest::bool::ANY) {
            let mut seen = std::collections::HashSet::new();
            let pairs: Vec<_> = pairs.into_iter().filter(|(name, _)| seen.insert(name.clone())).collect();
            let one: Vec<String> = pairs.iter().map(|(name, value)| format!("'{name}': \"{value}\"")).collect();
            let property = if joined { format!("{{{}}}", one.join(", ")) } else { one.iter().map(|p| format!("{{{p}}}")).collect::<Vec<_>>().join("^") };
            let out = after(&property, "<domain><sysinfo type='smbios'><system/><bios/></sysinfo></domain>");
            let in_block = |wanted: &str| pairs.iter().filter(|(name, _)| place(name).0 == wanted)
                .map(|(name, value)| format!("<entry name=\"{name}\">{value}</entry>")).collect::<String>();
            let block = |name: &str| match in_block(name) {
                entries if entries.is_empty() => format!("<{name}/>"),
                entries => format!("<{name}>{entries}</{name}>"),
            };
            proptest::prop_assert_eq!(out, format!("<domain><sysinfo type='smbios'>{}{}</sysinfo></domain>", block("system"), block("bios")));
        }
    }
}
