// SPDX-License-Identifier: Apache-2.0
//! Attaches an interface to a network drawn from the pool in its property.

use crate::shared::messages::shown;
use std::hash::{BuildHasher as _, RandomState};
use virt_hooks_sdk::{Context, Failure};

const PROPERTY: &str = "equivnets";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(value) = hook.property(PROPERTY)? else { return Ok(()) };
    // Its keys are random in each process, and one draw is all there is.
    let number = RandomState::new().hash_one(PROPERTY);
    let Some(network) = draw(&value, number) else {
        return Err(Failure::stop(format!(
            "{PROPERTY} names no network; expected names separated by white space"
        )));
    };
    let mut device = hook.device()?;
    let interface = device.root();
    if device.name(interface) != "interface" {
        return Ok(());
    }
    let attribute = match device.attribute(interface, "type").as_deref() {
        Some("bridge") => "bridge",
        Some("network") => "network",
        _ => {
            hook.log(format!("{PROPERTY}: an interface that is not of type bridge or network is left alone"));
            return Ok(());
        }
    };
    let sources: Vec<_> =
        device.children(interface).filter(|&child| device.name(child) == "source").collect();
    if sources.is_empty() {
        hook.log(format!("{PROPERTY}: an interface without source is left alone"));
        return Ok(());
    }
    for source in sources {
        device.set_attribute(source, attribute, network).map_err(|error| {
            Failure::stop(format!("{PROPERTY}: {} cannot be the name of a network: {error}", shown(network)))
        })?;
    }
    device.save()?;
    hook.log(format!("{PROPERTY}: drew network {}", shown(network)));
    Ok(())
}

/// One of the names, each as likely as the others as far as `number` is random.
fn draw(pool: &str, number: u64) -> Option<&str> {
    // What Python's split takes for white space: the information separators too.
    let blank = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
    let names: Vec<&str> = pool.split(blank).filter(|name| !name.is_empty()).collect();
    let index = number.checked_rem(names.len() as u64)?;
    names.get(usize::try_from(index).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn with(value: &str, xml: &str) -> Context {
        Context::for_test().with_env(PROPERTY, value).with_xml(xml)
    }

    fn after(value: &str, xml: &str) -> String {
        let mut hook = with(value, xml);
        run(&mut hook).unwrap();
        hook.xml_text()
    }

    #[test]
    fn the_attribute_of_the_type_is_set() {
        assert_eq!(
            after(" blue\t", "<interface type='bridge'>\n <source bridge='x'/>\n <source/></interface>"),
            "<interface type='bridge'>\n <source bridge='blue'/>\n <source bridge=\"blue\"/></interface>"
        );
        assert_eq!(
            after("blue", "<interface type='network'><source portgroup='p' network='x'/></interface>"),
            "<interface type='network'><source portgroup='p' network='blue'/></interface>"
        );
    }

    #[test]
    fn what_has_no_network_is_left_alone() {
        for xml in [
            "<interface type='direct'><source dev='eth0' mode='vepa'/></interface>",
            "<interface type='direct'><source mode='passthrough' dev='eth0'/></interface>",
            "<interface type='hostdev'><source><address type='pci'/></source></interface>",
            "<interface><source bridge='x'/></interface>",
            "<interface type='bridge'/>",
            "<disk type='file'><source file='/iso/a.iso'/></disk>",
            "<hostdev><source bridge='x'/></hostdev>",
        ] {
            assert_eq!(after("blue", xml), xml);
        }
    }

    #[test]
    fn each_name_is_drawn() {
        let drawn: HashSet<_> = (0..9).map(|n| draw(" a\n b\u{1c}\u{3000}c ", n).unwrap()).collect();
        assert_eq!(drawn, HashSet::from(["a", "b", "c"]));
        let xml = "<interface type='bridge'><source bridge='x'/></interface>";
        // Of two, 64 times the same one: once in 2 to the 63.
        let networks: HashSet<_> = (0..64).map(|_| after("a b", xml)).collect();
        assert_eq!(networks.len(), 2);
    }

    #[test]
    fn without_the_property_nothing_is_read() {
        run(&mut Context::for_test()).unwrap();
    }

    #[test]
    fn bad_values_stop_and_change_nothing() {
        use std::os::unix::ffi::OsStringExt as _;
        let xml = "<interface type='bridge'><source bridge='x'/></interface>";
        for value in ["", " \t\n", "a\u{1}b", &"\u{fffe}".repeat(1 << 18)] {
            let mut hook = with(value, xml);
            let failure = run(&mut hook).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with("equivnets"), "{failure}");
            assert!(failure.message().len() < 1000);
            assert_eq!(hook.xml_text(), xml);
        }
        let bytes = std::ffi::OsString::from_vec(vec![0xff]);
        let mut hook = Context::for_test().with_env(PROPERTY, bytes).with_xml(xml);
        assert!(run(&mut hook).unwrap_err().message().starts_with("equivnets"));
        assert!(run(&mut with("blue", "no xml")).is_err());
        // Hostile in a shell; in XML text like any other.
        assert!(after("$(reboot);../x'\"<&", xml).contains("'$(reboot);../x&apos;\"&lt;&amp;'"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar: one of the names, and nothing but that changes.
        #[test]
        fn one_of_the_names_is_drawn(names in proptest::collection::vec("[a-zA-Z0-9_.-]{1,12}", 1..6), blank in "[ \\t]{1,3}") {
            let out = after(&names.join(&blank), "<interface type='bridge'><source bridge='x'/></interface>");
            let possible: Vec<String> = names.iter().map(|name| format!("<interface type='bridge'><source bridge='{name}'/></interface>")).collect();
            proptest::prop_assert!(possible.contains(&out), "{}", out);
        }
    }
}
