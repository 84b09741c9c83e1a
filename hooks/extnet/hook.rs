// SPDX-License-Identifier: Apache-2.0
//! Attaches an interface to the libvirt network in its property.

use virt_hooks_sdk::{Context, Failure};

const PROPERTY: &str = "extnet";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let network = hook.property(PROPERTY)?.unwrap_or_default();
    if network.is_empty() {
        return Ok(());
    }
    let mut device = hook.device()?;
    let interface = device.root();
    if device.name(interface) != "interface" {
        return Ok(());
    }
    if device.has(interface, "type", "hostdev") {
        return Err(Failure::stop(format!(
            "{PROPERTY}: the interface is a NIC of the host passed through; use a profile without passthrough"
        )));
    }
    let sources = device.all_named_below(interface, "source");
    let &[source] = sources.as_slice() else {
        let found = sources.len();
        return Err(Failure::stop(format!(
            "{PROPERTY}: expected an interface with one source, found {found}"
        )));
    };
    device.set_attribute(source, "network", &network).map_err(|error| {
        Failure::stop(format!("{PROPERTY}: the value cannot be the name of a network: {error}"))
    })?;
    for attribute in ["bridge", "dev", "mode", "portgroup"] {
        device.remove_attribute(source, attribute)?;
    }
    device.set_attribute(interface, "type", "network")?;
    Ok(device.save()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str, xml: &str) -> Context {
        Context::for_test().with_env(PROPERTY, value).with_xml(xml)
    }

    fn after(value: &str, xml: &str) -> String {
        let mut hook = with(value, xml);
        run(&mut hook).unwrap();
        hook.xml_text()
    }

    #[test]
    fn the_source_names_the_network_whatever_it_named() {
        let wanted = "<interface type='network'><mac/><source network='lab 1'/></interface>";
        for (kind, source) in [
            ("bridge", "bridge='blue'"),
            ("direct", "dev='eth0' mode='vepa'"),
            ("network", "network='x' portgroup='p' bridge='virbr0'"),
            ("network", "network='lab 1'"),
        ] {
            let xml = format!("<interface type='{kind}'><mac/><source {source}/></interface>");
            assert_eq!(after("lab 1", &xml), wanted, "{source}");
        }
        assert_eq!(after("lab 1", wanted), wanted);
    }

    #[test]
    fn other_attributes_and_a_missing_type() {
        assert_eq!(
            after("lab", "<interface><source bridge='b' portid='1'><!-- c --></source></interface>"),
            "<interface type=\"network\"><source portid='1' network='lab'><!-- c --></source></interface>"
        );
    }

    #[test]
    fn nothing_asked_for_nothing_done() {
        run(&mut Context::for_test()).unwrap();
        run(&mut Context::for_test().with_env(PROPERTY, "")).unwrap();
        let xml = "<hostdev><source bridge='x'/></hostdev>";
        assert_eq!(after("lab", xml), xml);
    }

    #[test]
    fn refused_and_unchanged() {
        use std::os::unix::ffi::OsStringExt as _;
        for (value, xml) in [
            ("lab", "<interface type='bridge'/>"),
            ("lab", "<interface type='bridge'><source bridge='a'/><source bridge='b'/></interface>"),
            ("lab", "<interface type='hostdev'><source><address type='pci'/></source></interface>"),
            ("a\u{1}b", "<interface type='bridge'><source bridge='a'/></interface>"),
        ] {
            let mut hook = with(value, xml);
            let failure = run(&mut hook).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with("extnet: "), "{failure}");
            assert_eq!(hook.xml_text(), xml);
        }
        assert!(run(&mut with("lab", "no xml")).unwrap_err().stops());
        let bytes = std::ffi::OsString::from_vec(vec![0xff]);
        let failure = run(&mut Context::for_test().with_env(PROPERTY, bytes)).unwrap_err();
        assert!(failure.message().starts_with("extnet "));
    }

    #[test]
    fn hostile_names_stay_names() {
        let xml = "<interface type='bridge'><source bridge='a'/></interface>";
        let long = "x".repeat(1 << 20);
        for value in ["'/><x a='", "a\nb", "../../etc", "$(reboot);", long.as_str()] {
            let text = after(value, xml);
            let device = virt_hooks_sdk::Document::parse(text).unwrap();
            let source = device.find("source").unwrap();
            assert_eq!(device.attribute(source, "network").as_deref(), Some(value));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Any name, and the exact edit.
        #[test]
        fn the_name_is_taken_as_it_is(name in "[^\\p{C}\u{fffe}\u{ffff}]{1,40}") {
            let out = after(&name, "<interface type='bridge'><mac/><source bridge='b'/></interface>");
            let device = virt_hooks_sdk::Document::parse(out.as_str()).unwrap();
            let source = device.all_named("source")[0];
            proptest::prop_assert!(device.has(source, "network", &name), "{}", out);
            let around = ("<interface type='network'><mac/><source network=", "/></interface>");
            proptest::prop_assert!(out.starts_with(around.0) && out.ends_with(around.1), "{}", out);
        }
    }
}
