// SPDX-License-Identifier: Apache-2.0
//! Boots a VM from an image on an HTTPS server.

use super::url::ImageUrl;
use crate::shared::messages::shown;
use std::collections::HashSet;
use virt_hooks_sdk::{Context, Domain, Element, Failure, NewElement};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(property) = hook.property("httpsisoboot")? else { return Ok(()) };
    let image = ImageUrl::parse(&property).map_err(|expected| {
        Failure::stop(format!("httpsisoboot: expected a URL such as https://server/disk.iso: {expected}"))
    })?;
    let mut domain = hook.domain()?;
    let Some(devices) = domain.first_named("devices") else {
        return Err(Failure::stop("httpsisoboot: the domain has no <devices> to add a drive to"));
    };
    if domain.children(devices).any(|device| boots_first(&domain, device, &image)) {
        return Ok(());
    }
    let bus = Bus::of(&domain);
    let target = free_target(&domain, devices, bus)?;
    for (boot, order) in boot_orders(&domain, devices)? {
        domain.set_attribute(boot, "order", &order.to_string())?;
    }
    domain
        .append(devices, drive(&image, bus, &target))
        .map_err(|e| Failure::stop(format!("httpsisoboot: {e}")))?;
    Ok(domain.save()?)
}

/// Whether this is the drive that a run of this hook left.
fn boots_first(domain: &Domain, device: Element, image: &ImageUrl) -> bool {
    let (Some(source), Some(boot)) = (domain.child(device, "source"), domain.child(device, "boot")) else {
        return false;
    };
    domain.has(device, "type", "network")
        && domain.has(device, "device", "cdrom")
        && domain.has(boot, "order", "1")
        && domain.has(source, "protocol", "https")
        && domain.has(source, "name", &image.name)
        && domain.child(source, "host").is_some_and(|host| {
            domain.has(host, "name", &image.host) && domain.has(host, "port", &image.port.to_string())
        })
}

/// What a CD-ROM drive is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bus {
    Ide,
    Sata,
    Scsi,
}

impl Bus {
    /// The one that the machine type has.
    fn of(domain: &Domain) -> Self {
        let kind = domain.find("os/type");
        let attribute = |name| kind.and_then(|kind| domain.attribute(kind, name));
        // libvirt takes the host's where none is written.
        let arch = attribute("arch").unwrap_or(std::env::consts::ARCH.into());
        match (&*arch, attribute("machine")) {
            ("x86_64" | "i686" | "x86", Some(machine)) if machine.contains("q35") => Self::Sata,
            ("x86_64" | "i686" | "x86", _) => Self::Ide,
            _ => Self::Scsi,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
        }
    }

    /// The name of its disk number `index`, from 0.
    fn target(self, index: usize) -> Option<String> {
        const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
        match self {
            // Two channels with two drives each.
            Self::Ide => ["hda", "hdb", "hdc", "hdd"].get(index).map(|&name| name.to_owned()),
            Self::Sata | Self::Scsi => {
                // As libvirt and Linux count on: sdz, sdaa, sdab.
                let (mut letters, mut rest) = (Vec::new(), index + 1);
                while rest > 0 {
                    letters.push(char::from(*LETTERS.get((rest - 1) % LETTERS.len())?));
                    rest = (rest - 1) / LETTERS.len();
                }
                Some("sd".chars().chain(letters.into_iter().rev()).collect())
            }
        }
    }
}

fn free_target(domain: &Domain, devices: Element, bus: Bus) -> Result<String, Failure> {
    let mut taken = HashSet::new();
    for disk in domain.all_named_below(devices, "disk") {
        let Some(target) = domain.child(disk, "target") else {
            return Err(Failure::stop("httpsisoboot: a <disk> of the domain has no <target>"));
        };
        taken.extend(domain.attribute(target, "dev").map(std::borrow::Cow::into_owned));
    }
    let mut names = (0..).map_while(|index| bus.target(index));
    names.find(|name| !taken.contains(name)).ok_or_else(|| {
        Failure::stop("httpsisoboot: expected a free target from hda to hdd for the drive, found all in use")
    })
}

/// The boot orders of devices, each with what it has to become.
fn boot_orders(domain: &Domain, devices: Element) -> Result<Vec<(Element, i64)>, Failure> {
    let mut orders = Vec::new();
    for boot in domain.all_named_below(devices, "boot") {
        let (Some(order), true) = (domain.attribute(boot, "order"), domain.parent(boot) != Some(devices))
        else {
            continue;
        };
        let next = order.trim().parse::<i64>().ok().and_then(|order| order.checked_add(1));
        let Some(next) = next else {
            return Err(Failure::stop(format!(
                "httpsisoboot: expected numbers as boot orders, found {}",
                shown(&order)
            )));
        };
        orders.push((boot, next));
    }
    Ok(orders)
}

fn drive(image: &ImageUrl, bus: Bus, target: &str) -> NewElement {
    let host =
        NewElement::new("host").attribute("name", &image.host).attribute("port", image.port.to_string());
    let source = NewElement::new("source").attribute("protocol", "https").attribute("name", &image.name);
    let target = NewElement::new("target")
        .attribute("bus", bus.name())
        .attribute("tray", "closed")
        .attribute("dev", target);
    NewElement::new("disk")
        .attribute("type", "network")
        .attribute("device", "cdrom")
        .child(NewElement::new("driver").attribute("name", "qemu").attribute("type", "raw"))
        .child(source.child(host))
        .child(NewElement::new("readonly"))
        .child(target)
        .child(NewElement::new("boot").attribute("order", "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://server:8080/p/d.iso?x=1#frag";

    fn ran(url: &str, xml: &str) -> (Result<(), Failure>, String) {
        let mut hook = Context::for_test().with_env("httpsisoboot", url).with_xml(xml);
        let result = run(&mut hook);
        (result, hook.xml_text())
    }

    #[track_caller]
    fn after(url: &str, xml: &str) -> String {
        let (result, out) = ran(url, xml);
        assert_eq!(result, Ok(()));
        assert_eq!(ran(url, &out).1, out, "a second run changes nothing");
        out
    }

    fn machine(arch: &str, machine: &str, devices: &str) -> String {
        format!(
            "<domain><os><type arch='{arch}' machine='{machine}'>hvm</type></os><devices>{devices}</devices></domain>"
        )
    }

    fn pc(devices: &str) -> String {
        machine("x86_64", "pc-i440fx-9.0", devices)
    }

    #[test]
    fn a_drive_that_boots_first() {
        let drive = "<disk type=\"network\" device=\"cdrom\"><driver name=\"qemu\" type=\"raw\"/>\
             <source protocol=\"https\" name=\"/p/d.iso?x=1\"><host name=\"server\" port=\"8080\"/></source><readonly/>\
             <target bus=\"ide\" tray=\"closed\" dev=\"hda\"/><boot order=\"1\"/></disk>";
        assert_eq!(after(URL, &pc("")), pc(drive).replace("<devices></devices>", drive));
    }

    #[test]
    fn boot_orders_of_devices_move_on() {
        let xml = pc("<interface><boot order='1'/></interface><boot order='7'/><hostdev><x><boot order=' 41 '/></x></hostdev>\
                      <redirdev><boot/></redirdev>").replace("</os>", "<boot dev='hd'/><boot order='5'/></os>");
        let out = after(URL, &xml);
        for kept in [
            "<interface><boot order='2'/>",
            "<boot order='7'/>",
            "<x><boot order='42'/></x>",
            "<boot/>",
            "<boot dev='hd'/><boot order='5'/></os>",
        ] {
            assert!(out.contains(kept), "{kept}: {out}");
        }
    }

    #[test]
    fn bus_and_target_by_machine() {
        let taken = "<disk><target dev='hda'/></disk><disk><target dev='sda'/></disk><disk><target dev='sdc'/></disk>";
        for (arch, kind, bus, dev) in [
            ("x86_64", "pc", "ide", "hdb"),
            ("x86_64", "pc-q35-rhel9.4.0", "sata", "sdb"),
            ("i686", "q35", "sata", "sdb"),
            ("aarch64", "virt", "scsi", "sdb"),
            ("ppc64", "pseries", "scsi", "sdb"),
            ("s390x", "s390-ccw-virtio", "scsi", "sdb"),
        ] {
            let out = after(URL, &machine(arch, kind, taken));
            assert!(out.contains(&format!("<target bus=\"{bus}\" tray=\"closed\" dev=\"{dev}\"/>")), "{out}");
        }
    }

    #[test]
    fn target_names() {
        for (index, name) in
            [(0, "sda"), (25, "sdz"), (26, "sdaa"), (51, "sdaz"), (52, "sdba"), (701, "sdzz"), (702, "sdaaa")]
        {
            assert_eq!(Bus::Sata.target(index).as_deref(), Some(name));
        }
        assert_eq!(Bus::Ide.target(4), None);
    }

    #[test]
    fn another_image_is_another_drive() {
        let out = after(URL, &pc(""));
        let second = after("https://server:8081/p/d.iso?x=1", &out);
        assert!(second.contains("dev=\"hda\"/><boot order=\"2\"/>"), "{second}");
        assert!(second.contains("dev=\"hdb\"/><boot order=\"1\"/>"), "{second}");
    }

    #[test]
    fn refused_with_the_payload_untouched() {
        let full: String =
            ["hda", "hdb", "hdc", "hdd"].map(|d| format!("<disk><target dev='{d}'/></disk>")).concat();
        for (url, xml, reason) in [
            ("", pc(""), "expected a URL such as https://server/disk.iso: the scheme https"),
            ("https://u:secret@s/", pc(""), "no user or password"),
            (URL, "<domain/>".to_owned(), "has no <devices>"),
            (URL, pc("<disk/>"), "has no <target>"),
            (URL, pc(&full), "expected a free target"),
            (
                URL,
                pc("<disk><target/><boot order='1'/></disk><disk><target/><boot order='1.0'/></disk>"),
                "found \"1.0\"",
            ),
            (URL, pc("<x><boot order='9223372036854775807'/></x>"), "expected numbers as boot orders"),
            (URL, pc("<x><boot order=''/></x>"), "expected numbers as boot orders"),
            ("https://s/\u{fffe}", pc(""), "character U+FFFE"),
            (URL, "junk".to_owned(), "is not XML"),
        ] {
            let (result, out) = ran(url, &xml);
            let failure = result.unwrap_err();
            assert!(failure.stops() && failure.message().contains(reason), "{failure}");
            assert!(!failure.message().contains("secret") && failure.message().len() < 300, "{failure}");
            assert_eq!(out, xml);
        }
        assert!(ran(&"x".repeat(1 << 20), &pc("")).0.unwrap_err().message().len() < 300);
    }

    #[test]
    fn ten_thousand_devices() {
        let disks: String = (0..10_000)
            .map(|i| {
                format!(
                    "<disk><target dev='{}'/><boot order='{}'/></disk>",
                    Bus::Sata.target(i).unwrap(),
                    i + 1
                )
            })
            .collect();
        let (result, out) = ran(URL, &machine("x86_64", "q35", &disks));
        assert_eq!(result, Ok(()));
        assert!(out.contains("<boot order='10001'/>") && out.contains("dev=\"sdntq\""));
    }

    #[test]
    fn without_the_property_nothing_is_read() {
        assert_eq!(run(&mut Context::for_test()), Ok(()));
    }
}
