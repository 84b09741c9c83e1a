// SPDX-License-Identifier: Apache-2.0
//! Bridges of the host, and of which kind they are.

use crate::shared::messages::shown;
use virt_hooks_sdk::{Command, Context, Failure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Linux,
    OpenVSwitch,
}

/// The kind of a bridge of the host.
///
/// # Errors
/// There is no such device, it is no bridge, or that cannot be found out.
pub(crate) fn kind(hook: &mut Context, name: &str) -> Result<Kind, Failure> {
    let shown = shown(name);
    if !is_device_name(name) {
        return Err(Failure::stop(format_args!("expected the name of a bridge, got {shown}")));
    }
    let device = hook.host().sysfs("class/net").join(name);
    if !device.exists() {
        return Err(Failure::stop(format_args!("expected a bridge of this host, it has no device {shown}")));
    }
    if device.join("bridge").is_dir() {
        return Ok(Kind::Linux);
    }
    // Without Open vSwitch on the host there is nothing to ask.
    if !hook.host().sysfs("module/openvswitch").exists() && !hook.host().path("/run/openvswitch").exists() {
        return Err(Failure::stop(format_args!("expected a bridge, {shown} is a device of another kind")));
    }
    let command = Command::new("ethtool").args(["-i", name]);
    let output = hook.execute(&command)?.success(&command)?.stdout.text();
    let driver = output.lines().find_map(|line| line.strip_prefix("driver:")).unwrap_or_default().trim();
    match driver {
        "openvswitch" => Ok(Kind::OpenVSwitch),
        _ => Err(Failure::stop(format_args!(
            "expected a Linux or Open vSwitch bridge, the driver of {shown} is {driver:?}"
        ))),
    }
}

/// What the kernel takes as the name of a network device, and ethtool for no option.
fn is_device_name(name: &str) -> bool {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.starts_with('-')
        && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Output;

    #[test]
    fn kinds() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["br0/bridge", "ovs0", "veth7"] {
            std::fs::create_dir_all(root.path().join("sys/class/net").join(dir)).unwrap();
        }
        let failure = kind(&mut Context::for_test().with_host(root.path()), "veth7").unwrap_err();
        assert!(failure.message().ends_with("\"veth7\" is a device of another kind"));
        std::fs::create_dir_all(root.path().join("sys/module/openvswitch")).unwrap();
        let mut hook = Context::for_test().with_host(root.path()).with_commands(|command| {
            Ok(match command.to_string().as_str() {
                "ethtool -i ovs0" => Output::exited(0, "driver: openvswitch\nversion: \n"),
                "ethtool -i veth7" => Output::exited(0, "driver: veth\n"),
                other => panic!("{other}"),
            })
        });
        for (name, expected) in [("br0", Kind::Linux), ("ovs0", Kind::OpenVSwitch)] {
            assert_eq!(kind(&mut hook, name), Ok(expected));
        }
        assert!(kind(&mut hook, "veth7").unwrap_err().message().ends_with("is \"veth\""));
        assert!(kind(&mut hook, "br9").unwrap_err().message().contains("no device"));
    }

    #[test]
    fn names_that_are_none() {
        let long = "x".repeat(1 << 20);
        for name in ["", ".", "..", "../net", "a/b", "-h", "a b", "a\nb", "0123456789abcdef", &long] {
            let failure = kind(&mut Context::for_test(), name).unwrap_err();
            assert!(failure.message().starts_with("expected the name of a bridge"), "{failure}");
            assert!(failure.message().len() < 200);
        }
    }
}
