// SPDX-License-Identifier: Apache-2.0
//! The devices of this host, read and changed with `ip`.

use crate::backend::Backend;
use crate::bond::{OPTIONS, applies};
use crate::error::ApplyError;
use crate::layout::{Address, Device, Kind, Layout, Route, differences};
use crate::plan::{Observe, Plan};
use crate::request::{Ipv4, Request};
use crate::steps::{Step, steps};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use virt_hooks_engine::is_readable;
use virt_hooks_sdk::Command;

/// Never expires: what `ip` says for an address without a lease.
const FOR_EVER: u64 = u32::MAX as u64;

/// `ip` of the package iproute2.
pub(crate) struct Ip;

impl Ip {
    pub(crate) fn json(&self, words: &[&str]) -> Result<Vec<Value>, ApplyError> {
        let command = Command::new("ip").arg("-json").args(words);
        let failed = |source| ApplyError::Command { command: command.to_string(), source };
        let output = command.run().map_err(failed)?;
        let output = output.success(&command).map_err(failed)?;
        let text = output.stdout.text();
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str::<Vec<Value>>(&text)
            // Older versions write an empty object for "none".
            .map(|list| list.into_iter().filter(|v| v.as_object().is_some_and(|o| !o.is_empty())).collect())
            .map_err(|e| ApplyError::Answer { command: command.to_string(), problem: e.to_string() })
    }

    fn run(&self, words: &[String]) -> Result<(), ApplyError> {
        let command = Command::new("ip").args(words);
        let failed = |source| ApplyError::Command { command: command.to_string(), source };
        command.run().map_err(failed)?.success(&command).map(drop).map_err(failed)
    }

    fn device(&self, name: &str) -> Result<Option<Device>, ApplyError> {
        let words = ["-details", "address", "show", "dev", name];
        let Some(said) = self.json(&words)?.into_iter().next() else { return Ok(None) };
        let mut device = Device::new(kind(&said));
        device.mtu = said["mtu"].as_u64().and_then(|n| u32::try_from(n).ok());
        let flags = said["flags"].as_array();
        device.up = flags.is_some_and(|flags| flags.iter().any(|f| f == "UP"));
        device.master = said["master"].as_str().map(str::to_owned);
        device.addresses = said["addr_info"].as_array().into_iter().flatten().filter_map(address).collect();
        for family in ["-4", "-6"] {
            let routes = self.json(&[family, "route", "show", "dev", name])?;
            device.routes.extend(routes.iter().filter_map(|said| route(said, family == "-6")));
        }
        device.autoconf = fs::read_to_string(setting(name, "autoconf")).ok().map(|text| text.trim() != "0");
        Ok(Some(device))
    }

    fn take(&self, step: &Step) -> Result<(), ApplyError> {
        match step {
            Step::Ip(words) => self.run(words),
            Step::Autoconf { device, on } => {
                for name in ["autoconf", "accept_ra"] {
                    let path = setting(device, name);
                    match fs::write(&path, if *on { "1" } else { "0" }) {
                        // A host without IPv6 has nothing to switch off.
                        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !on => {}
                        other => other.map_err(|source| ApplyError::Setting { path, source })?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl Observe for Ip {
    type Error = ApplyError;

    fn devices(&self, names: &BTreeSet<String>) -> Result<Layout, ApplyError> {
        let known = known_names()?;
        names
            .iter()
            .map(|name| Ok((name.clone(), if known.contains(name) { self.device(name)? } else { None })))
            .collect()
    }

    fn members(&self, master: &str) -> Result<Vec<String>, ApplyError> {
        if !known_names()?.contains(master) {
            return Ok(Vec::new());
        }
        // Another error for a device that can have none.
        match self.json(&["link", "show", "master", master]) {
            Ok(links) => Ok(links.iter().filter_map(|l| Some(l["ifname"].as_str()?.to_owned())).collect()),
            Err(ApplyError::Command { source: virt_hooks_sdk::CommandError::Status { .. }, .. }) => {
                Ok(Vec::new())
            }
            Err(e) => Err(e),
        }
    }

    fn vlans(&self, link: &str) -> Result<Vec<String>, ApplyError> {
        // Where the kernel has no VLANs there is no such file.
        let said = fs::read_to_string("/proc/net/vlan/config").unwrap_or_default();
        let parts = said.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        Ok(parts.filter(|p| p.get(2) == Some(&link)).filter_map(|p| Some((*p.first()?).to_owned())).collect())
    }

    fn default_routes(&self) -> Result<Vec<String>, ApplyError> {
        let mut devices = BTreeSet::new();
        for family in ["-4", "-6"] {
            let routes = self.json(&[family, "route", "show", "default"])?;
            devices.extend(routes.iter().filter_map(|r| Some(r["dev"].as_str()?.to_owned())));
        }
        Ok(devices.into_iter().collect())
    }
}

/// The devices of the network namespace this process is in.
fn known_names() -> Result<BTreeSet<String>, ApplyError> {
    let path = PathBuf::from("/proc/net/dev");
    let text = fs::read_to_string(&path).map_err(|source| ApplyError::Setting { path, source })?;
    Ok(text.lines().filter_map(|l| l.rsplit_once(':').map(|(name, _)| name.trim().to_owned())).collect())
}

fn setting(device: &str, name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net/ipv6/conf").join(device).join(name)
}

fn kind(said: &Value) -> Kind {
    let data = &said["linkinfo"]["info_data"];
    match said["linkinfo"]["info_kind"].as_str() {
        Some("bridge") => Kind::Bridge { stp: data["stp_state"].as_u64().unwrap_or(0) != 0 },
        Some("vlan") => Kind::Vlan {
            link: said["link"].as_str().unwrap_or_default().to_owned(),
            id: data["id"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        },
        Some("bond") => Kind::Bond { options: bond_options(data) },
        _ => Kind::Plain,
    }
}

fn bond_options(data: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        // Off, which is what it is when nobody says otherwise; some cannot be given for every mode.
        Value::Number(n) if n.as_u64() == Some(0) => None,
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    };
    let mode = data["mode"].as_str().unwrap_or_default();
    OPTIONS
        .iter()
        .filter(|(name, _)| applies(name, mode))
        .filter_map(|(name, key)| Some(((*name).to_owned(), text(&data[*key])?)))
        .collect()
}

fn address(said: &Value) -> Option<Address> {
    // The kernel makes those of the link by itself.
    if said["scope"] == "link" || said["local"].is_null() {
        return None;
    }
    let prefix = u8::try_from(said["prefixlen"].as_u64()?).ok()?;
    let valid = said["valid_life_time"].as_u64().unwrap_or(FOR_EVER);
    let preferred = said["preferred_life_time"].as_u64().unwrap_or(FOR_EVER);
    let lifetime = (valid < FOR_EVER).then_some((valid, preferred));
    Some(Address { ip: said["local"].as_str()?.parse().ok()?, prefix, lifetime })
}

fn route(said: &Value, v6: bool) -> Option<Route> {
    let text = |key: &str| said[key].as_str().map(str::to_owned);
    // The kernel's own come with the addresses, those of routers by themselves.
    if matches!(said["protocol"].as_str(), Some("kernel" | "ra")) {
        return None;
    }
    Some(Route {
        v6,
        to: text("dst")?,
        via: text("gateway"),
        metric: said["metric"].as_u64(),
        protocol: text("protocol"),
        scope: text("scope").filter(|_| !v6),
        source: text("prefsrc"),
    })
}

/// Sets up with `ip`, until the next boot.
pub(crate) struct Iproute<'a> {
    pub(crate) cancel: Option<BorrowedFd<'a>>,
}

impl Backend for Iproute<'_> {
    fn name(&self) -> &'static str {
        "ip"
    }

    fn outlives_boot(&self) -> bool {
        false
    }

    fn stays_half_done(&self) -> bool {
        true
    }

    fn refuses(&self, request: &Request) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, network) in request.networks.iter().filter_map(|(name, w)| Some((name, w.set()?))) {
            let mut refuse = |what: &str| {
                problems.push(format!("network {name}: {what} needs nmstate: install it, or leave this out"));
            };
            if network.ipv4 == Ipv4::Dhcp {
                refuse("\"bootproto\" dhcp");
            }
            if network.dhcpv6 {
                refuse("\"dhcpv6\"");
            }
            if !network.nameservers.is_empty() {
                refuse("\"nameservers\"");
            }
        }
        problems
    }

    fn apply(&mut self, plan: &Plan, _request: &Request) -> Result<(), ApplyError> {
        for step in steps(&plan.before, &plan.target) {
            if self.cancel.is_some_and(is_readable) {
                return Err(ApplyError::Interrupted);
            }
            Ip.take(&step)?;
        }
        verify(&plan.target)
    }

    fn commit(&mut self) -> Result<(), ApplyError> {
        Ok(())
    }

    fn needs_roll_back(&self, _failed: &ApplyError) -> bool {
        true
    }

    fn roll_back(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        restore(&plan.everything_before())
    }
}

/// From whatever there is to what there was. One step that fails does not keep the others from it.
pub(crate) fn restore(before: &Layout) -> Result<(), ApplyError> {
    let now = Ip.devices(&before.keys().cloned().collect())?;
    let mut first = None;
    for step in steps(&now, before) {
        if let Err(e) = Ip.take(&step) {
            first.get_or_insert(e);
        }
    }
    match (verify(before), first) {
        // What failed was not needed.
        (Ok(()), _) => Ok(()),
        (Err(_), Some(e)) | (Err(e), None) => Err(e),
    }
}

fn verify(wanted: &Layout) -> Result<(), ApplyError> {
    let is = Ip.devices(&wanted.keys().cloned().collect())?;
    let differences = differences(&is, wanted);
    if differences.is_empty() { Ok(()) } else { Err(ApplyError::Differs(differences)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_ip_tells() {
        let said = json!({"ifname": "bond0", "mtu": 1500, "linkinfo": {"info_kind": "bond", "info_data":
            {"mode": "802.3ad", "miimon": 100, "updelay": 0, "ad_lacp_rate": "slow", "ad_info": {}}}});
        let Kind::Bond { options } = kind(&said) else { panic!() };
        let options: Vec<_> = options.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(options, [("lacp_rate", "slow"), ("miimon", "100"), ("mode", "802.3ad")]);
        let vlan = json!({"link": "bond0", "linkinfo": {"info_kind": "vlan", "info_data": {"id": 27}}});
        assert_eq!(kind(&vlan), Kind::Vlan { link: "bond0".to_owned(), id: 27 });
        let lease = json!({"family": "inet", "local": "192.0.2.10", "prefixlen": 24, "scope": "global",
            "dynamic": true, "valid_life_time": 600, "preferred_life_time": 300});
        assert_eq!(address(&lease).unwrap().lifetime, Some((600, 300)));
        let link_local = json!({"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"});
        assert_eq!(address(&link_local), None);
        let kernel = json!({"dst": "192.0.2.0/24", "protocol": "kernel", "scope": "link"});
        assert_eq!(route(&kernel, false), None);
        let default = json!({"dst": "default", "gateway": "192.0.2.1", "protocol": "static", "flags": []});
        assert!(route(&default, false).unwrap().gives_way());
    }
}
