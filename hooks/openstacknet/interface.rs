// SPDX-License-Identifier: Apache-2.0
//! What a Neutron port makes of the interface in the payload.

use super::port::{self, Plugin};
use virt_hooks_sdk::{Context, Device, Failure, NewElement};

/// Plugs the interface of the payload, in memory; none if the device is not OpenStack's.
pub(super) fn plugged(hook: &Context) -> Result<Option<Device>, Failure> {
    if !port::is_openstack(hook)? {
        return Ok(None);
    }
    let plugin = port::plugin(hook)?
        .ok_or_else(|| Failure::stop("plugin_type: expected LINUX_BRIDGE, OPEN_VSWITCH or OPENSTACK_OVN"))?;
    let id = port::id(hook)?;
    // Needed for the launch flags; nothing is changed without it.
    hook.vm_id()?;
    let mut device = hook.device()?;
    let interface = device
        .first_named("interface")
        .ok_or_else(|| Failure::stop("provider_type is set on a device that is no interface"))?;
    let source = device
        .all_named_below(interface, "source")
        .first()
        .copied()
        .ok_or_else(|| Failure::stop("provider_type is set on an interface that has no source"))?;
    let bridge = match plugin {
        Plugin::LinuxBridge => ";vdsmdummy;",
        Plugin::OpenVswitch => "br-int",
    };
    device.set_attribute(source, "bridge", bridge)?;
    let tap = port::tap(&id);
    if !device
        .children(interface)
        .any(|child| device.name(child) == "target" && device.has(child, "dev", &tap))
    {
        device.append(interface, NewElement::new("target").attribute("dev", tap))?;
    }
    if plugin == Plugin::OpenVswitch {
        let is_there = device.children(interface).any(|child| {
            device.name(child) == "virtualport"
                && device.has(child, "type", "openvswitch")
                && device.child(child, "parameters").is_some_and(|p| device.has(p, "interfaceid", &id))
        });
        if !is_there {
            let parameters = NewElement::new("parameters").attribute("interfaceid", id.as_str());
            let port = NewElement::new("virtualport").attribute("type", "openvswitch").child(parameters);
            device.append(interface, port)?;
        }
    }
    Ok(Some(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7c1f3a52-0c1e-4b0e-9f57-0f4a3bb1d2c6";
    const XML: &str = "<interface type='bridge'><source bridge='red'/></interface>";

    fn hook(plugin: &str) -> Context {
        Context::for_test()
            .with_env("provider_type", "OPENSTACK_NETWORK")
            .with_env("plugin_type", plugin)
            .with_env("vnic_id", ID)
            .with_env("vmId", "vm")
    }

    fn after(plugin: &str, xml: &str) -> String {
        plugged(&hook(plugin).with_xml(xml)).unwrap().unwrap().as_str().to_owned()
    }

    #[test]
    fn linux_bridge() {
        assert_eq!(
            after("LINUX_BRIDGE", XML),
            "<interface type='bridge'><source bridge=';vdsmdummy;'/><target dev=\"tap7c1f3a52-0c\"/></interface>"
        );
    }

    #[test]
    fn open_vswitch() {
        let expected = format!(
            "<interface type='bridge'><source bridge='br-int'/><target dev=\"tap7c1f3a52-0c\"/>\
             <virtualport type=\"openvswitch\"><parameters interfaceid=\"{ID}\"/></virtualport></interface>"
        );
        for plugin in ["OPEN_VSWITCH", "OPENSTACK_OVN"] {
            assert_eq!(after(plugin, XML), expected);
        }
        // Once more changes nothing.
        assert_eq!(after("OPEN_VSWITCH", &expected), expected);
    }

    #[test]
    fn another_target_stays() {
        let xml = "<interface><source network='n'/><target dev='vnet3'/></interface>";
        assert!(after("LINUX_BRIDGE", xml).contains("<target dev='vnet3'/><target dev=\"tap7c1f3a52-0c\"/>"));
    }

    #[test]
    fn refused() {
        for (hook, xml, said) in [
            (hook("other"), XML, "plugin_type"),
            (hook("LINUX_BRIDGE"), "<disk><source/></disk>", "no interface"),
            (hook("LINUX_BRIDGE"), "<interface/>", "no source"),
            (hook("LINUX_BRIDGE"), "no XML", "XML"),
            (hook("LINUX_BRIDGE").with_env("vmId", "../x"), XML, "vmId"),
            (Context::for_test().with_env("provider_type", "OPENSTACK_NETWORK"), XML, "plugin_type"),
        ] {
            let failure = plugged(&hook.with_xml(xml)).unwrap_err();
            assert!(failure.stops() && failure.message().contains(said), "{}", failure.message());
        }
    }

    #[test]
    fn others_are_not_opened() {
        assert!(plugged(&Context::for_test()).unwrap().is_none());
        assert!(
            plugged(&Context::for_test().with_env("provider_type", "EXTERNAL_NETWORK")).unwrap().is_none()
        );
    }
}
