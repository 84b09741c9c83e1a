// SPDX-License-Identifier: Apache-2.0
//! Moves the interfaces whose MAC addresses are in the property to the bridges named there.

use super::bridge::{self, Kind};
use std::collections::HashMap;
use virt_hooks_sdk::{Context, Domain, Element, Failure, Literal, NewElement};

const PROPERTY: &str = "macbind";
const OVS_PORT: &str = "openvswitch";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(mapping) = hook.mapping(PROPERTY)? else { return Ok(()) };
    let mut kinds: HashMap<&str, Kind> = HashMap::new();
    let mut bridges: HashMap<String, (&str, Kind)> = HashMap::new();
    for (mac, name) in mapping.iter() {
        let Literal::Text(name) = name else {
            return Err(Failure::stop(format_args!(
                "{PROPERTY}: expected the name of a bridge, got a mapping"
            )));
        };
        let kind = match kinds.get(name.as_str()) {
            Some(&kind) => kind,
            None => bridge::kind(hook, name)
                .map_err(|failure| Failure::stop(format_args!("{PROPERTY}: {failure}")))?,
        };
        kinds.insert(name, kind);
        bridges.insert(mac.to_lowercase(), (name, kind));
    }
    if bridges.is_empty() {
        return Ok(());
    }
    let mut domain = hook.domain()?;
    for interface in domain.all_named("interface") {
        let mac = domain.all_named_below(interface, "mac").first().copied();
        let address = mac.and_then(|mac| domain.attribute(mac, "address"));
        let Some(address) = address.map(|address| address.to_lowercase()) else { continue };
        if let Some(&(name, kind)) = bridges.get(&address) {
            attach(&mut domain, interface, &address, name, kind)?;
        }
    }
    Ok(domain.save()?)
}

fn attach(
    domain: &mut Domain,
    interface: Element,
    mac: &str,
    bridge: &str,
    kind: Kind,
) -> Result<(), Failure> {
    let Some(source) = domain.child(interface, "source") else {
        return Err(Failure::stop(format_args!(
            "{PROPERTY}: expected an interface with a source, {mac} has none"
        )));
    };
    domain.set_attribute(interface, "type", "bridge")?;
    let there = domain.has(source, "bridge", bridge)
        && domain.attributes(source).count() == 1
        && domain.children(source).next().is_none();
    let source = if there {
        source
    } else {
        domain.replace(source, NewElement::new("source").attribute("bridge", bridge))?
    };
    let mut kept = false;
    let ports: Vec<_> =
        domain.children(interface).filter(|&child| domain.name(child) == "virtualport").collect();
    for port in ports {
        if kind == Kind::OpenVSwitch && !kept && domain.has(port, "type", OVS_PORT) {
            kept = true;
        } else {
            domain.remove(port)?;
        }
    }
    if kind == Kind::OpenVSwitch && !kept {
        domain.insert_after(source, NewElement::new("virtualport").attribute("type", OVS_PORT))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Output;

    struct Host(tempfile::TempDir);

    impl Host {
        /// With the Linux bridges br0 and br1, and ovs0 of Open vSwitch.
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for dir in [
                "sys/class/net/br0/bridge",
                "sys/class/net/br1/bridge",
                "sys/class/net/ovs0",
                "run/openvswitch",
            ] {
                std::fs::create_dir_all(root.path().join(dir)).unwrap();
            }
            Self(root)
        }

        fn hook(&self, value: &str, xml: &str) -> Context {
            let hook = Context::for_test().with_host(self.0.path()).with_env(PROPERTY, value).with_xml(xml);
            hook.with_commands(|command| {
                assert_eq!(command.to_string(), "ethtool -i ovs0");
                Ok(Output::exited(0, "driver: openvswitch\n"))
            })
        }
    }

    #[track_caller]
    fn becomes(value: &str, interface: &str, expected: &str) {
        let host = Host::new();
        let xml = |inside: &str| format!("<domain><devices>{inside}</devices></domain>");
        let mut hook = host.hook(value, &xml(interface));
        run(&mut hook).unwrap();
        assert_eq!(hook.xml_text(), xml(expected));
        run(&mut hook).unwrap();
        assert_eq!(hook.xml_text(), xml(expected), "the second time");
    }

    const TO_BR0: &str = "{'00:1a:4a:00:00:0a': 'br0'}";
    const TO_OVS: &str = "{\"00:1A:4A:00:00:0A\": \"ovs0\"}";
    const MAC: &str = "<mac address='00:1A:4a:00:00:0a'/>";

    #[test]
    fn to_a_linux_bridge() {
        let wanted = format!("<interface type='bridge'>{MAC}<source bridge=\"br0\"/><link/></interface>");
        for (kind, source) in [
            ("bridge", "<source bridge='x'/>"),
            ("network", "<source network='vdsm-x' portgroup='p'/>"),
            ("direct", "<source dev='eth0' mode='vepa'><!-- c --></source>"),
            ("bridge", "<source bridge='x'/><virtualport type='openvswitch'/>"),
        ] {
            becomes(TO_BR0, &format!("<interface type='{kind}'>{MAC}{source}<link/></interface>"), &wanted);
        }
        let there = format!("<interface type='bridge'>{MAC}<source bridge='br0'/></interface>");
        becomes(TO_BR0, &there, &there);
    }

    #[test]
    fn to_an_open_vswitch_bridge() {
        let source = "<source bridge=\"ovs0\"/>";
        becomes(
            TO_OVS,
            &format!(
                "<interface type='bridge'>{MAC}<source bridge='x'/><virtualport type='802.1Qbh'/></interface>"
            ),
            &format!("<interface type='bridge'>{MAC}{source}<virtualport type=\"openvswitch\"/></interface>"),
        );
        let port = "<virtualport type='openvswitch'><parameters interfaceid='i'/></virtualport>";
        becomes(
            TO_OVS,
            &format!("<interface type='bridge'>{port}<source bridge='x'/>{port}{MAC}</interface>"),
            &format!("<interface type='bridge'>{port}{source}{MAC}</interface>"),
        );
    }

    #[test]
    fn the_last_bridge_for_an_address_counts_and_others_stay() {
        let other = "<interface type='bridge'><source bridge='x'/></interface><interface type='user'>\
                     <mac address='00:00:00:00:00:01'/></interface><interface><mac/></interface>";
        becomes(
            "{'00:1a:4a:00:00:0A': 'br0', '00:1a:4a:00:00:0a': 'br1',}",
            &format!("{other}<interface type='bridge'>{MAC}<source bridge='x'/></interface>"),
            &format!("{other}<interface type='bridge'>{MAC}<source bridge=\"br1\"/></interface>"),
        );
    }

    #[test]
    fn nothing_asked_for_nothing_read() {
        run(&mut Context::for_test()).unwrap();
        run(&mut Context::for_test().with_env(PROPERTY, " { } ")).unwrap();
    }

    #[test]
    fn refused_and_unchanged() {
        use std::os::unix::ffi::OsStringExt as _;
        let host = Host::new();
        let good = format!("<domain><interface type='bridge'>{MAC}<source bridge='x'/></interface></domain>");
        let bare = format!("<domain><interface type='bridge'>{MAC}</interface></domain>");
        let long = format!("{{'a': '{}'}}", "x".repeat(1 << 20));
        for (value, xml) in [
            ("", &good),
            ("br0", &good),
            ("{u'00:1a:4a:00:00:0a': r'br0'}", &good),
            ("{'00:1a:4a:00:00:0a': {'x': 'y'}}", &good),
            ("{'00:1a:4a:00:00:0a': 'br9'}", &good),
            // Looked at though no interface has the address.
            ("{'00:00:00:00:00:00': '../net/br0'}", &good),
            ("{'00:1a:4a:00:00:0a': 'br0;reboot'}", &good),
            (&long, &good),
            (TO_BR0, &bare),
            (TO_BR0, &"no xml".to_owned()),
        ] {
            let mut hook = host.hook(value, xml);
            let failure = run(&mut hook).unwrap_err();
            assert!(failure.stops() && failure.message().len() < 500, "{failure}");
            assert!(failure.message().starts_with("macbind") || xml == "no xml", "{failure}");
            assert_eq!(hook.xml_text(), *xml);
        }
        let bytes = std::ffi::OsString::from_vec(vec![0xff]);
        let failure = run(&mut Context::for_test().with_env(PROPERTY, bytes)).unwrap_err();
        assert!(failure.message().starts_with("macbind "));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar, and what they are to do.
        #[test]
        fn interfaces_are_on_the_bridges_of_their_addresses(chosen in proptest::collection::vec((proptest::sample::select(vec!["br0", "br1", "ovs0"]), proptest::bool::ANY), 1..5)) {
            let mac = |n: usize| format!("00:1a:4a:16:01:{n:02x}");
            let pairs: Vec<String> = chosen.iter().enumerate().map(|(n, (bridge, upper))| {
                let mac = if *upper { mac(n).to_uppercase() } else { mac(n) };
                format!("'{mac}': '{bridge}'")
            }).collect();
            let interface = |n: usize, inside: &str| format!("<interface type='bridge'><mac address='{}'/>{inside}</interface>", mac(n));
            let given: String = (0..=chosen.len()).map(|n| interface(n, "<source bridge='old'/>")).collect();
            let wanted: String = chosen.iter().enumerate().map(|(n, (bridge, _))| {
                let port = if *bridge == "ovs0" { "<virtualport type=\"openvswitch\"/>" } else { "" };
                interface(n, &format!("<source bridge=\"{bridge}\"/>{port}"))
            }).collect();
            // The last one has no address in the property.
            becomes(&format!("{{{}}}", pairs.join(",")), &given, &(wanted + &interface(chosen.len(), "<source bridge='old'/>")));
        }
    }
}
