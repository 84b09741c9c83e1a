// SPDX-License-Identifier: Apache-2.0
//! The network interfaces of a host, from `/sys/class/net`.

use super::Files;
use serde_json::{Map, Value, json};

fn attribute(files: &Files, name: &str, attribute: &str) -> String {
    files.read(&format!("sys/class/net/{name}/{attribute}")).unwrap_or_default()
}

/// What kind of interface it is, in the words of the capabilities.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nic,
    Bond,
    Vlan,
    Bridge,
    /// Loopback, taps, veth pairs, tunnels: not part of the answer.
    Other,
}

fn kind(files: &Files, name: &str) -> Kind {
    let has = |what: &str| files.exists(&format!("sys/class/net/{name}/{what}"));
    if has("bridge") {
        Kind::Bridge
    } else if has("bonding") {
        Kind::Bond
    } else if files.exists(&format!("proc/net/vlan/{name}")) {
        Kind::Vlan
    } else if has("device") {
        Kind::Nic
    } else {
        Kind::Other
    }
}

/// In Mbit/s; 0 where the link is down or has none.
fn speed(files: &Files, name: &str) -> u64 {
    attribute(files, name, "speed").parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

/// `nics`, `bondings`, `vlans` and `bridges` of the capabilities.
pub(crate) fn capabilities(files: &Files, caps: &mut Map<String, Value>) {
    let (mut nics, mut bonds, mut vlans, mut bridges) = (Map::new(), Map::new(), Map::new(), Map::new());
    for name in files.list("sys/class/net") {
        let text = |key: &str| attribute(files, &name, key);
        let mut about = Map::from_iter([("mtu".to_owned(), Value::from(text("mtu")))]);
        let mut set = |key: &str, value: Value| about.insert(key.to_owned(), value);
        let into = match kind(files, &name) {
            Kind::Nic => {
                set("hwaddr", text("address").into());
                set("speed", speed(files, &name).into());
                &mut nics
            }
            Kind::Bond => {
                set("hwaddr", text("address").into());
                let mut slaves: Vec<String> =
                    text("bonding/slaves").split_whitespace().map(str::to_owned).collect();
                slaves.sort();
                set("slaves", slaves.into());
                // "balance-rr 0"
                let mode = text("bonding/mode");
                let opts = json!({"mode": mode.split_whitespace().last().unwrap_or_default(),
                                  "miimon": text("bonding/miimon")});
                set("opts", opts);
                &mut bonds
            }
            Kind::Vlan => {
                let said = files.read(&format!("proc/net/vlan/{name}")).unwrap_or_default();
                let after = |key: &str| {
                    said.split_once(key)
                        .and_then(|(_, rest)| rest.split_whitespace().next())
                        .unwrap_or_default()
                };
                set("vlanid", after("VID:").parse::<u32>().unwrap_or(0).into());
                set("iface", after("Device:").into());
                &mut vlans
            }
            Kind::Bridge => {
                set("ports", files.list(&format!("sys/class/net/{name}/brif")).into());
                let stp = if text("bridge/stp_state") == "0" { "off" } else { "on" };
                set("stp", stp.into());
                &mut bridges
            }
            Kind::Other => continue,
        };
        into.insert(name, about.into());
    }
    for (key, value) in [("nics", nics), ("bondings", bonds), ("vlans", vlans), ("bridges", bridges)] {
        caps.insert(key.to_owned(), value.into());
    }
}

/// `network` of the statistics. `now` is the time of the sample, in seconds since 1970.
pub(crate) fn statistics(files: &Files, now: f64) -> Value {
    let mut network = Map::new();
    for name in files.list("sys/class/net") {
        if kind(files, &name) == Kind::Other {
            continue;
        }
        let count = |key: &str| attribute(files, &name, &format!("statistics/{key}"));
        // "unknown" is what devices without a carrier of their own say while they work.
        let state = if attribute(files, &name, "operstate") == "down" { "down" } else { "up" };
        let about = json!({
            "name": name, "macAddr": attribute(files, &name, "address"), "state": state,
            "speed": speed(files, &name).to_string(), "sampleTime": now,
            "rx": count("rx_bytes"), "tx": count("tx_bytes"),
            "rxErrors": count("rx_errors"), "txErrors": count("tx_errors"),
            "rxDropped": count("rx_dropped"), "txDropped": count("tx_dropped"),
        });
        network.insert(name.clone(), about);
    }
    network.into()
}
