// SPDX-License-Identifier: Apache-2.0
//! Plugs a Neutron port into a VM that runs: flags and mark are for starts only.

use super::interface;
use virt_hooks_sdk::{Context, Failure};

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    match interface::plugged(hook)? {
        Some(device) => Ok(device.save()?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugged_and_nothing_left_behind() {
        let host = tempfile::tempdir().unwrap();
        let mut hook = Context::for_test()
            .with_env("provider_type", "OPENSTACK_NETWORK")
            .with_env("plugin_type", "LINUX_BRIDGE")
            .with_env("vnic_id", "port")
            .with_env("vmId", "vm")
            .with_xml("<interface><source/></interface>")
            .with_host(host.path());
        run(&mut hook).unwrap();
        assert_eq!(
            hook.xml_text(),
            "<interface><source bridge=\";vdsmdummy;\"/><target dev=\"tapport\"/></interface>"
        );
        assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 0);
    }
}
