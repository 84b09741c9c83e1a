// SPDX-License-Identifier: Apache-2.0
//! A whole hook: gives the VM the serial number of its property `machine_serial`.
//!
//! Install it as `before_vm_start/50_machine_serial`.

use std::process::ExitCode;
use virt_hooks_sdk::{Context, Failure, NewElement, run};

fn main() -> ExitCode {
    run(machine_serial)
}

fn machine_serial(hook: &mut Context) -> Result<(), Failure> {
    let Some(serial) = hook.property("machine_serial")? else { return Ok(()) };
    let mut domain = hook.domain()?;
    let sysinfo = domain.ensure("sysinfo")?;
    domain.set_attribute(sysinfo, "type", "smbios")?;
    let system = domain.ensure("sysinfo/system")?;
    let entries = domain.find_all("sysinfo/system/entry");
    match entries.into_iter().find(|&entry| domain.has(entry, "name", "serial")) {
        Some(entry) => domain.set_text(entry, &serial)?,
        None => {
            domain.append(system, NewElement::new("entry").attribute("name", "serial").text(&serial))?;
        }
    }
    let smbios = domain.ensure("os/smbios")?;
    domain.set_attribute(smbios, "mode", "sysinfo")?;
    Ok(domain.save()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(serial: &str, xml: &str) -> String {
        let mut hook = Context::for_test().with_env("machine_serial", serial).with_xml(xml);
        machine_serial(&mut hook).unwrap();
        hook.xml_text()
    }

    #[test]
    fn no_property_no_payload() {
        assert_eq!(machine_serial(&mut Context::for_test()), Ok(()));
    }

    #[test]
    fn serial_is_added() {
        let expected = "<domain>\n  <os>\n    <smbios mode=\"sysinfo\"/>\n  </os>\n  <sysinfo type=\"smbios\">\n    \
                        <system>\n      <entry name=\"serial\">A&lt;1</entry>\n    </system>\n  </sysinfo>\n</domain>";
        assert_eq!(after("A<1", "<domain>\n  <os/>\n</domain>"), expected);
        assert_eq!(after("A<1", expected), expected);
    }

    #[test]
    fn broken_payload_stops() {
        let mut hook = Context::for_test().with_env("machine_serial", "1").with_xml("<domain>");
        let failure = machine_serial(&mut hook).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message().contains("is not XML: line 1"), "{failure}");
    }
}
