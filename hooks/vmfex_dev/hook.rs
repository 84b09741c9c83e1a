// SPDX-License-Identifier: Apache-2.0
//! Attaches an interface to the port profile in its property, through the pool.

use super::pool;
use virt_hooks_sdk::{Context, Device, Element, Failure, NewElement};

pub(crate) const PROPERTY: &str = "vmfex";
const PORT_TYPE: &str = "802.1Qbh";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(profile) = hook.property(PROPERTY)? else { return Ok(()) };
    let mut device = hook.device()?;
    if device.name(device.root()) != "interface" {
        return Ok(());
    }
    // First in memory: what is refused must not have touched the host.
    attach(&mut device, &profile)?;
    pool::ensure(hook)?;
    Ok(device.save()?)
}

fn attach(device: &mut Device, profile: &str) -> Result<(), Failure> {
    let interface = device.root();
    let sources = device.all_named_below(interface, "source");
    let &[source] = sources.as_slice() else {
        return refuse(format_args!("expected an interface with one source, found {}", sources.len()));
    };
    let bridged = device.attribute(source, "bridge").is_some();
    if !bridged && !device.has(source, "network", pool::NAME) {
        return refuse(
            "expected an interface with a bridge as its source; use a profile of a bridged network",
        );
    }
    let filters = device.all_named_below(interface, "filterref");
    if filters.iter().any(|&filter| device.parent(filter) != Some(interface)) {
        return refuse("a filterref is not a child of the interface");
    }
    for filter in filters {
        device.remove(filter)?;
    }
    device.set_attribute(source, "network", pool::NAME)?;
    device.remove_attribute(source, "bridge")?;
    device.set_attribute(interface, "type", "network")?;
    let ports: Vec<_> =
        device.children(interface).filter(|&child| device.name(child) == "virtualport").collect();
    if matches!(ports.as_slice(), &[port] if has_profile(device, port, profile)) {
        return Ok(());
    }
    for port in ports {
        device.remove(port)?;
    }
    let parameters = NewElement::new("parameters").attribute("profileid", profile);
    let port = NewElement::new("virtualport").attribute("type", PORT_TYPE).child(parameters);
    match device.append(interface, port) {
        Ok(_) => Ok(()),
        Err(error) => refuse(format_args!("the value cannot be the id of a port profile: {error}")),
    }
}

fn has_profile(device: &Device, port: Element, profile: &str) -> bool {
    device.has(port, "type", PORT_TYPE)
        && device.child(port, "parameters").is_some_and(|p| device.has(p, "profileid", profile))
}

fn refuse(reason: impl std::fmt::Display) -> Result<(), Failure> {
    Err(Failure::stop(format_args!("{PROPERTY}: {reason}")))
}

/// Whether a domain has a virtual port of the kind that the pool is for.
pub(crate) fn uses_port(domain: &virt_hooks_sdk::Document) -> bool {
    domain.all_named("virtualport").into_iter().any(|port| domain.has(port, "type", PORT_TYPE))
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::Host;
    use super::*;

    const PORT: &str = "<virtualport type='802.1Qbh'><parameters profileid='p'/></virtualport>";

    #[test]
    fn moved_to_the_pool() {
        let host = Host::new(&["enp6s0f1"]);
        let xml = "<interface type='bridge'><source bridge='b' x='y'/><filterref filter='a'/><mac/>\
                   <virtualport type='openvswitch'/><filterref filter='b'><parameter/></filterref></interface>";
        let mut hook = host.hook().with_env(PROPERTY, "a&b").with_xml(xml);
        run(&mut hook).unwrap();
        let once = hook.xml_text();
        assert_eq!(
            once,
            "<interface type='network'><source x='y' network='direct-pool'/><mac/>\
             <virtualport type=\"802.1Qbh\"><parameters profileid=\"a&amp;b\"/></virtualport></interface>"
        );
        run(&mut hook).unwrap();
        assert_eq!(hook.xml_text(), once);
        assert!(host.pool().contains("enp6s0f1"));
    }

    #[test]
    fn a_profile_is_replaced() {
        let host = Host::new(&["enp6s0f1"]);
        let xml = format!("<interface type='network'><source network='direct-pool'/>{PORT}</interface>");
        let mut hook = host.hook().with_env(PROPERTY, "").with_xml(xml.as_str());
        run(&mut hook).unwrap();
        assert_eq!(
            hook.xml_text(),
            xml.replace(PORT, "<virtualport type=\"802.1Qbh\"><parameters profileid=\"\"/></virtualport>")
        );
    }

    #[test]
    fn refused_before_the_host_is_touched() {
        let bridge = "<source bridge='b'/>";
        for (value, inside) in [
            ("p", String::new()),
            ("p", format!("{bridge}{bridge}")),
            ("p", "<source network='x'/>".to_owned()),
            ("p", "<source><address type='pci'/></source>".to_owned()),
            ("p", format!("{bridge}<x><filterref filter='a'/></x>")),
            ("p\u{1}", bridge.to_owned()),
        ] {
            let xml = format!("<interface type='bridge'>{inside}</interface>");
            // Any command would fail with another message.
            let mut hook = Context::for_test().with_env(PROPERTY, value).with_xml(xml.as_str());
            let failure = run(&mut hook).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with("vmfex: "), "{failure}");
            assert!(!failure.message().contains("lock"), "{failure}");
            assert_eq!(hook.xml_text(), xml);
        }
    }

    #[test]
    fn without_the_property_or_an_interface_nothing_is_done() {
        run(&mut Context::for_test()).unwrap();
        run(&mut Context::for_test().with_env(PROPERTY, "p").with_xml("<disk/>")).unwrap();
    }

    #[test]
    fn hostile_ids_stay_ids() {
        let host = Host::new(&["enp6s0f1"]);
        let long = "x".repeat(1 << 20);
        for value in ["'/><x a='", "a\nb", "$(reboot);../", long.as_str()] {
            let xml = "<interface type='bridge'><source bridge='b'/></interface>";
            let mut hook = host.hook().with_env(PROPERTY, value).with_xml(xml);
            run(&mut hook).unwrap();
            let device = hook.device().unwrap();
            assert!(has_profile(&device, device.find("virtualport").unwrap(), value));
        }
    }

    #[test]
    fn domains_that_use_the_pool() {
        for (xml, uses) in [
            (format!("<domain><devices><interface>{PORT}</interface></devices></domain>"), true),
            ("<domain><interface><virtualport type='openvswitch'/></interface></domain>".to_owned(), false),
        ] {
            assert_eq!(uses_port(&virt_hooks_sdk::Document::parse(xml).unwrap()), uses);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Any profile, and the exact edit.
        #[test]
        fn the_profile_is_taken_as_it_is(profile in "[^\\p{C}\u{fffe}\u{ffff}]{0,40}") {
            let host = Host::new(&["enp6s0f1"]);
            let mut hook = host.hook().with_env(PROPERTY, &profile).with_xml("<interface type='bridge'><source bridge='b'/></interface>");
            run(&mut hook).unwrap();
            let out = hook.xml_text();
            let device = virt_hooks_sdk::Document::parse(out.as_str()).unwrap();
            proptest::prop_assert!(device.has(device.all_named("parameters")[0], "profileid", &profile), "{}", out);
            let start = "<interface type='network'><source network='direct-pool'/><virtualport type=\"802.1Qbh\"><parameters profileid=";
            proptest::prop_assert!(out.starts_with(start) && out.ends_with("/></virtualport></interface>"), "{}", out);
        }
    }
}
