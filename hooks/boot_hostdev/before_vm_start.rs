// SPDX-License-Identifier: Apache-2.0
//! Makes the host device in the property the first one to boot from.

use super::node_device::NodeDevice;
use crate::shared::messages::shown;
use virt_hooks_sdk::{Context, Domain, Element, Failure, NewElement};

pub(crate) const PROPERTY: &str = "boot_hostdev";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    // The others still run, as after VDSM's.
    boot_from(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn boot_from(hook: &mut Context) -> Result<(), Failure> {
    let name = hook.property(PROPERTY)?.unwrap_or_default();
    if name.is_empty() {
        return Ok(());
    }
    let device = NodeDevice::resolve(&name, hook.host())?;
    let mut domain = hook.domain()?;
    let Some(hostdev) = domain.all_named("hostdev").into_iter().find(|&h| device.is(&domain, h)) else {
        return Err(Failure::go_on(format_args!(
            "{PROPERTY}: expected a host device of this VM, {} is none",
            shown(&name)
        )));
    };
    let own: Vec<Element> = domain.children(hostdev).filter(|&child| domain.name(child) == "boot").collect();
    let mut others = Vec::new();
    for boot in domain.all_named("boot") {
        if let Some(order) = order(&domain, boot)?
            && !own.contains(&boot)
        {
            others.push((boot, order));
        }
    }
    let is_first = matches!(own.as_slice(), &[boot] if order(&domain, boot)? == Some(1));
    if is_first && others.iter().all(|&(_, order)| order != 1) {
        return Ok(());
    }
    for (boot, order) in others {
        domain.set_attribute(boot, "order", &order.saturating_add(1).to_string())?;
    }
    match own.split_first() {
        Some((&first, surplus)) => {
            domain.set_attribute(first, "order", "1")?;
            for &boot in surplus {
                domain.remove(boot)?;
            }
        }
        None => {
            domain.append(hostdev, NewElement::new("boot").attribute("order", "1"))?;
        }
    }
    Ok(domain.save()?)
}

fn order(domain: &Domain, boot: Element) -> Result<Option<u32>, Failure> {
    let Some(order) = domain.attribute(boot, "order") else { return Ok(None) };
    match order.trim().parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Failure::go_on(format_args!(
            "{PROPERTY}: a boot order of the VM is {}, expected a number",
            shown(&order)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, devices: &str) -> Context {
        let xml = format!("<domain><devices>{devices}</devices></domain>");
        Context::for_test().with_env(PROPERTY, name).with_xml(xml)
    }

    #[track_caller]
    fn becomes(name: &str, devices: &str, expected: &str) {
        let mut hook = with(name, devices);
        run(&mut hook).unwrap();
        let expected = format!("<domain><devices>{expected}</devices></domain>");
        assert_eq!(hook.xml_text(), expected);
        run(&mut hook).unwrap();
        assert_eq!(hook.xml_text(), expected, "the second time");
    }

    const PCI: &str = "<hostdev type='pci'><source><address domain='0' bus='59' slot='0x00' function='1'/></source>BOOT</hostdev>";

    #[test]
    fn first_and_the_others_behind_it() {
        let bare = PCI.replace("BOOT", "");
        becomes(
            "pci_0000_3b_00_1",
            &format!("<disk><boot order='1'/></disk>{bare}<interface><boot order='2' x='y'/></interface>"),
            &format!(
                "<disk><boot order='2'/></disk>{}<interface><boot order='3' x='y'/></interface>",
                PCI.replace("BOOT", "<boot order=\"1\"/>")
            ),
        );
    }

    #[test]
    fn its_own_order_is_replaced() {
        let wanted = format!("<disk><boot order='2'/></disk>{}", PCI.replace("BOOT", "<boot order='1'/>"));
        for own in [
            "<boot order='5'/>",
            "<boot order='1'/>",
            "<boot order='5'/><boot order='1'/>",
            "<boot order='5'/><boot/>",
        ] {
            let devices = format!("<disk><boot order='1'/></disk>{}", PCI.replace("BOOT", own));
            becomes("pci_0000_3b_00_1", &devices, &wanted);
        }
        becomes("pci_0000_3b_00_1", &wanted, &wanted);
    }

    #[test]
    fn a_boot_without_order_stays() {
        let bare = PCI.replace("BOOT", "");
        becomes(
            "pci_0000_3b_00_1",
            &format!("<os><boot dev='hd'/></os>{bare}"),
            &format!("<os><boot dev='hd'/></os>{}", PCI.replace("BOOT", "<boot order=\"1\"/>")),
        );
    }

    #[test]
    fn nothing_asked_for_nothing_read() {
        run(&mut Context::for_test()).unwrap();
        run(&mut Context::for_test().with_env(PROPERTY, "")).unwrap();
    }

    #[test]
    fn refused_and_unchanged() {
        use std::os::unix::ffi::OsStringExt as _;
        let bare = PCI.replace("BOOT", "");
        let wrong = format!("<disk><boot order='first'/></disk>{bare}");
        let long = format!("pci_{}", "0".repeat(1 << 20));
        for (name, devices) in [
            ("pci_0000_3b_00_0", bare.as_str()),
            ("pci_0000_3b_00_1", ""),
            ("pci_0000_3b_00_1", &wrong),
            ("pci_0000_3b", &bare),
            ("net_eth0", &bare),
            (&long, &bare),
            ("usb_1_../../x\n;", &bare),
        ] {
            let mut hook = with(name, devices);
            let failure = run(&mut hook).unwrap_err();
            assert!(failure.message().starts_with("boot_hostdev: "), "{failure}");
            assert!(!failure.stops() && failure.message().len() < 500);
            assert_eq!(hook.xml_text(), format!("<domain><devices>{devices}</devices></domain>"));
        }
        let not_xml = run(&mut Context::for_test().with_env(PROPERTY, "usb_usb1").with_xml("x")).unwrap_err();
        assert!(!not_xml.stops());
        let bytes = std::ffi::OsString::from_vec(vec![0xff]);
        let failure = run(&mut Context::for_test().with_env(PROPERTY, bytes)).unwrap_err();
        assert!(!failure.stops() && failure.message().starts_with("boot_hostdev "));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Names of the grammar mean the device with these numbers, however the domain writes them.
        #[test]
        fn the_device_of_the_name_boots_first(domain in 0_u32..0x1_0000, bus in 0_u32..0x100, slot in 0_u32..0x20, function in 0_u32..8, decimal in proptest::bool::ANY, orders in proptest::collection::vec(1_u32..1000, 0..4)) {
            let number = |n: u32| if decimal { n.to_string() } else { format!("0x{n:x}") };
            let hostdev = |bus: u32, boot: &str| format!(
                "<hostdev type='pci'><source><address domain='{}' bus='{}' slot='{}' function='{}'/></source>{boot}</hostdev>",
                number(domain), number(bus), number(slot), number(function)
            );
            let disks = |more: u32| orders.iter().map(|n| format!("<disk><boot order='{}'/></disk>", n + more)).collect::<String>();
            let name = format!("pci_{domain:04x}_{bus:02x}_{slot:02x}_{function:x}");
            let mut hook = with(&name, &format!("{}{}<hostdev/>{}", disks(0), hostdev(bus + 1, ""), hostdev(bus, "")));
            run(&mut hook).unwrap();
            let wanted = format!("{}{}<hostdev/>{}", disks(1), hostdev(bus + 1, ""), hostdev(bus, "<boot order=\"1\"/>"));
            proptest::prop_assert_eq!(hook.xml_text(), format!("<domain><devices>{wanted}</devices></domain>"));
        }
    }
}
