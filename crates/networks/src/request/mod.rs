// SPDX-License-Identifier: Apache-2.0
//! A request: networks, bondings, options, in VDSM's shape (VDSM payload examples, section 10).

mod network;

use self::network::NETWORK_KEYS;
pub(crate) use self::network::{Ipv4, Network};
use crate::bond;
use crate::object::Object;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const BOND_KEYS: &[&str] = &["nics", "options", "switch", "hwaddr", "remove"];
const OPTION_KEYS: &[&str] = &["connectivityCheck", "connectivityTimeout", "commitOnSuccess", "_inRollback"];
/// VDSM's time for a check of the connection.
const CONNECTIVITY_TIMEOUT: u64 = 120;

/// A thing to be there as said, or to be gone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted<T> {
    Set(T),
    /// With the other keys that came with it, which go on to hooks.
    Remove(Map<String, Value>),
}

impl<T> Wanted<T> {
    pub(crate) fn set(&self) -> Option<&T> {
        match self {
            Self::Set(it) => Some(it),
            Self::Remove(_) => None,
        }
    }
}

fn switch(o: &mut Object<'_>) {
    if o.text("switch").is_some_and(|s| s != "legacy") {
        o.problem("\"switch\" is not \"legacy\": virt-hooks sets up Linux bridges only");
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bond {
    /// In order of their names.
    pub(crate) nics: Vec<String>,
    /// By VDSM's names, `mode` by the kernel's word.
    pub(crate) options: BTreeMap<String, String>,
    /// As it was written, for hooks.
    text: String,
}

impl Bond {
    fn read(mut o: Object<'_>) -> Self {
        let mut nics = o.list("nics").unwrap_or_default();
        nics.sort();
        if nics.is_empty() {
            o.problem("it has no \"nics\"");
        }
        if nics.windows(2).any(|pair| pair[0] == pair[1]) {
            o.problem("\"nics\" names one twice");
        }
        switch(&mut o);
        if o.text("hwaddr").is_some() {
            o.problem("\"hwaddr\" is not set up by virt-hooks: leave it out");
        }
        let text = o.text("options").unwrap_or_else(|| "mode=0".to_owned());
        let options = match bond::options(&text) {
            Ok(options) => options,
            Err(problem) => {
                o.problem(format!("\"options\": {problem}"));
                BTreeMap::new()
            }
        };
        Self { nics, options, text }
    }

    fn to_value(&self) -> Value {
        json!({"nics": self.nics, "options": self.text, "switch": "legacy"})
    }
}

/// How a request is to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// Whether the default gateway must answer afterwards, and within which time.
    pub(crate) connectivity: Option<Duration>,
    timeout: u64,
    pub(crate) commit: Option<bool>,
    pub(crate) in_rollback: bool,
}

impl Options {
    fn read(mut o: Object<'_>) -> Self {
        let check = o.truth("connectivityCheck").unwrap_or(false);
        let timeout = o.number("connectivityTimeout", 1, 3600).unwrap_or(CONNECTIVITY_TIMEOUT);
        let in_rollback = o.truth("_inRollback").unwrap_or(false);
        Self {
            connectivity: check.then_some(Duration::from_secs(timeout)),
            timeout,
            commit: o.truth("commitOnSuccess"),
            in_rollback,
        }
    }

    fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("connectivityCheck".into(), self.connectivity.is_some().into());
        map.insert("connectivityTimeout".into(), self.timeout.into());
        if let Some(commit) = self.commit {
            map.insert("commitOnSuccess".into(), commit.into());
        }
        if self.in_rollback {
            map.insert("_inRollback".into(), true.into());
        }
        map.into()
    }

    /// None said.
    pub(crate) fn nothing() -> Self {
        Self { connectivity: None, timeout: CONNECTIVITY_TIMEOUT, commit: None, in_rollback: false }
    }

    /// Those of a rollback (VDSM sequence 4.20).
    pub(crate) fn of_rollback() -> Self {
        Self { in_rollback: true, ..Self::nothing() }
    }
}

/// A request, every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) networks: BTreeMap<String, Wanted<Network>>,
    pub(crate) bondings: BTreeMap<String, Wanted<Bond>>,
    pub(crate) options: Options,
}

impl Request {
    /// Reads a request. What is wrong with it, all of it, goes to `problems`.
    ///
    /// With `whole` all three keys must be there, as after the hooks of `before_network_setup`.
    pub(crate) fn read(value: &Value, whole: bool, problems: &mut Vec<String>) -> Self {
        let nothing = Map::new();
        let keys = ["networks", "bondings", "options"];
        let top = value.as_object().unwrap_or(&nothing);
        if !value.is_object() {
            problems.push("the request is no object".to_owned());
        }
        Object::new("the request".to_owned(), top, &keys, problems);
        let part = |key: &str, problems: &mut Vec<String>| match top.get(key) {
            Some(Value::Object(map)) => map.clone(),
            Some(Value::Null) | None if !whole => Map::new(),
            None => {
                problems.push(format!("the request has no \"{key}\""));
                Map::new()
            }
            Some(_) => {
                problems.push(format!("the request: \"{key}\" is no object"));
                Map::new()
            }
        };
        let networks = part("networks", problems);
        let bondings = part("bondings", problems);
        let options = part("options", problems);
        Self {
            networks: things(&networks, "network", NETWORK_KEYS, problems, Network::read),
            bondings: things(&bondings, "bond", BOND_KEYS, problems, Bond::read),
            options: Options::read(Object::new("options".to_owned(), &options, OPTION_KEYS, problems)),
        }
    }

    /// As hooks see it: an object with the key `request`.
    pub(crate) fn to_payload(&self) -> Value {
        json!({"request": self.to_value()})
    }

    pub(crate) fn to_value(&self) -> Value {
        json!({
            "networks": values(&self.networks, Network::to_value),
            "bondings": values(&self.bondings, Bond::to_value),
            "options": self.options.to_value(),
        })
    }
}

fn values<T>(things: &BTreeMap<String, Wanted<T>>, to_value: impl Fn(&T) -> Value) -> Value {
    let one = |wanted: &Wanted<T>| match wanted {
        Wanted::Set(thing) => to_value(thing),
        Wanted::Remove(others) => {
            let mut map = Map::from_iter([("remove".to_owned(), Value::Bool(true))]);
            map.extend(others.clone());
            map.into()
        }
    };
    things.iter().map(|(name, wanted)| (name.clone(), one(wanted))).collect::<Map<_, _>>().into()
}

fn things<T>(
    values: &Map<String, Value>,
    what: &str,
    keys: &[&str],
    problems: &mut Vec<String>,
    read: impl Fn(Object<'_>) -> T,
) -> BTreeMap<String, Wanted<T>> {
    let mut things = BTreeMap::new();
    for (name, value) in values {
        let what = format!("{what} {}", name.escape_debug());
        if !is_interface_name(name) {
            problems.push(format!(
                "{what}: the kernel has no interfaces of such a name: use up to 15 letters and digits"
            ));
        }
        let Some(map) = value.as_object() else {
            problems.push(format!("{what} is no object"));
            continue;
        };
        let mut object = Object::new(what, map, keys, problems);
        let wanted = if object.truth("remove") == Some(true) {
            let mut others = map.clone();
            others.remove("remove");
            Wanted::Remove(others)
        } else {
            Wanted::Set(read(object))
        };
        things.insert(name.clone(), wanted);
    }
    things
}

/// Whether the kernel could have an interface of this name; such a name is no option either.
pub(crate) fn is_interface_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && !name.starts_with('-')
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> (Request, Vec<String>) {
        let mut problems = Vec::new();
        let request = Request::read(value, false, &mut problems);
        (request, problems)
    }

    fn problem(network: &Value) -> String {
        read(&json!({"networks": {"n": network}})).1.join("; ")
    }

    #[test]
    fn defaults_are_spelt_out_and_a_prefix_becomes_a_netmask() {
        let (request, problems) = read(&json!({
            "networks": {
                "ovirtmgmt": {"nic": "eno1", "ipaddr": "192.0.2.10", "prefix": 24, "custom": {"a": "b"}},
                "storage": {"bonding": "bond0", "vlan": "27", "bridged": "false", "mtu": 9000, "bootproto": "dhcp"},
                "old": {"remove": true, "mtu": 1500},
            },
            "bondings": {"bond0": {"nics": ["eno3", "eno2"], "options": "mode=4 miimon=100"}},
        }));
        assert_eq!(problems, Vec::<String>::new());
        let expected = json!({"request": {
            "networks": {
                "old": {"remove": true, "mtu": 1500},
                "ovirtmgmt": {"nic": "eno1", "bridged": true, "stp": false, "mtu": 1500, "bootproto": "none",
                    "ipaddr": "192.0.2.10", "netmask": "255.255.255.0", "dhcpv6": false, "ipv6autoconf": false,
                    "defaultRoute": false, "nameservers": [], "switch": "legacy", "custom": {"a": "b"}},
                "storage": {"bonding": "bond0", "vlan": 27, "bridged": false, "mtu": 9000, "bootproto": "dhcp",
                    "dhcpv6": false, "ipv6autoconf": false, "defaultRoute": false, "nameservers": [],
                    "switch": "legacy"}},
            "bondings": {"bond0": {"nics": ["eno2", "eno3"], "options": "mode=4 miimon=100", "switch": "legacy"}},
            "options": {"connectivityCheck": false, "connectivityTimeout": 120}}});
        assert_eq!(request.to_payload(), expected);
        // What hooks got back reads as what they were given.
        let mut problems = Vec::new();
        assert_eq!(Request::read(&expected["request"], true, &mut problems), request);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let (_, problems) = read(&json!({
            "networks": {"n": {"nick": "eth0", "vlan": 5000, "mtu": "big"}}, "bond": {}, "options": {"timeout": 1}
        }));
        assert_eq!(
            problems,
            [
                "the request: no key \"bond\": there are networks, bondings, options",
                "network n: no key \"nick\": did you mean \"nic\"?",
                "network n: \"vlan\" is 5000, expected a number from 1 to 4094",
                "network n: \"mtu\" is \"big\", expected a number from 68 to 65535",
                "options: no key \"timeout\": there are connectivityCheck, connectivityTimeout, commitOnSuccess, _inRollback",
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (network, words) in [
            (json!({"nic": "a", "bonding": "b"}), "exclude each other"),
            (json!({"bridged": false}), "no \"nic\" and no \"bonding\""),
            (json!({"nic": "a", "ipaddr": "192.0.2.1"}), "needs \"netmask\" or \"prefix\""),
            (json!({"nic": "a", "netmask": "255.255.255.0"}), "need \"ipaddr\""),
            (json!({"nic": "a", "ipaddr": "192.0.2.1", "netmask": "255.0.255.0"}), "is no netmask"),
            (
                json!({"nic": "a", "ipaddr": "192.0.2.1", "prefix": 24, "bootproto": "dhcp"}),
                "exclude each other",
            ),
            (
                json!({"nic": "a", "ipaddr": "192.0.2.1", "prefix": 24, "gateway": "10.0.0.1", "defaultRoute": true}),
                "not in the subnet",
            ),
            (
                json!({"nic": "a", "ipaddr": "192.0.2.1", "prefix": 24, "gateway": "192.0.2.2"}),
                "needs \"defaultRoute\"",
            ),
            (json!({"nic": "a", "ipv6addr": "x"}), "expected an IPv6 address"),
            (json!({"nic": "a", "switch": "ovs"}), "Linux bridges only"),
            (json!({"nic": "a", "bridged": false, "stp": true}), "needs a bridge"),
            (json!({"nic": "a", "hostQos": {}}), "not set up"),
            (json!({"nic": "a", "nameservers": ["x"], "defaultRoute": true}), "no IP address"),
            (json!({"nic": "a", "bridged": "perhaps"}), "expected true or false"),
        ] {
            let said = problem(&network);
            assert!(said.contains(words), "{network}: {said}");
        }
        assert!(read(&json!({"networks": {"../x": {}}})).1[0].contains("interfaces of such a name"));
        assert_eq!(network::netmask(0).to_string(), "0.0.0.0");
        assert_eq!(network::netmask(32).to_string(), "255.255.255.255");
    }
}
