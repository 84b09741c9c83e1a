// SPDX-License-Identifier: Apache-2.0
//! From one layout to another: the commands, in an order the kernel takes. The way back is the same function.

use crate::layout::{Address, Device, Kind, Layout, Route};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// `ip` with these arguments.
    Ip(Vec<String>),
    /// Whether a device takes IPv6 addresses from routers.
    Autoconf { device: String, on: bool },
}

fn ip(words: &[&str]) -> Step {
    Step::Ip(words.iter().map(|w| (*w).to_owned()).collect())
}

/// A device on its way.
struct Change<'a> {
    name: &'a str,
    /// As it is when its turn comes: what is made anew starts bare.
    from: Device,
    to: &'a Device,
    made: bool,
}

pub(crate) fn steps(from: &Layout, to: &Layout) -> Vec<Step> {
    let is = |name: &str| from.get(name).and_then(Option::as_ref);
    let mut steps = Vec::new();
    let mut changes: Vec<Change<'_>> = Vec::new();
    let mut gone: Vec<(&str, &Device)> = Vec::new();
    let remade = remade(from, to);
    for (name, wanted) in to {
        let now = is(name);
        let made = now.is_none() || remade.contains(name.as_str());
        if let Some(device) = now.filter(|d| d.kind != Kind::Plain && (made || wanted.is_none())) {
            gone.push((name, device));
        }
        if let Some(wanted) = wanted {
            let kept = now.filter(|_| !made);
            changes.push(Change {
                name,
                from: kept.cloned().unwrap_or_else(|| Device::new(wanted.kind.clone())),
                to: wanted,
                made,
            });
        }
    }
    changes.sort_by_key(|c| c.to.kind.depth());

    for change in changes.iter().filter(|c| !c.made) {
        for route in change.from.routes.iter().filter(|r| !change.to.routes.iter().any(|w| w.is(r))) {
            steps.push(route_step("del", route, change.name));
        }
    }
    // What stands on others goes first.
    gone.sort_by_key(|(_, device)| std::cmp::Reverse(device.kind.depth()));
    let is_gone = |name: &str| gone.iter().any(|(gone, _)| *gone == name);
    for change in changes.iter().filter(|c| !c.made && c.from.master != c.to.master) {
        if change.from.master.as_deref().is_some_and(|m| !is_gone(m)) {
            steps.push(ip(&["link", "set", "dev", change.name, "nomaster"]));
        }
    }
    for (name, _) in &gone {
        steps.push(ip(&["link", "del", "dev", name]));
    }
    let is_bond = |layout: &Layout, name: &str| {
        matches!(layout.get(name), Some(Some(Device { kind: Kind::Bond { .. }, .. })))
    };
    for change in changes.iter_mut().filter(|c| !c.made) {
        let left = change.from.master.as_deref();
        if left.is_some_and(|m| is_bond(from, m) && (is_gone(m) || change.to.master.as_deref() != Some(m))) {
            // A bond takes its NICs down as it lets them go, and gives them the MTU they came with.
            change.from.up = false;
            change.from.mtu = None;
        }
    }
    for change in changes.iter().filter(|c| c.made) {
        steps.extend(make(change.name, &change.to.kind));
    }
    for change in changes.iter().filter(|c| !c.made) {
        if let (Kind::Bridge { stp: is }, Kind::Bridge { stp }) = (&change.from.kind, &change.to.kind)
            && is != stp
        {
            let state = if *stp { "1" } else { "0" };
            steps.push(ip(&["link", "set", "dev", change.name, "type", "bridge", "stp_state", state]));
        }
        for address in change.from.addresses.iter().filter(|a| !change.to.addresses.iter().any(|w| w.is(a))) {
            let text = format!("{}/{}", address.ip, address.prefix);
            steps.push(ip(&["address", "del", &text, "dev", change.name]));
        }
    }
    // A larger MTU from below, a smaller one from above: a VLAN cannot have more than what it stands on.
    let mtu = |c: &Change<'_>| {
        let mtu = c.to.mtu.filter(|mtu| c.from.mtu != Some(*mtu))?.to_string();
        Some(ip(&["link", "set", "dev", c.name, "mtu", &mtu]))
    };
    let grows = |c: &Change<'_>| c.from.mtu.is_none_or(|is| c.to.mtu.is_some_and(|wanted| wanted > is));
    let (bridges, others): (Vec<&Change<'_>>, Vec<&Change<'_>>) =
        changes.iter().partition(|c| matches!(c.to.kind, Kind::Bridge { .. }));
    steps.extend(others.iter().rev().filter(|c| !grows(c)).filter_map(|c| mtu(c)));
    steps.extend(others.iter().filter(|c| grows(c)).filter_map(|c| mtu(c)));
    for change in &changes {
        let joins =
            change.to.master.as_deref().filter(|m| change.from.master.as_deref() != Some(*m) || is_gone(m));
        if let Some(master) = joins {
            if is_bond(to, master) {
                // It takes no NIC that is up, and brings it up by itself.
                steps.push(ip(&["link", "set", "dev", change.name, "down"]));
            }
            steps.push(ip(&["link", "set", "dev", change.name, "master", master]));
        }
    }
    // A bridge takes the MTU of its ports until it is told one.
    for change in bridges {
        if let Some(mtu) = change.to.mtu {
            steps.push(ip(&["link", "set", "dev", change.name, "mtu", &mtu.to_string()]));
        }
    }
    for change in &changes {
        if let Some(on) = change.to.autoconf.filter(|on| change.from.autoconf != Some(*on)) {
            steps.push(Step::Autoconf { device: change.name.to_owned(), on });
        }
    }
    let joins_bond = |c: &Change<'_>| {
        c.to.master.as_deref().is_some_and(|m| is_bond(to, m) && c.from.master.as_deref() != Some(m))
    };
    for change in changes.iter().filter(|c| c.to.up && (!c.from.up || joins_bond(c))) {
        steps.push(ip(&["link", "set", "dev", change.name, "up"]));
    }
    for change in changes.iter().rev().filter(|c| !c.to.up && c.from.up) {
        steps.push(ip(&["link", "set", "dev", change.name, "down"]));
    }
    for change in &changes {
        for address in change.to.addresses.iter().filter(|w| !change.from.addresses.iter().any(|a| a.is(w))) {
            steps.push(address_step(address, change.name));
        }
    }
    // Whatever lost its address, or went down for a moment, lost its routes.
    for change in changes.iter().filter(|c| c.to.up) {
        // Those that others need to reach their gateway come first.
        let (near, far): (Vec<&Route>, Vec<&Route>) = change.to.routes.iter().partition(|r| r.via.is_none());
        for route in near.into_iter().chain(far) {
            steps.push(route_step("replace", route, change.name));
        }
    }
    steps
}

/// What must be made anew: of another kind, or a VLAN on such, which goes with it.
fn remade<'a>(from: &Layout, to: &'a Layout) -> BTreeSet<&'a str> {
    let both =
        || to.iter().filter_map(|(name, wanted)| Some((name, from.get(name)?.as_ref()?, wanted.as_ref()?)));
    let other = |is: &Device, wanted: &Device| is.kind != Kind::Plain && !is.kind.serves_as(&wanted.kind);
    let mut remade: BTreeSet<&str> =
        both().filter(|(_, is, wanted)| other(is, wanted)).map(|(name, ..)| name.as_str()).collect();
    for (name, _, wanted) in both() {
        if matches!(&wanted.kind, Kind::Vlan { link, .. } if remade.contains(link.as_str())) {
            remade.insert(name);
        }
    }
    remade
}

fn make(name: &str, kind: &Kind) -> Option<Step> {
    match kind {
        // Nobody can make a NIC: that it is missing is found afterwards.
        Kind::Plain => None,
        Kind::Bridge { stp } => {
            let state = if *stp { "1" } else { "0" };
            Some(ip(&["link", "add", "name", name, "type", "bridge", "stp_state", state]))
        }
        Kind::Vlan { link, id } => {
            let id = id.to_string();
            Some(ip(&["link", "add", "link", link, "name", name, "type", "vlan", "id", &id]))
        }
        Kind::Bond { options } => {
            let mut words = vec!["link", "add", "name", name, "type", "bond"];
            // The mode decides which others are allowed.
            let mode = options.iter().filter(|(name, _)| *name == "mode");
            for (name, value) in mode.chain(options.iter().filter(|(name, _)| *name != "mode")) {
                words.extend([name.as_str(), value.as_str()]);
            }
            Some(ip(&words))
        }
    }
}

fn address_step(address: &Address, device: &str) -> Step {
    let text = format!("{}/{}", address.ip, address.prefix);
    let mut words = vec!["address", "add", text.as_str()];
    if let IpAddr::V4(_) = address.ip
        && address.prefix < 31
    {
        words.extend(["broadcast", "+"]);
    }
    words.extend(["dev", device]);
    let lifetime = address.lifetime.map(|(valid, preferred)| (valid.to_string(), preferred.to_string()));
    if let Some((valid, preferred)) = &lifetime {
        words.extend(["valid_lft", valid, "preferred_lft", preferred]);
    }
    ip(&words)
}

fn route_step(verb: &str, route: &Route, device: &str) -> Step {
    let metric = route.metric.map(|m| m.to_string());
    let mut words = vec![if route.v6 { "-6" } else { "-4" }, "route", verb, &route.to];
    if let Some(via) = &route.via {
        words.extend(["via", via]);
    }
    words.extend(["dev", device]);
    let more =
        [("metric", &metric), ("proto", &route.protocol), ("scope", &route.scope), ("src", &route.source)];
    for (name, value) in more {
        if let Some(value) = value {
            words.extend([name, value.as_str()]);
        }
    }
    ip(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(from: &Layout, to: &Layout) -> Vec<String> {
        steps(from, to)
            .into_iter()
            .map(|step| match step {
                Step::Ip(words) => words.join(" "),
                Step::Autoconf { device, on } => format!("autoconf {device} {on}"),
            })
            .collect()
    }

    fn nic() -> Device {
        Device { mtu: Some(1500), up: true, ..Device::new(Kind::Plain) }
    }

    fn address(text: &str) -> Address {
        let (ip, prefix) = text.split_once('/').unwrap();
        Address { ip: ip.parse().unwrap(), prefix: prefix.parse().unwrap(), lifetime: None }
    }

    /// A bond of two NICs, a VLAN on it, a bridge over that, with an address and the default route.
    fn stack() -> (Layout, Layout) {
        let mut eth0 = nic();
        eth0.addresses = vec![address("192.0.2.10/24")];
        eth0.routes = vec![Route::default_via("192.0.2.1".parse().unwrap())];
        let from = Layout::from([
            ("eth0".to_owned(), Some(eth0.clone())),
            ("eth1".to_owned(), Some(nic())),
            ("bond0".to_owned(), None),
            ("bond0.27".to_owned(), None),
            ("net".to_owned(), None),
        ]);
        let options = [("miimon", "100"), ("mode", "802.3ad")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let slave = Device { master: Some("bond0".to_owned()), mtu: Some(9000), ..nic() };
        let above = |kind| Device { mtu: Some(9000), up: true, ..Device::new(kind) };
        let vlan = Kind::Vlan { link: "bond0".to_owned(), id: 27 };
        let to = Layout::from([
            ("eth0".to_owned(), Some(slave.clone())),
            ("eth1".to_owned(), Some(slave)),
            ("bond0".to_owned(), Some(above(Kind::Bond { options: options.into() }))),
            ("bond0.27".to_owned(), Some(Device { master: Some("net".to_owned()), ..above(vlan) })),
            (
                "net".to_owned(),
                Some(Device {
                    addresses: eth0.addresses.clone(),
                    routes: eth0.routes.clone(),
                    autoconf: Some(false),
                    ..above(Kind::Bridge { stp: false })
                }),
            ),
        ]);
        (from, to)
    }

    #[test]
    fn a_stack_is_built_from_below() {
        let (from, to) = stack();
        let expected = [
            "-4 route del default via 192.0.2.1 dev eth0 proto static",
            "link add name bond0 type bond mode 802.3ad miimon 100",
            "link add link bond0 name bond0.27 type vlan id 27",
            "link add name net type bridge stp_state 0",
            "address del 192.0.2.10/24 dev eth0",
            "link set dev eth0 mtu 9000",
            "link set dev eth1 mtu 9000",
            "link set dev bond0 mtu 9000",
            "link set dev bond0.27 mtu 9000",
            "link set dev eth0 down",
            "link set dev eth0 master bond0",
            "link set dev eth1 down",
            "link set dev eth1 master bond0",
            "link set dev bond0.27 master net",
            "link set dev net mtu 9000",
            "autoconf net false",
            "link set dev eth0 up",
            "link set dev eth1 up",
            "link set dev bond0 up",
            "link set dev bond0.27 up",
            "link set dev net up",
            "address add 192.0.2.10/24 broadcast + dev net",
            "-4 route replace default via 192.0.2.1 dev net proto static",
        ];
        assert_eq!(lines(&from, &to), expected);
        assert_eq!(lines(&from, &from).len(), 1, "nothing but the route, which is made sure of");
    }

    #[test]
    fn the_way_back_is_the_same_function() {
        let (from, to) = stack();
        // The bridge takes its address and its route along.
        let expected = [
            "link del dev net",
            "link del dev bond0.27",
            "link del dev bond0",
            "link set dev eth0 mtu 1500",
            "link set dev eth1 mtu 1500",
            "link set dev eth0 up",
            "link set dev eth1 up",
            "address add 192.0.2.10/24 broadcast + dev eth0",
            "-4 route replace default via 192.0.2.1 dev eth0 proto static",
        ];
        assert_eq!(lines(&to, &from), expected);
    }

    #[test]
    fn a_bond_with_other_options_is_made_anew_and_its_nics_join_again() {
        let bond = |mode: &str| {
            Some(Device {
                up: true,
                ..Device::new(Kind::Bond { options: [("mode".to_owned(), mode.to_owned())].into() })
            })
        };
        let slave = Some(Device { master: Some("bond0".to_owned()), ..nic() });
        let layout =
            |mode| Layout::from([("bond0".to_owned(), bond(mode)), ("eth0".to_owned(), slave.clone())]);
        assert_eq!(
            lines(&layout("balance-rr"), &layout("802.3ad")),
            [
                "link del dev bond0",
                "link add name bond0 type bond mode 802.3ad",
                "link set dev eth0 mtu 1500",
                "link set dev eth0 down",
                "link set dev eth0 master bond0",
                "link set dev eth0 up",
                "link set dev bond0 up",
            ]
        );
    }

    #[test]
    fn a_bond_that_is_made_anew_has_its_vlans_again() {
        let (_, with) = stack();
        let mut other = with.clone();
        let Some(Some(bond)) = other.get_mut("bond0") else { panic!() };
        bond.kind = Kind::Bond { options: [("mode".to_owned(), "balance-rr".to_owned())].into() };
        let lines = lines(&with, &other);
        let at = |line: &str| {
            lines.iter().position(|l| l == line).unwrap_or_else(|| panic!("no {line}: {lines:#?}"))
        };
        assert!(at("link del dev bond0.27") < at("link del dev bond0"));
        assert!(
            at("link add name bond0 type bond mode balance-rr")
                < at("link add link bond0 name bond0.27 type vlan id 27")
        );
        assert!(at("link set dev bond0.27 master net") < at("link set dev net mtu 9000"));
    }

    #[test]
    fn a_lease_comes_back_with_what_is_left_of_it() {
        let mut to = nic();
        to.addresses = vec![Address { lifetime: Some((600, 300)), ..address("192.0.2.10/24") }];
        let layout = |d: Device| Layout::from([("eth0".to_owned(), Some(d))]);
        assert_eq!(
            lines(&layout(nic()), &layout(to)),
            ["address add 192.0.2.10/24 broadcast + dev eth0 valid_lft 600 preferred_lft 300"]
        );
    }
}
