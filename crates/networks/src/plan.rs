// SPDX-License-Identifier: Apache-2.0
//! What a request means on this host: the devices as they are, and as they are to be.

use crate::known::Known;
use crate::layout::{Address, Device, Kind, Layout, Route};
use crate::request::{Bond, Ipv4, Network, Request, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How a host is asked about its devices.
pub(crate) trait Observe {
    type Error;
    /// The devices of these names.
    fn devices(&self, names: &BTreeSet<String>) -> Result<Layout, Self::Error>;
    /// The names of what belongs to a bridge or bond.
    fn members(&self, master: &str) -> Result<Vec<String>, Self::Error>;
    /// The VLANs on a NIC or bond.
    fn vlans(&self, link: &str) -> Result<Vec<String>, Self::Error>;
    /// The devices with a default route.
    fn default_routes(&self) -> Result<Vec<String>, Self::Error>;
}

/// From what to what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) before: Layout,
    pub(crate) target: Layout,
    /// The networks and bonds that are to be there in the end.
    pub(crate) after: Known,
}

impl Plan {
    /// All devices of the plan as they were, those among them that were not there.
    pub(crate) fn everything_before(&self) -> Layout {
        let mut before = self.before.clone();
        for name in self.target.keys() {
            before.entry(name.clone()).or_insert(None);
        }
        before
    }
}

/// Works out what a request means. What is wrong with it on this host goes to `problems`.
pub(crate) fn plan<O: Observe>(
    request: &Request,
    known: &Known,
    host: &O,
    problems: &mut Vec<String>,
) -> Result<Plan, O::Error> {
    let after = known.after(request);
    check(request, &after, problems);
    let mut names = BTreeSet::new();
    for (name, wanted) in &request.networks {
        names.insert(name.clone());
        for network in wanted.set().into_iter().chain(known.networks.get(name)) {
            names.extend(network.base().map(str::to_owned));
            names.extend(network.port());
        }
        if !known.networks.contains_key(name) {
            // A bridge of somebody else by this name.
            names.extend(host.members(name)?);
        }
    }
    for (name, wanted) in &request.bondings {
        names.insert(name.clone());
        names.extend(host.members(name)?);
        names.extend(wanted.set().into_iter().flat_map(|bond| bond.nics.iter().cloned()));
        // A bond that is made anew takes its VLANs along, whosever they are; and it leaves its bridge.
        let mut above: BTreeSet<String> = host.vlans(name)?.into_iter().collect();
        above.insert(name.clone());
        let masters = host.devices(&above)?;
        names.extend(masters.into_values().flatten().filter_map(|device| device.master));
        names.extend(above);
    }
    let takes_default = request.networks.values().any(|w| w.set().is_some_and(|n| n.default_route));
    if takes_default {
        names.extend(host.default_routes()?);
    }
    // What a bond has below it follows its MTU.
    for bond in names.clone() {
        names.extend(after.bondings.get(&bond).into_iter().flat_map(|b| b.nics.iter().cloned()));
    }
    let before = host.devices(&names)?;
    let mut builder = Builder { before: &before, target: before.clone(), after: &after, problems };
    if takes_default {
        builder.give_way();
    }
    for (name, wanted) in &request.networks {
        builder.dismantle(name, known.networks.get(name), matches!(wanted, Wanted::Remove(_)));
    }
    for (name, wanted) in &request.bondings {
        builder.bond(name, wanted);
    }
    for (name, wanted) in &request.networks {
        if let Wanted::Set(network) = wanted {
            builder.build(name, network);
        }
    }
    let target = builder.target;
    for (name, device) in &before {
        let goes = matches!(device, Some(Device { kind: Kind::Bridge { .. }, .. }))
            && target.get(name) == Some(&None);
        if goes {
            let others: Vec<String> =
                host.members(name)?.into_iter().filter(|port| !before.contains_key(port)).collect();
            if !others.is_empty() {
                problems.push(format!(
                    "network {name} is in use by {}: stop the VMs there first",
                    others.join(", ")
                ));
            }
        }
    }
    for (name, _) in request.bondings.iter().filter(|(name, _)| target.get(*name) == Some(&None)) {
        let on_it = |d: &Device| matches!(&d.kind, Kind::Vlan { link, .. } if link == name);
        let vlans = target.iter().filter(|(_, d)| d.as_ref().is_some_and(on_it));
        problems.extend(
            vlans.map(|(vlan, _)| {
                format!("bond {name} is in use by {vlan}: remove what that belongs to first")
            }),
        );
    }
    Ok(Plan { before, target, after })
}

/// What cannot be true of networks and bonds together.
fn check(request: &Request, after: &Known, problems: &mut Vec<String>) {
    let mut defaults = after.networks.iter().filter(|(_, n)| n.default_route).map(|(name, _)| name.as_str());
    if let (Some(one), Some(other)) = (defaults.next(), defaults.next()) {
        problems.push(format!("networks {one} and {other} both have \"defaultRoute\": one can"));
    }
    let mut used: BTreeMap<(&str, Option<u16>), &str> = BTreeMap::new();
    for (name, network) in &after.networks {
        let Some(base) = network.base() else { continue };
        if let Some(other) = used.insert((base, network.vlan), name) {
            let what = network.vlan.map_or("without VLAN".to_owned(), |v| format!("with VLAN {v}"));
            problems.push(format!("networks {other} and {name} are both {what} on {base}"));
        }
        if let Some((bond, _)) = after.bondings.iter().find(|(_, b)| b.nics.iter().any(|nic| nic == base)) {
            problems.push(format!("network {name}: {base} belongs to bond {bond}: give \"bonding\" {bond}"));
        }
        if network.bridged && network.port().as_deref() == Some(name) {
            problems.push(format!("network {name}: its bridge would have the name of its port"));
        }
    }
    let mut nics: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, bond) in &after.bondings {
        for nic in &bond.nics {
            if let Some(other) = nics.insert(nic, name) {
                problems.push(format!("{nic} belongs to bonds {other} and {name}: it can be in one"));
            }
        }
    }
    for (name, _) in request.bondings.iter().filter(|(_, w)| matches!(w, Wanted::Remove(_))) {
        let user = after.networks.iter().find(|(_, n)| n.bonding.as_deref() == Some(name));
        if let Some((network, _)) = user {
            problems.push(format!(
                "bond {name} is in use by network {network}: remove that too, or give it another"
            ));
        }
    }
}

struct Builder<'a> {
    before: &'a Layout,
    target: Layout,
    after: &'a Known,
    problems: &'a mut Vec<String>,
}

impl Builder<'_> {
    fn device(&mut self, name: &str) -> Option<&mut Device> {
        self.target.get_mut(name).and_then(Option::as_mut)
    }

    /// Default routes that the new one takes the place of.
    fn give_way(&mut self) {
        for device in self.target.values_mut().flatten() {
            device.routes.retain(|route| !route.gives_way());
        }
    }

    /// Takes apart what a network is now; the NIC or bond stays.
    fn dismantle(&mut self, name: &str, known: Option<&Network>, removed: bool) {
        let is_bridge = |d: &Option<Device>| matches!(d, Some(Device { kind: Kind::Bridge { .. }, .. }));
        let foreign = known.is_none() && self.before.get(name).is_some_and(is_bridge);
        match known {
            Some(network) => {
                let top = network.top(name);
                if let Some(base) = network.base().map(str::to_owned)
                    && let Some(device) = self.device(&base)
                {
                    if device.master.as_deref() == Some(name) {
                        device.master = None;
                    }
                    if top.as_deref() == Some(&base) {
                        device.without_addresses();
                    }
                }
                if network.vlan.is_some()
                    && let Some(port) = network.port()
                {
                    self.target.insert(port, None);
                }
                if network.bridged {
                    self.target.insert(name.to_owned(), None);
                }
            }
            None if foreign && removed => {
                self.target.insert(name.to_owned(), None);
                for device in self.target.values_mut() {
                    if device.as_ref().is_some_and(|d| d.master.as_deref() == Some(name)) {
                        // A VLAN in a bridge was made for it.
                        match device {
                            Some(Device { kind: Kind::Vlan { .. }, .. }) => *device = None,
                            Some(device) => device.master = None,
                            None => {}
                        }
                    }
                }
            }
            None if removed => {
                self.problems.push(format!("network {name}: there is no such network to remove"));
            }
            None => {}
        }
    }

    fn bond(&mut self, name: &str, wanted: &Wanted<Bond>) {
        let is = self.before.get(name).and_then(Option::as_ref);
        if is.is_some_and(|d| !matches!(d.kind, Kind::Bond { .. })) {
            self.problems.push(format!("bond {name}: there is a device of this name that is no bond"));
            return;
        }
        let nics = wanted.set().map(|bond| bond.nics.as_slice()).unwrap_or_default();
        for (nic, device) in &mut self.target {
            if let Some(device) = device
                && device.master.as_deref() == Some(name)
                && !nics.contains(nic)
            {
                device.master = None;
            }
        }
        let Wanted::Set(bond) = wanted else {
            if is.is_none() {
                self.problems.push(format!("bond {name}: there is no such bond to remove"));
            }
            self.target.insert(name.to_owned(), None);
            return;
        };
        let kind = Kind::Bond { options: bond.options.clone() };
        let made = Device { kind, up: true, ..is.cloned().unwrap_or_else(|| Device::new(Kind::Plain)) };
        let mtu = made.mtu;
        self.target.insert(name.to_owned(), Some(made));
        for nic in nics {
            let Some(device) = self.device(nic) else {
                self.problems.push(format!("bond {name}: this host has no NIC {nic}"));
                continue;
            };
            device.without_addresses();
            device.up = true;
            device.mtu = mtu.or(device.mtu);
            if let Some(master) = device.master.replace(name.to_owned()).filter(|m| m != name) {
                self.problems
                    .push(format!("bond {name}: {nic} belongs to {master}: take it out there first"));
            }
        }
    }

    fn build(&mut self, name: &str, network: &Network) {
        if let Some(base) = network.base() {
            self.base(name, base, network);
        }
        let top =
            if network.bridged { self.bridge(name, network) } else { network.port().unwrap_or_default() };
        let Some(device) = self.device(&top) else { return };
        device.up = true;
        device.addresses = addresses(network);
        device.routes.retain(|route| !route.gives_way());
        if network.default_route {
            device.routes.extend(gateways(network).map(Route::default_via));
        }
        device.autoconf = Some(network.ipv6_autoconf);
        if network.mtu < 1280 {
            // The kernel has no IPv6 there.
            device.autoconf = None;
        }
    }

    fn base(&mut self, name: &str, base: &str, network: &Network) {
        let above = self.after.networks.values().filter(|n| n.base() == Some(base));
        let mtu = above.map(|n| n.mtu).max();
        let direct = network.vlan.is_none();
        let bridge = network.bridged.then(|| name.to_owned());
        let slaves: Vec<String> = self.after.bondings.get(base).map(|b| b.nics.clone()).unwrap_or_default();
        let what = if network.nic.is_some() { "NIC" } else { "bond" };
        let Some(device) = self.device(base) else {
            self.problems.push(format!("network {name}: this host has no {what} {base}"));
            return;
        };
        device.up = true;
        device.mtu = mtu.or(device.mtu);
        let master = device.master.clone();
        if direct {
            if bridge.is_some() {
                device.without_addresses();
            }
            device.master.clone_from(&bridge);
        }
        // The bridge of the one network without VLAN may have it; VLANs stand beside that.
        let ours = |master: &str| {
            self.after
                .networks
                .get(master)
                .is_some_and(|n| n.bridged && n.vlan.is_none() && n.base() == Some(base))
        };
        if let Some(master) = master.filter(|m| if direct { Some(m) != bridge.as_ref() } else { !ours(m) }) {
            self.problems
                .push(format!("network {name}: {base} belongs to {master}: take it out there first"));
        }
        for slave in slaves {
            if let Some(device) = self.device(&slave) {
                device.mtu = mtu.or(device.mtu);
            }
        }
        if let (Some(id), Some(port)) = (network.vlan, network.port()) {
            if port.len() > 15 {
                self.problems
                    .push(format!("network {name}: the name {port} of its VLAN is too long for the kernel"));
            }
            let kind = Kind::Vlan { link: base.to_owned(), id };
            let is = self.before.get(&port).cloned().flatten().filter(|d| d.kind == kind);
            let mut vlan = is.unwrap_or_else(|| Device::new(kind));
            vlan.up = true;
            vlan.mtu = Some(network.mtu);
            if network.bridged {
                vlan.without_addresses();
            }
            vlan.master = bridge;
            self.target.insert(port, Some(vlan));
        }
    }

    fn bridge(&mut self, name: &str, network: &Network) -> String {
        let kind = Kind::Bridge { stp: network.stp };
        let is = self.before.get(name).cloned().flatten();
        if is.as_ref().is_some_and(|d| !d.kind.serves_as(&kind)) {
            self.problems.push(format!("network {name}: there is a device of this name that is no bridge"));
        }
        let mut bridge = is.unwrap_or_else(|| Device::new(kind.clone()));
        bridge.kind = kind;
        bridge.mtu = Some(network.mtu);
        self.target.insert(name.to_owned(), Some(bridge));
        name.to_owned()
    }
}

fn addresses(network: &Network) -> Vec<Address> {
    let mut addresses = Vec::new();
    if let Ipv4::Static { address, prefix, .. } = network.ipv4 {
        addresses.push(Address { ip: address.into(), prefix, lifetime: None });
    }
    if let Some((address, prefix)) = network.ipv6 {
        addresses.push(Address { ip: address.into(), prefix, lifetime: None });
    }
    addresses
}

/// The gateways of a network.
pub(crate) fn gateways(network: &Network) -> impl Iterator<Item = IpAddr> {
    let v4 = match network.ipv4 {
        Ipv4::Static { gateway, .. } => gateway.map(IpAddr::from),
        _ => None,
    };
    v4.into_iter().chain(network.ipv6_gateway.map(IpAddr::from))
}
