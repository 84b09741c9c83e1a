// SPDX-License-Identifier: Apache-2.0
//! The Neutron port that a device's properties name.

use virt_hooks_sdk::{Context, Failure};

/// What manages the port on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    LinuxBridge,
    /// Neutron's own agent, or OVN.
    OpenVswitch,
}

/// Whether the device belongs to OpenStack at all.
pub(super) fn is_openstack(hook: &Context) -> Result<bool, Failure> {
    Ok(hook.property("provider_type")?.as_deref() == Some("OPENSTACK_NETWORK"))
}

/// The plugin; none if it is one that is not known.
pub(super) fn plugin(hook: &Context) -> Result<Option<Plugin>, Failure> {
    Ok(match hook.required("plugin_type")?.as_str() {
        "LINUX_BRIDGE" => Some(Plugin::LinuxBridge),
        "OPEN_VSWITCH" | "OPENSTACK_OVN" => Some(Plugin::OpenVswitch),
        _ => None,
    })
}

/// The id of the port.
pub(super) fn id(hook: &Context) -> Result<String, Failure> {
    let id = hook.required("vnic_id")?;
    if id.len() > 255 || id.contains(char::is_control) {
        return Err(Failure::stop(
            "vnic_id: expected the id of a port such as 7c1f3a52-0c1e-4b0e-9f57-0f4a3bb1d2c6",
        ));
    }
    Ok(id)
}

/// The name of its tap, by Neutron's convention: 14 characters, though the kernel would take 15.
pub(super) fn tap(id: &str) -> String {
    "tap".chars().chain(id.chars()).take(14).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps() {
        assert_eq!(tap("7c1f3a52-0c1e-4b0e-9f57-0f4a3bb1d2c6"), "tap7c1f3a52-0c");
        assert_eq!(tap("a b"), "tapa b");
        assert_eq!(tap(""), "tap");
        assert_eq!(tap("éééééééééééé"), "tapééééééééééé");
    }

    #[test]
    fn ids() {
        for bad in ["a\nb", "\u{7f}", &"x".repeat(1 << 20)] {
            let failure = id(&Context::for_test().with_env("vnic_id", bad)).unwrap_err();
            assert!(failure.stops() && failure.message().starts_with("vnic_id: expected"));
        }
        assert!(id(&Context::for_test()).unwrap_err().message().starts_with("vnic_id is not set"));
        assert_eq!(id(&Context::for_test().with_env("vnic_id", "x';rm")).unwrap(), "x';rm");
    }
}
