// SPDX-License-Identifier: Apache-2.0
//! Plugs a Neutron port, and has its VM start paused until the agent had its time.

use super::interface;
use super::marker::Marker;
use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    let Some(device) = interface::plugged(hook)? else { return Ok(()) };
    // First, so that the payload is as it was if this fails.
    Marker::of_vm(hook)?.start_paused(hook)?;
    Ok(device.save()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<interface type='bridge'><source bridge='red'/></interface>";

    fn hook(host: &std::path::Path) -> Context {
        Context::for_test()
            .with_env("provider_type", "OPENSTACK_NETWORK")
            .with_env("plugin_type", "OPENSTACK_OVN")
            .with_env("vnic_id", "7c1f3a52-0c1e-4b0e-9f57-0f4a3bb1d2c6")
            .with_env("vmId", "vm")
            .with_xml(XML)
            .with_host(host)
    }

    #[test]
    fn plugged_and_paused() {
        let host = tempfile::tempdir().unwrap();
        let mut hook = hook(host.path());
        run(&mut hook).unwrap();
        let xml = hook.xml_text();
        assert!(xml.contains("br-int") && xml.contains("tap7c1f3a52-0c"), "{xml}");
        assert_eq!(hook.launch_flags().unwrap(), 1);
        assert!(host.path().join("run/vdsm/vm/marked_for_unpause").is_file());
        run(&mut hook).unwrap();
        assert_eq!(hook.xml_text(), xml);
    }

    #[test]
    fn the_payload_is_untouched_if_the_flags_cannot_be_written() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("run/vdsm/vm/launchflags")).unwrap();
        let mut hook = hook(host.path());
        assert!(run(&mut hook).unwrap_err().stops());
        assert_eq!(hook.xml_text(), XML);
    }

    #[test]
    fn other_devices_are_left_alone() {
        run(&mut Context::for_test()).unwrap();
    }
}
