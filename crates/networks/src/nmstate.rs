// SPDX-License-Identifier: Apache-2.0
//! Setting up with nmstate and NetworkManager: the state as nmstate's documents say it, applied with a checkpoint.

use crate::backend::Backend;
use crate::error::ApplyError;
use crate::layout::{Device, Kind, Layout, Route};
use crate::plan::Plan;
use crate::request::{Ipv4, Network, Request};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::time::Duration;
use virt_hooks_sdk::Command;

const PROGRAM: &str = "nmstatectl";
/// nmstate gives up by itself before; DHCP takes its time.
const DEADLINE: Duration = Duration::from_secs(300);
/// How many seconds a checkpoint lives at least: then NetworkManager rolls back by itself.
const CHECKPOINT: u64 = 180;

pub(crate) struct Nmstate;

impl Nmstate {
    fn run(&self, words: &[&str], stdin: &[u8]) -> Result<(), ApplyError> {
        let command = Command::new(PROGRAM).args(words).stdin(stdin).deadline(DEADLINE);
        let failed = |source| ApplyError::Command { command: command.to_string(), source };
        command.run().map_err(failed)?.success(&command).map(drop).map_err(failed)
    }
}

impl Backend for Nmstate {
    fn name(&self) -> &'static str {
        "nmstate"
    }

    fn outlives_boot(&self) -> bool {
        true
    }

    /// NetworkManager rolls back when the checkpoint's time is over.
    fn stays_half_done(&self) -> bool {
        false
    }

    fn refuses(&self, _request: &Request) -> Vec<String> {
        Vec::new()
    }

    fn apply(&mut self, plan: &Plan, request: &Request) -> Result<(), ApplyError> {
        let wait = request.options.connectivity.map_or(0, |d| d.as_secs());
        let timeout = (CHECKPOINT + wait).to_string();
        let state = state(plan, request).to_string();
        self.run(&["apply", "--no-commit", "--timeout", &timeout, "-"], state.as_bytes())
    }

    fn commit(&mut self) -> Result<(), ApplyError> {
        self.run(&["commit"], b"")
    }

    /// An apply that fails has rolled back already.
    fn needs_roll_back(&self, failed: &ApplyError) -> bool {
        !matches!(failed, ApplyError::Command { command, .. } if command.starts_with("nmstatectl apply"))
    }

    fn roll_back(&mut self, _plan: &Plan) -> Result<(), ApplyError> {
        self.run(&["rollback"], b"")
    }
}

/// The plan as a state of nmstate.
fn state(plan: &Plan, request: &Request) -> Value {
    let mut interfaces = Vec::new();
    let mut routes = Vec::new();
    for (name, device) in &plan.target {
        let before = plan.before.get(name).and_then(Option::as_ref);
        match device {
            None => {
                if let Some(before) = before {
                    interfaces.push(json!({"name": name, "type": kind(&before.kind), "state": "absent"}));
                }
            }
            Some(device) if before == Some(device) => {}
            Some(device) => {
                interfaces.push(interface(name, device, plan, request));
                let gone = before.into_iter().flat_map(|b| &b.routes);
                routes.extend(
                    gone.filter(|r| !device.routes.iter().any(|w| w.is(r))).map(|r| route(r, name, true)),
                );
                routes.extend(device.routes.iter().map(|r| route(r, name, false)));
            }
        }
    }
    let mut state = Map::new();
    state.insert("interfaces".into(), interfaces.into());
    if !routes.is_empty() {
        state.insert("routes".into(), json!({"config": routes}));
    }
    let main = request.networks.values().find_map(|w| w.set().filter(|n| n.default_route));
    if let Some(network) = main {
        let servers: Vec<String> = network.nameservers.iter().map(ToString::to_string).collect();
        if !servers.is_empty() {
            state.insert("dns-resolver".into(), json!({"config": {"server": servers}}));
        }
    }
    state.into()
}

fn kind(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Plain => None,
        Kind::Bridge { .. } => Some("linux-bridge"),
        Kind::Vlan { .. } => Some("vlan"),
        Kind::Bond { .. } => Some("bond"),
    }
}

fn members(layout: &Layout, master: &str) -> Vec<String> {
    layout
        .iter()
        .filter(|(_, d)| d.as_ref().is_some_and(|d| d.master.as_deref() == Some(master)))
        .map(|(name, _)| name.clone())
        .collect()
}

fn interface(name: &str, device: &Device, plan: &Plan, request: &Request) -> Value {
    let mut about = Map::new();
    let mut set = |key: &str, value: Value| about.insert(key.to_owned(), value);
    set("name", name.into());
    // Of a NIC nmstate knows the type.
    if let Some(kind) = kind(&device.kind) {
        set("type", kind.into());
    }
    set("state", if device.up { "up" } else { "down" }.into());
    if let Some(mtu) = device.mtu {
        set("mtu", mtu.into());
    }
    match &device.kind {
        Kind::Plain => {}
        Kind::Bridge { stp } => {
            let ports: Vec<Value> =
                members(&plan.target, name).iter().map(|port| json!({"name": port})).collect();
            set("bridge", json!({"options": {"stp": {"enabled": stp}}, "port": ports}));
        }
        Kind::Vlan { link, id } => {
            set("vlan", json!({"base-iface": link, "id": id}));
        }
        Kind::Bond { options } => {
            let mode = options.get("mode").map(String::as_str).unwrap_or_default();
            let options: Map<String, Value> = options
                .iter()
                .filter(|(name, _)| *name != "mode")
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            let ports = members(&plan.target, name);
            set("link-aggregation", json!({"mode": mode, "options": options, "port": ports}));
        }
    }
    let network = request
        .networks
        .iter()
        .filter_map(|(network, w)| Some((network, w.set()?)))
        .find(|(network, w)| w.top(network).as_deref() == Some(name))
        .map(|(_, network)| network);
    set("ipv4", ipv4(device, network));
    set("ipv6", ipv6(device, network));
    about.into()
}

fn listed(device: &Device, v6: bool) -> Vec<Value> {
    let of_family = device.addresses.iter().filter(|a| a.ip.is_ipv6() == v6);
    of_family.map(|a| json!({"ip": a.ip.to_string(), "prefix-length": a.prefix})).collect()
}

fn ipv4(device: &Device, network: Option<&Network>) -> Value {
    if network.is_some_and(|n| n.ipv4 == Ipv4::Dhcp) {
        let main = network.is_some_and(|n| n.default_route);
        return json!({"enabled": true, "dhcp": true, "auto-gateway": main, "auto-routes": main, "auto-dns": main});
    }
    match listed(device, false) {
        none if none.is_empty() => json!({"enabled": false}),
        addresses => json!({"enabled": true, "dhcp": false, "address": addresses}),
    }
}

fn ipv6(device: &Device, network: Option<&Network>) -> Value {
    let addresses = listed(device, true);
    let (autoconf, dhcp) = network.map_or((false, false), |n| (n.ipv6_autoconf, n.dhcpv6));
    if addresses.is_empty() && !autoconf && !dhcp {
        return json!({"enabled": false});
    }
    let main = network.is_some_and(|n| n.default_route);
    let mut about = json!({"enabled": true, "autoconf": autoconf, "dhcp": dhcp, "address": addresses});
    if let (true, Some(about)) = (autoconf || dhcp, about.as_object_mut()) {
        for key in ["auto-gateway", "auto-routes", "auto-dns"] {
            about.insert(key.to_owned(), main.into());
        }
    }
    about
}

fn route(route: &Route, device: &str, absent: bool) -> Value {
    let all = if route.v6 { "::/0" } else { "0.0.0.0/0" };
    // A single address, as `ip` writes it, has no prefix.
    let to = match route.to.as_str() {
        "default" => all.to_owned(),
        to if to.parse::<IpAddr>().is_ok() => format!("{to}/{}", if route.v6 { 128 } else { 32 }),
        to => to.to_owned(),
    };
    let mut about = Map::new();
    about.insert("destination".into(), to.into());
    about.insert("next-hop-interface".into(), device.into());
    if let Some(via) = &route.via {
        about.insert("next-hop-address".into(), via.as_str().into());
    }
    if absent {
        about.insert("state".into(), "absent".into());
    } else if let Some(metric) = route.metric {
        about.insert("metric".into(), metric.into());
    }
    about.into()
}
