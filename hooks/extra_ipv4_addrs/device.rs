// SPDX-License-Identifier: Apache-2.0
//! The device of the host that carries a network's addresses.

use crate::shared::messages::shown;
use crate::shared::network_request::is_interface_name;
use virt_hooks_sdk::serde_json::{Map, Value};
use virt_hooks_sdk::{Host, is_true};

/// The bridge; of a network without one the VLAN device, else the bond, else the NIC.
pub(super) fn top_device(host: &Host, name: &str, network: &Map<String, Value>) -> Result<String, String> {
    if network.get("bridged").is_some_and(means_yes) {
        return if is_interface_name(name) {
            Ok(name.to_owned())
        } else {
            Err("its name is no name of a bridge".to_owned())
        };
    }
    let (bond, nic) = (text(network, "bonding")?, text(network, "nic")?);
    let lower = bond.or(nic).ok_or("it has no bridge, no bond and no NIC")?;
    let device = match network.get("vlan") {
        None | Some(Value::Null) => Some(lower.to_owned()),
        Some(tag) => vlan_device(host, lower, tag)?,
    };
    device
        .filter(|device| host.sysfs("class/net").join(device).exists())
        .ok_or_else(|| format!("its device on {} is not there", shown(lower)))
}

/// What the network calls this lower device, if it has one.
fn text<'n>(network: &'n Map<String, Value>, key: &str) -> Result<Option<&'n str>, String> {
    match network.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if is_interface_name(name) => Ok(Some(name)),
        Some(_) => Err(format!("\"{key}\" of the network is no name of an interface")),
    }
}

/// The VLAN device with this tag: by the name VDSM gives it, else by what the kernel says.
fn vlan_device(host: &Host, lower: &str, tag: &Value) -> Result<Option<String>, String> {
    let number = tag.as_u64().or_else(|| tag.as_str()?.trim().parse().ok());
    let tag = number.filter(|tag| *tag < 4096).ok_or("\"vlan\" of the network is no number up to 4095")?;
    let usual = format!("{lower}.{tag}");
    if host.sysfs("class/net").join(&usual).exists() {
        return Ok(Some(usual));
    }
    let table = host.read("/proc/net/vlan/config").map_err(|e| e.to_string())?.unwrap_or_default();
    let tag = tag.to_string();
    Ok(table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        match fields.as_slice() {
            [name, id, below] if *id == tag && *below == lower => Some((*name).to_owned()),
            _ => None,
        }
    }))
}

/// VDSM's notion of a boolean: `true` in any letter case, or an integer that is not 0.
fn means_yes(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64().is_some_and(|n| n.trunc() != 0.0),
        Value::String(text) => is_true(text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::Context;
    use virt_hooks_sdk::serde_json::json;

    fn device(name: &str, network: &Value) -> Result<String, String> {
        let root = tempfile::tempdir().unwrap();
        for device in ["em1", "bond0", "bond0.7", "tagged"] {
            std::fs::create_dir_all(root.path().join("sys/class/net").join(device)).unwrap();
        }
        std::fs::create_dir_all(root.path().join("proc/net/vlan")).unwrap();
        std::fs::write(
            root.path().join("proc/net/vlan/config"),
            "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\nbond0.7        | 7  | bond0\n\
             tagged         | 9  | em1\n",
        )
        .unwrap();
        let hook = Context::for_test().with_host(root.path());
        top_device(hook.host(), name, network.as_object().unwrap())
    }

    #[test]
    fn bridges() {
        for yes in [json!(true), json!("TRUE"), json!("1"), json!(2)] {
            assert_eq!(device("red", &json!({"bridged": yes, "nic": "em1"})), Ok("red".to_owned()), "{yes}");
        }
        for no in [json!(false), json!("no"), json!(0), json!(null), json!([])] {
            assert_eq!(device("red", &json!({"bridged": no, "nic": "em1"})), Ok("em1".to_owned()), "{no}");
        }
        assert!(device("-batch", &json!({"bridged": true})).is_err());
        assert!(device("a network of some length", &json!({"bridged": true})).is_err());
    }

    #[test]
    fn without_a_bridge() {
        for (network, expected) in [
            (json!({"bonding": "bond0"}), "bond0"),
            (json!({"bonding": "bond0", "vlan": 7}), "bond0.7"),
            (json!({"bonding": "bond0", "vlan": "7"}), "bond0.7"),
            (json!({"nic": "em1", "vlan": 9}), "tagged"),
            (json!({"nic": "em1", "vlan": null}), "em1"),
        ] {
            assert_eq!(device("red", &network), Ok(expected.to_owned()), "{network}");
        }
    }

    #[test]
    fn no_device() {
        for network in [
            json!({}),
            json!({"nic": "em9"}),
            json!({"nic": "em1", "vlan": 8}),
            json!({"nic": "em1", "vlan": "../8"}),
            json!({"nic": "../../class"}),
            json!({"bonding": 5}),
        ] {
            assert!(device("red", &network).is_err(), "{network}");
        }
    }
}
