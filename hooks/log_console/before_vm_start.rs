// SPDX-License-Identifier: Apache-2.0
//! Has libvirt copy the first serial console of a VM to a file.

use virt_hooks_sdk::{Context, Failure, NewElement};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    log(hook).map_err(|failure| Failure::go_on(failure.message()))
}

fn log(hook: &Context) -> Result<(), Failure> {
    let Some((mut domain, name)) = crate::shared::vm_switch::meant(hook, "log_console")? else {
        return Ok(());
    };
    let devices = domain.first_named("devices");
    let devices = devices.ok_or_else(|| Failure::go_on("log_console: the domain has no devices element"))?;
    let Some(serial) = domain.child(devices, "serial") else {
        hook.log("log_console: the VM has no serial console to log, enable it in the VM's console settings");
        return Ok(());
    };
    let file = format!("/var/log/libvirt/qemu/{name}-console.log");
    let logs: Vec<_> = domain.children(serial).filter(|&e| domain.name(e) == "log").collect();
    match logs.split_first() {
        None => {
            domain
                .append(serial, NewElement::new("log").attribute("file", file).attribute("append", "on"))?;
        }
        Some((&first, others)) => {
            domain.set_attribute(first, "file", &file)?;
            domain.set_attribute(first, "append", "on")?;
            // A device has one log at most.
            for &other in others {
                domain.remove(other)?;
            }
        }
    }
    Ok(domain.save()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(xml: &str) -> Context {
        let mut hook = Context::for_test().with_env("log_console", "on").with_xml(xml);
        run(&mut hook).unwrap();
        hook
    }

    fn domain(devices: &str) -> String {
        format!("<domain><name>vm</name><devices>{devices}</devices></domain>")
    }

    const LOG: &str = r#"<log file="/var/log/libvirt/qemu/vm-console.log" append="on"/>"#;

    #[test]
    fn the_first_serial_gets_a_log_once() {
        let once = after(&domain("<serial type='pty'><target port='0'/></serial><serial/>")).xml_text();
        assert_eq!(once, domain(&format!("<serial type='pty'><target port='0'/>{LOG}</serial><serial/>")));
        assert_eq!(after(&once).xml_text(), once);
    }

    #[test]
    fn a_log_that_is_there_is_replaced() {
        let old = domain(r#"<serial><log file="/old" append="off"/><log file="/older"/></serial>"#);
        assert_eq!(after(&old).xml_text(), domain(&format!("<serial>{LOG}</serial>")));
    }

    #[test]
    fn a_vm_without_serial_stays_as_it_is() {
        let none = domain("<console/>");
        let hook = after(&none);
        assert_eq!(hook.xml_text(), none);
        assert_eq!(hook.logged().len(), 1);
    }

    #[test]
    fn failures_let_the_hooks_after_it_run() {
        for xml in
            ["<domain><name>vm</name></domain>", "<domain><devices/></domain>", "<notdomain/>", "", "<<"]
        {
            let mut hook = Context::for_test().with_env("log_console", "on").with_xml(xml);
            assert_eq!(run(&mut hook).unwrap_err().exit_code(), 1, "{xml}");
            assert_eq!(hook.xml_text(), xml);
        }
    }
}
