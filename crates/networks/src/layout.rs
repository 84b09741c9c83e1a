// SPDX-License-Identifier: Apache-2.0
//! Devices as they are, or as they are to be.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What is known of some devices: those that are there, and those that are not.
pub(crate) type Layout = BTreeMap<String, Option<Device>>;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Kind {
    /// A NIC, or anything else that is not made here.
    Plain,
    Bridge {
        stp: bool,
    },
    Vlan {
        link: String,
        id: u16,
    },
    Bond {
        options: BTreeMap<String, String>,
    },
}

impl Kind {
    /// Whether a device of this kind can become one of that without being made anew.
    pub(crate) fn serves_as(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            // A running bond refuses most of its options.
            (Self::Bond { options }, Self::Bond { options: wanted }) => {
                wanted.iter().all(|(name, value)| options.get(name) == Some(value))
            }
            (Self::Bridge { .. }, Self::Bridge { .. }) => true,
            (is, wanted) => is == wanted,
        }
    }

    /// Those below come first.
    pub(crate) fn depth(&self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Bond { .. } => 1,
            Self::Vlan { .. } => 2,
            Self::Bridge { .. } => 3,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    pub(crate) prefix: u8,
    /// Seconds it is valid, and preferred; `None`: for ever.
    pub(crate) lifetime: Option<(u64, u64)>,
}

impl Address {
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.ip, self.prefix) == (other.ip, other.prefix)
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Route {
    pub(crate) v6: bool,
    /// `default`, or a network.
    pub(crate) to: String,
    pub(crate) via: Option<String>,
    pub(crate) metric: Option<u64>,
    /// Who made it, as `ip` calls it.
    pub(crate) protocol: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) source: Option<String>,
}

impl Route {
    pub(crate) fn default_via(gateway: IpAddr) -> Self {
        Self {
            v6: gateway.is_ipv6(),
            to: "default".to_owned(),
            via: Some(gateway.to_string()),
            metric: None,
            protocol: Some("static".to_owned()),
            scope: None,
            source: None,
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.v6, &self.to, &self.via) == (other.v6, &other.to, &other.via)
    }

    /// Whether a default route that is added without a metric takes its place.
    pub(crate) fn gives_way(&self) -> bool {
        self.to == "default"
            && matches!((self.v6, self.metric), (_, None) | (false, Some(0)) | (true, Some(1024)))
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Device {
    pub(crate) kind: Kind,
    /// `None`: as it comes.
    pub(crate) mtu: Option<u32>,
    pub(crate) up: bool,
    /// The bridge or bond it belongs to.
    pub(crate) master: Option<String>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
    /// Whether it takes IPv6 addresses from routers; `None`: not known, or not to be touched.
    pub(crate) autoconf: Option<bool>,
}

impl Device {
    /// One that has just been made.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            mtu: None,
            up: false,
            master: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            autoconf: None,
        }
    }

    pub(crate) fn without_addresses(&mut self) {
        self.addresses.clear();
        self.routes.clear();
    }
}

/// What in `is` is not as `wanted`, in a line each.
pub(crate) fn differences(is: &Layout, wanted: &Layout) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, wanted) in wanted {
        match (is.get(name).and_then(Option::as_ref), wanted) {
            (None, None) => {}
            (Some(_), None) => lines.push(format!("{name} is still there")),
            (None, Some(_)) => lines.push(format!("{name} is not there")),
            (Some(is), Some(wanted)) => {
                if !is.kind.serves_as(&wanted.kind) {
                    lines.push(format!("{name} is of another kind"));
                }
                if let Kind::Bridge { .. } = wanted.kind
                    && is.kind != wanted.kind
                {
                    lines.push(format!("{name} has another STP state"));
                }
                if wanted.mtu.is_some() && is.mtu != wanted.mtu {
                    lines.push(format!("{name} has MTU {}", is.mtu.unwrap_or(0)));
                }
                if is.up != wanted.up {
                    lines.push(format!("{name} is {}", if is.up { "up" } else { "down" }));
                }
                if is.master != wanted.master {
                    let master = is.master.as_deref().unwrap_or("nothing");
                    lines.push(format!("{name} belongs to {master}"));
                }
                for address in wanted.addresses.iter().filter(|w| !is.addresses.iter().any(|a| a.is(w))) {
                    lines.push(format!("{name} lacks {}/{}", address.ip, address.prefix));
                }
                for address in is.addresses.iter().filter(|a| {
                    // What a router gave meanwhile is not ours.
                    a.lifetime.is_none() && !wanted.addresses.iter().any(|w| a.is(w))
                }) {
                    lines.push(format!("{name} has {}/{}", address.ip, address.prefix));
                }
                // A route needs a device that is up.
                for route in wanted.routes.iter().filter(|w| is.up && !is.routes.iter().any(|r| r.is(w))) {
                    lines.push(format!("{name} lacks the route to {}", route.to));
                }
            }
        }
    }
    lines
}
