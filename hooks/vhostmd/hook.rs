// SPDX-License-Identifier: Apache-2.0
//! Gives a VM the metrics of the host: starts vhostmd, adds its disk and its channel.

use super::config::{self, Transports};
use super::service;
use virt_hooks_sdk::{Context, Document, Failure, NewElement};

/// Last in the alphabet, so that it comes after the disks of the VM.
const TARGET: &str = "vdzz";
const CHANNEL: &str = "org.github.vhostmd.1";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    give(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn give(hook: &mut Context) -> Result<(), Failure> {
    if !hook.flag("sap_agent")? {
        return Ok(());
    }
    let transports = config::read(hook)?;
    let mut domain = hook.domain()?;
    add(&mut domain, &transports)?;
    // Last of what can be refused: nothing notes a VM that does not start.
    service::start(hook)?;
    Ok(domain.save()?)
}

fn add(domain: &mut Document, transports: &Transports) -> Result<(), Failure> {
    let devices = domain.first_named("devices");
    let devices = devices.ok_or_else(|| Failure::go_on("sap_agent: the domain has no devices element"))?;
    let has = |domain: &Document, device: &str, attribute: &str, value: &str| {
        domain
            .children(devices)
            .filter(|&e| domain.name(e) == device)
            .any(|e| domain.child(e, "target").is_some_and(|target| domain.has(target, attribute, value)))
    };
    if let Some(path) = &transports.disk
        && !has(domain, "disk", "dev", TARGET)
    {
        let disk = NewElement::new("disk")
            .attribute("type", "file")
            .attribute("device", "disk")
            .child(NewElement::new("driver").attribute("name", "qemu").attribute("type", "raw"))
            .child(NewElement::new("source").attribute("file", path))
            .child(NewElement::new("target").attribute("dev", TARGET).attribute("bus", "virtio"))
            .child(NewElement::new("readonly"));
        domain.append(devices, disk)?;
    }
    if transports.channel && !has(domain, "channel", "name", CHANNEL) {
        let channel = NewElement::new("channel")
            .attribute("type", "unix")
            .child(NewElement::new("source").attribute("mode", "bind"))
            .child(NewElement::new("target").attribute("type", "virtio").attribute("name", CHANNEL));
        domain.append(devices, channel)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Output;

    const DISK: &str = r#"<disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/x"/><target dev="vdzz" bus="virtio"/><readonly/></disk>"#;
    const PORT: &str = r#"<channel type="unix"><source mode="bind"/><target type="virtio" name="org.github.vhostmd.1"/></channel>"#;

    fn after(disk: Option<&str>, channel: bool, xml: &str) -> String {
        let mut domain = Document::parse(xml).unwrap();
        add(&mut domain, &Transports { disk: disk.map(str::to_owned), channel }).unwrap();
        domain.as_str().to_owned()
    }

    fn domain(devices: &str) -> String {
        format!("<domain><devices>{devices}</devices></domain>")
    }

    #[test]
    fn devices_are_added_once() {
        for (disk, channel, expected) in [
            (None, false, String::new()),
            (Some("/x"), false, DISK.to_owned()),
            (Some("/x"), true, format!("{DISK}{PORT}")),
        ] {
            let once = after(disk, channel, &domain("<sound/>"));
            assert_eq!(once, domain(&format!("<sound/>{expected}")));
            assert_eq!(after(disk, channel, &once), once);
        }
    }

    #[test]
    fn without_the_property_nothing_is_read() {
        for value in ["", "0", "false", "yes"] {
            run(&mut Context::for_test().with_env("sap_agent", value)).unwrap();
        }
        run(&mut Context::for_test()).unwrap();
    }

    #[test]
    fn a_host_that_is_ready_and_ones_that_are_not() {
        let host = tempfile::tempdir().unwrap();
        let hook = |xml: &str| {
            let hook = Context::for_test().with_host(host.path()).with_env("sap_agent", "true");
            hook.with_env("vmId", "a").with_xml(xml).with_commands(|_| Ok(Output::exited(0, "")))
        };
        let fails = |xml: &str| {
            let mut hook = hook(xml);
            assert_eq!(run(&mut hook).unwrap_err().exit_code(), 1);
            assert_eq!(hook.xml_text(), xml);
            assert!(!host.path().join("run").exists());
        };
        fails(&domain(""));
        std::fs::create_dir_all(host.path().join("etc/vhostmd")).unwrap();
        let conf = "<vhostmd><globals><transport>virtio</transport></globals></vhostmd>";
        std::fs::write(host.path().join("etc/vhostmd/vhostmd.conf"), conf).unwrap();
        fails("<domain/>");
        fails("<<");
        let mut hook = hook(&domain(""));
        run(&mut hook).unwrap();
        assert_eq!(hook.xml_text(), domain(PORT));
        assert!(host.path().join("run/vdsm/vhostmd/a").is_dir());
    }
}
