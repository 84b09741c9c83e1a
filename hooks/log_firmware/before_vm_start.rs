// SPDX-License-Identifier: Apache-2.0
//! Has QEMU write the debug output of a VM's firmware to a file.

use virt_hooks_sdk::{Context, Domain, Element, Failure, NewElement, QEMU_NAMESPACE};

const DIRECTORY: &str = "/var/log/qemu-firmware";

/// The port of x86 machines that firmware writes its debug output to.
const DEVICE: &str = "isa-debugcon,iobase=0x402,chardev=firmware";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    log(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn log(hook: &Context) -> Result<(), Failure> {
    let Some((mut domain, name)) = crate::shared::vm_switch::meant(hook, "log_firmware")? else {
        return Ok(());
    };
    if let Some(arch) = other_machine(&domain) {
        hook.log(format_args!("log_firmware: a machine of {arch} has no debug port, nothing is logged"));
        return Ok(());
    }
    let directory = hook.property("log_firmware_dir")?.filter(|directory| !directory.is_empty());
    let directory = directory.as_deref().unwrap_or(DIRECTORY);
    if !directory.starts_with('/') || directory.chars().any(char::is_control) {
        return Err(Failure::go_on("log_firmware_dir: expected the absolute path of a directory"));
    }
    // In QEMU's options a comma ends a value unless it is doubled.
    let path = format!("{directory}/{name}-firmware.log").replace(',', ",,");
    let chardev = format!("file,id=firmware,path={path}");
    let arguments = domain.all_in(QEMU_NAMESPACE, "arg");
    let logged = |value: &str| value.split(',').any(|part| part == "id=firmware");
    let mut missing = Vec::new();
    match option(&domain, &arguments, "-chardev", logged) {
        Some(value) => domain.set_attribute(value, "value", &chardev)?,
        None => missing.extend(["-chardev", &chardev]),
    }
    if option(&domain, &arguments, "-device", |value| value == DEVICE).is_none() {
        missing.extend(["-device", DEVICE]);
    }
    if !missing.is_empty() {
        let prefix = domain.declare_namespace("qemu", QEMU_NAMESPACE)?;
        let argument = |value| NewElement::new(format!("{prefix}:arg")).attribute("value", value);
        let commandline = NewElement::new(format!("{prefix}:commandline"));
        let commandline = missing.into_iter().map(argument).fold(commandline, NewElement::child);
        let root = domain.root();
        domain.append(root, commandline)?;
    }
    Ok(domain.save()?)
}

/// The architecture the domain names, if it is not of the family that has the port.
fn other_machine(domain: &Domain) -> Option<String> {
    let of = domain.child(domain.first_named("os")?, "type")?;
    let arch = domain.attribute(of, "arch")?;
    (!matches!(&*arch, "x86_64" | "i686" | "i386")).then(|| arch.into_owned())
}

/// The argument that follows `name` on QEMU's command line and is the one that is meant.
fn option(
    domain: &Domain,
    arguments: &[Element],
    name: &str,
    is_meant: impl Fn(&str) -> bool,
) -> Option<Element> {
    arguments.windows(2).find_map(|pair| match *pair {
        [option, value] if domain.has(option, "value", name) => {
            domain.attribute(value, "value").is_some_and(|text| is_meant(&text)).then_some(value)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(variables: &[(&str, &str)], xml: &str) -> Context {
        let hook = Context::for_test().with_env("log_firmware", "on").with_xml(xml);
        let mut hook = variables.iter().fold(hook, |hook, (name, value)| hook.with_env(*name, *value));
        run(&mut hook).unwrap();
        hook
    }

    fn domain(content: &str) -> String {
        format!("<domain xmlns:qemu=\"{QEMU_NAMESPACE}\"><name>vm</name>{content}</domain>")
    }

    fn logged(path: &str) -> String {
        format!(
            "<qemu:commandline><qemu:arg value=\"-chardev\"/><qemu:arg value=\"file,id=firmware,path={path}\"/>\
             <qemu:arg value=\"-device\"/><qemu:arg value=\"{DEVICE}\"/></qemu:commandline>"
        )
    }

    #[test]
    fn arguments_are_added_once() {
        let once = after(&[], "<domain><name>vm</name></domain>").xml_text();
        assert_eq!(once, domain(&logged("/var/log/qemu-firmware/vm-firmware.log")));
        assert_eq!(after(&[], &once).xml_text(), once);
        // Another directory is another value of the same argument.
        let moved = after(&[("log_firmware_dir", "/fw")], &once).xml_text();
        assert_eq!(moved, domain(&logged("/fw/vm-firmware.log")));
    }

    #[test]
    fn other_arguments_stay() {
        let own = "<qemu:commandline><qemu:arg value=\"-device\"/><qemu:arg value=\"x,id=firmware\"/></qemu:commandline>";
        let new = after(&[], &domain(own)).xml_text();
        assert_eq!(new, domain(&format!("{own}{}", logged("/var/log/qemu-firmware/vm-firmware.log"))));
    }

    #[test]
    fn commas_are_doubled_and_empty_means_unset() {
        let path = |dir: &str, name: &str| {
            let xml = format!("<domain><name>{name}</name></domain>");
            after(&[("log_firmware_dir", dir)], &xml).xml_text()
        };
        assert!(path("/a,b", "c,id=x").contains("path=/a,,b/c,,id=x-firmware.log\""));
        assert!(path("", "vm").contains("path=/var/log/qemu-firmware/vm-firmware.log\""));
    }

    #[test]
    fn machines_without_the_port_are_left_alone() {
        for (arch, changed) in [("x86_64", true), ("i686", true), ("aarch64", false), ("s390x", false)] {
            let xml = format!("<domain><name>vm</name><os><type arch='{arch}'>hvm</type></os></domain>");
            let hook = after(&[], &xml);
            assert_eq!(hook.xml_text() != xml, changed, "{arch}");
            assert_eq!(hook.logged().is_empty(), changed, "{arch}");
        }
    }

    #[test]
    fn failures_let_the_hooks_after_it_run() {
        for (dir, xml) in [
            ("", "<domain/>"),
            ("", "<<"),
            ("../x", "<domain><name>vm</name></domain>"),
            ("/a\nb", "<domain><name>vm</name></domain>"),
        ] {
            let hook = Context::for_test().with_env("log_firmware", "on").with_env("log_firmware_dir", dir);
            let mut hook = hook.with_xml(xml);
            assert_eq!(run(&mut hook).unwrap_err().exit_code(), 1, "{dir} {xml}");
            assert_eq!(hook.xml_text(), xml);
        }
    }
}
