// SPDX-License-Identifier: Apache-2.0
//! A network of a request: its keys, their defaults, and which of them go together.

use super::switch;
use crate::object::Object;
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a network may have.
pub(super) const NETWORK_KEYS: &[&str] = &[
    "nic",
    "bonding",
    "vlan",
    "bridged",
    "stp",
    "mtu",
    "bootproto",
    "ipaddr",
    "netmask",
    "prefix",
    "gateway",
    "blockingdhcp",
    "ipv6addr",
    "ipv6gateway",
    "ipv6autoconf",
    "dhcpv6",
    "defaultRoute",
    "nameservers",
    "switch",
    "hostQos",
    "custom",
    "remove",
];
const DEFAULT_MTU: u32 = 1500;

/// How a network gets its IPv4 address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ipv4 {
    None,
    Dhcp,
    Static { address: Ipv4Addr, prefix: u8, gateway: Option<Ipv4Addr> },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Network {
    pub(crate) nic: Option<String>,
    pub(crate) bonding: Option<String>,
    pub(crate) vlan: Option<u16>,
    pub(crate) bridged: bool,
    pub(crate) stp: bool,
    pub(crate) mtu: u32,
    pub(crate) ipv4: Ipv4,
    pub(crate) ipv6: Option<(Ipv6Addr, u8)>,
    pub(crate) ipv6_gateway: Option<Ipv6Addr>,
    pub(crate) ipv6_autoconf: bool,
    pub(crate) dhcpv6: bool,
    pub(crate) default_route: bool,
    pub(crate) nameservers: Vec<IpAddr>,
    /// Keys that are for hooks, or for the way a client waits: kept as they are.
    pub(crate) others: Map<String, Value>,
}

impl Network {
    /// The NIC or bond under it.
    pub(crate) fn base(&self) -> Option<&str> {
        self.nic.as_deref().or(self.bonding.as_deref())
    }

    /// What stands right above the base, or under the bridge: the base, or its VLAN.
    pub(crate) fn port(&self) -> Option<String> {
        let base = self.base()?;
        Some(match self.vlan {
            Some(vlan) => format!("{base}.{vlan}"),
            None => base.to_owned(),
        })
    }

    /// The device with the network's addresses.
    pub(crate) fn top(&self, name: &str) -> Option<String> {
        if self.bridged { Some(name.to_owned()) } else { self.port() }
    }

    pub(super) fn read(mut o: Object<'_>) -> Self {
        let bridged = o.truth("bridged").unwrap_or(true);
        let stp = o.truth("stp");
        if stp == Some(true) && !bridged {
            o.problem("\"stp\" needs a bridge: leave it out, or set \"bridged\"");
        }
        let network = Self {
            nic: o.text("nic"),
            bonding: o.text("bonding"),
            vlan: o.number("vlan", 1, 4094).and_then(|n| u16::try_from(n).ok()),
            bridged,
            stp: bridged && stp.unwrap_or(false),
            mtu: mtu(&mut o),
            ipv4: ipv4(&mut o),
            ipv6: ipv6(&mut o),
            ipv6_gateway: o.parsed("ipv6gateway", "an IPv6 address"),
            ipv6_autoconf: o.truth("ipv6autoconf").unwrap_or(false),
            dhcpv6: o.truth("dhcpv6").unwrap_or(false),
            default_route: o.truth("defaultRoute").unwrap_or(false),
            nameservers: nameservers(&mut o),
            others: ["blockingdhcp", "custom"]
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), o.value(key)?.clone())))
                .collect(),
        };
        network.check(&mut o);
        network
    }

    fn check(&self, o: &mut Object<'_>) {
        switch(o);
        if o.value("hostQos").is_some() {
            o.problem("\"hostQos\" is not set up by virt-hooks: leave it out, or set it in a hook at after_network_setup");
        }
        if self.nic.is_some() && self.bonding.is_some() {
            o.problem("\"nic\" and \"bonding\" exclude each other: give one");
        }
        if self.base().is_none() && (self.vlan.is_some() || !self.bridged) {
            o.problem("it has no \"nic\" and no \"bonding\": give one, or make it a bridge without \"vlan\"");
        }
        if let Some(custom) = o.value("custom").filter(|c| !c.is_object()) {
            o.problem(format!("\"custom\" is {custom}, expected an object"));
        }
        let gateway = match self.ipv4 {
            Ipv4::Static { address, prefix, gateway } => {
                if let Some(gateway) = gateway.filter(|g| !same_subnet(*g, address, prefix)) {
                    o.problem(format!("\"gateway\" {gateway} is not in the subnet of {address}/{prefix}"));
                }
                gateway.is_some()
            }
            _ => false,
        };
        if gateway && !self.default_route {
            o.problem("\"gateway\" needs \"defaultRoute\": virt-hooks sets up no routing by source, leave the gateway out");
        }
        if self.ipv6_gateway.is_some() && self.ipv6.is_none() {
            o.problem("\"ipv6gateway\" needs \"ipv6addr\"");
        }
        if self.ipv6_gateway.is_some() && !self.default_route {
            o.problem("\"ipv6gateway\" needs \"defaultRoute\"");
        }
        if self.ipv6.is_some() && (self.ipv6_autoconf || self.dhcpv6) {
            o.problem("\"ipv6addr\" and \"ipv6autoconf\" or \"dhcpv6\" exclude each other");
        }
        if self.ipv6.is_some() && self.mtu < 1280 {
            o.problem(format!("\"mtu\" {} is too small for IPv6, which needs 1280", self.mtu));
        }
        if !self.nameservers.is_empty() && !self.default_route {
            o.problem("\"nameservers\" needs \"defaultRoute\"");
        }
    }

    /// As hooks see it: every default spelt out.
    pub(super) fn to_value(&self) -> Value {
        let mut map = Map::new();
        let mut set = |key: &str, value: Value| map.insert(key.to_owned(), value);
        if let Some(nic) = &self.nic {
            set("nic", nic.as_str().into());
        }
        if let Some(bond) = &self.bonding {
            set("bonding", bond.as_str().into());
        }
        if let Some(vlan) = self.vlan {
            set("vlan", vlan.into());
        }
        set("bridged", self.bridged.into());
        if self.bridged {
            set("stp", self.stp.into());
        }
        set("mtu", self.mtu.into());
        let dhcp = self.ipv4 == Ipv4::Dhcp;
        set("bootproto", if dhcp { "dhcp" } else { "none" }.into());
        if let Ipv4::Static { address, prefix, gateway } = self.ipv4 {
            set("ipaddr", address.to_string().into());
            set("netmask", netmask(prefix).to_string().into());
            if let Some(gateway) = gateway {
                set("gateway", gateway.to_string().into());
            }
        }
        if let Some((address, prefix)) = self.ipv6 {
            set("ipv6addr", format!("{address}/{prefix}").into());
        }
        if let Some(gateway) = self.ipv6_gateway {
            set("ipv6gateway", gateway.to_string().into());
        }
        set("dhcpv6", self.dhcpv6.into());
        set("ipv6autoconf", self.ipv6_autoconf.into());
        set("defaultRoute", self.default_route.into());
        set("nameservers", self.nameservers.iter().map(ToString::to_string).collect::<Vec<_>>().into());
        set("switch", "legacy".into());
        map.extend(self.others.clone());
        map.into()
    }
}

fn mtu(o: &mut Object<'_>) -> u32 {
    // VDSM's clients send 0 for the default.
    if o.value("mtu").is_some_and(|m| m == 0 || m == "0") {
        return DEFAULT_MTU;
    }
    o.number("mtu", 68, 65535).and_then(|n| u32::try_from(n).ok()).unwrap_or(DEFAULT_MTU)
}

fn ipv4(o: &mut Object<'_>) -> Ipv4 {
    let dhcp = match o.text("bootproto").as_deref() {
        None | Some("none" | "static") => false,
        Some("dhcp") => true,
        Some(_) => {
            o.problem("\"bootproto\" is neither dhcp nor none");
            false
        }
    };
    let address: Option<Ipv4Addr> = o.parsed("ipaddr", "an IPv4 address");
    let mask: Option<Ipv4Addr> = o.parsed("netmask", "a netmask such as 255.255.255.0");
    let prefix = o.number("prefix", 0, 32).and_then(|n| u8::try_from(n).ok());
    let gateway = o.parsed("gateway", "an IPv4 address");
    let of_mask = mask.map(|mask| {
        let bits = u32::from(mask);
        if bits.leading_ones() + bits.trailing_zeros() < 32 {
            o.problem(format!("\"netmask\" {mask} is no netmask"));
        }
        u8::try_from(bits.leading_ones()).unwrap_or(32)
    });
    let given = [mask.is_some(), prefix.is_some()];
    match (dhcp, address) {
        (true, None) if given == [false, false] && gateway.is_none() => Ipv4::Dhcp,
        (true, _) => {
            o.problem("\"bootproto\" dhcp and \"ipaddr\", \"netmask\", \"prefix\" or \"gateway\" exclude each other");
            Ipv4::Dhcp
        }
        (false, Some(address)) => {
            if given == [true, true] {
                o.problem("\"netmask\" and \"prefix\" exclude each other: give one");
            }
            match of_mask.or(prefix) {
                Some(prefix) => Ipv4::Static { address, prefix, gateway },
                None => {
                    o.problem("\"ipaddr\" needs \"netmask\" or \"prefix\"");
                    Ipv4::None
                }
            }
        }
        (false, None) => {
            if given != [false, false] || gateway.is_some() {
                o.problem("\"netmask\", \"prefix\" and \"gateway\" need \"ipaddr\"");
            }
            Ipv4::None
        }
    }
}

fn ipv6(o: &mut Object<'_>) -> Option<(Ipv6Addr, u8)> {
    let text = o.text("ipv6addr")?;
    let (address, prefix) = text.split_once('/').unwrap_or((&text, "64"));
    match (address.parse(), prefix.parse::<u8>()) {
        (Ok(address), Ok(prefix)) if prefix <= 128 => Some((address, prefix)),
        _ => {
            o.problem(format!(
                "\"ipv6addr\" is \"{}\", expected an IPv6 address like 2001:db8::1/64",
                text.escape_debug()
            ));
            None
        }
    }
}

fn nameservers(o: &mut Object<'_>) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for text in o.list("nameservers").unwrap_or_default() {
        match text.parse() {
            Ok(server) => servers.push(server),
            Err(_) => o.problem(format!("nameserver \"{}\" is no IP address", text.escape_debug())),
        }
    }
    servers
}

pub(super) fn netmask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
}

fn same_subnet(a: Ipv4Addr, b: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::from(netmask(prefix));
    u32::from(a) & mask == u32::from(b) & mask
}
