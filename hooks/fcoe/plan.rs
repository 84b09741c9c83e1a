// SPDX-License-Identifier: Apache-2.0
//! Which NICs are to have an FCoE configuration after the change of networks, and which no more.

use crate::shared::messages::shown;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use virt_hooks_sdk::serde_json::{self, Map, Value};
use virt_hooks_sdk::{Context, Failure};

/// The networks as they run now, one file each.
const RUNNING: &str = "/var/lib/vdsm/staging/netconf/nets";

/// The names of the property, and those of the configuration.
const NAMES: [(&str, &str); 3] =
    [("enable", "FCOE_ENABLE"), ("dcb", "DCB_REQUIRED"), ("auto_vlan", "AUTO_VLAN")];

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// NICs that are to have a configuration, with the settings asked for.
    pub(super) wanted: BTreeMap<String, Vec<(&'static str, String)>>,
    /// NICs that are to have none any more.
    pub(super) unwanted: BTreeSet<String>,
}

/// What a network of the request says.
enum Request {
    /// FCoE on this NIC, with these settings.
    Fcoe(String, Vec<(&'static str, String)>),
    /// No FCoE, or no network.
    Nothing,
}

/// # Errors
/// What is wrong with a network of the request, or with its running configuration.
pub(super) fn make(hook: &Context, networks: &Map<String, Value>) -> Result<Plan, Failure> {
    let mut running = running(hook, networks)?;
    let mut plan = Plan::default();
    for (name, network) in networks {
        let of = |reason: String| Failure::stop(format!("fcoe of network {}: {reason}", shown(name)));
        let before = running.remove(name);
        let nic = match request(network).map_err(of)? {
            Request::Fcoe(nic, settings) => {
                plan.wanted.insert(nic.clone(), settings);
                Some(nic)
            }
            Request::Nothing => None,
        };
        if before != nic {
            plan.unwanted.extend(before);
        }
    }
    // What is left runs on as it is.
    let used: BTreeSet<String> = running.into_values().collect();
    plan.unwanted.retain(|nic| !plan.wanted.contains_key(nic) && !used.contains(nic));
    Ok(plan)
}

fn request(network: &Value) -> Result<Request, String> {
    let network = network.as_object().ok_or("the network is no object")?;
    let custom = match network.get("custom") {
        None => None,
        Some(custom) => custom.as_object().ok_or("\"custom\" is no object")?.get("fcoe"),
    };
    match custom {
        None | Some(Value::Null) => Ok(Request::Nothing),
        Some(Value::String(text)) => {
            let settings = settings(text)?;
            match network.get("nic") {
                None | Some(Value::Null) => Err("it has to be directly on a NIC, not on a bond".to_owned()),
                Some(Value::String(nic)) if is_nic_name(nic) => Ok(Request::Fcoe(nic.clone(), settings)),
                Some(_) => Err("\"nic\" of the network is no name of an interface".to_owned()),
            }
        }
        Some(_) => Err("expected text such as enable=yes,dcb=no".to_owned()),
    }
}

/// The settings that the property's text asks for.
fn settings(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut settings = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, value) = item
            .split_once('=')
            .ok_or_else(|| format!("expected name=value such as enable=yes, not {}", shown(item)))?;
        let (name, value) = (name.trim(), value.trim());
        let Some((_, setting)) = NAMES.into_iter().find(|(known, _)| *known == name) else { continue };
        if !matches!(value, "yes" | "no") {
            return Err(format!("expected yes or no for {name}, not {}", shown(value)));
        }
        settings.push((setting, value.to_owned()));
    }
    Ok(settings)
}

/// The NICs of the FCoE networks as they are now, by network.
fn running(hook: &Context, requested: &Map<String, Value>) -> Result<BTreeMap<String, String>, Failure> {
    let dir = hook.host().path(RUNNING);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Failure::stop(format!("fcoe: list {}: {error}", dir.display()))),
    };
    let mut running = BTreeMap::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let network = fs::read(entry.path())
            .map_err(|error| error.to_string())
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string()));
        let network = match network {
            Ok(network) => network,
            Err(reason) => {
                let line = format!("fcoe: running network {}: {reason}", shown(&name));
                if requested.contains_key(&name) {
                    return Err(Failure::stop(line));
                }
                // Of the other networks no file is changed, so nothing is lost with it.
                hook.log(line);
                continue;
            }
        };
        if network.pointer("/custom/fcoe").is_none_or(Value::is_null) {
            continue;
        }
        match network.get("nic").and_then(Value::as_str).filter(|nic| is_nic_name(nic)) {
            Some(nic) => {
                running.insert(name, nic.to_owned());
            }
            None => hook.log(format!("fcoe: running network {} has FCoE and no NIC: left out", shown(&name))),
        }
    }
    Ok(running)
}

/// Whether the kernel could have an interface of this name; such a name is also part of a file's name.
/// The one of the template is not for a NIC.
fn is_nic_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && !matches!(name, "." | ".." | "ethx")
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_hooks_sdk::serde_json::json;

    #[test]
    fn the_property() {
        let text = " enable = no , dcb=yes,,foo=bar, auto_vlan=no,enable=yes ,";
        let expected =
            [("FCOE_ENABLE", "no"), ("DCB_REQUIRED", "yes"), ("AUTO_VLAN", "no"), ("FCOE_ENABLE", "yes")];
        assert_eq!(settings(text).unwrap(), expected.map(|(name, value)| (name, value.to_owned())));
        assert!(settings("").unwrap().is_empty() && settings(" , ").unwrap().is_empty());
        for bad in ["true", "enable", "enable=", "enable=YES", "enable=yes=no", "dcb=1"] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn running_networks() {
        let host = tempfile::tempdir().unwrap();
        let nets = host.path().join("var/lib/vdsm/staging/netconf/nets");
        fs::create_dir_all(&nets).unwrap();
        for (name, text) in [
            ("a", r#"{"nic": "eth1", "custom": {"fcoe": "enable=yes"}}"#),
            ("b", r#"{"nic": "eth2", "custom": {"fcoe": null}}"#),
            ("c", r#"{"nic": "eth3"}"#),
            ("d", r#"{"custom": {"fcoe": ""}}"#),
            ("e", "no JSON"),
        ] {
            fs::write(nets.join(name), text).unwrap();
        }
        let hook = Context::for_test().with_host(host.path());
        let request = |name: &str| Map::from_iter([(name.to_owned(), json!({"nic": "eth9"}))]);
        let expected = BTreeMap::from([("a".to_owned(), "eth1".to_owned())]);
        assert_eq!(running(&hook, &request("d")).unwrap(), expected);
        assert_eq!(hook.logged().len(), 2);
        assert!(running(&hook, &request("e")).unwrap_err().message().contains("network \"e\""));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        /// Values of the grammar, and the settings they are; names that are not known are passed over.
        #[test]
        fn settings_are_those_that_are_known(given in proptest::collection::vec((0_usize..4, proptest::bool::ANY, " ?"), 0..6)) {
            let value = |yes: bool| if yes { "yes" } else { "no" };
            let name = |n: usize| NAMES.get(n).map_or("other", |(name, _)| name);
            let text: Vec<String> = given.iter().map(|(n, yes, blank)| {
                format!("{blank}{}{blank}={blank}{}{blank}", name(*n), value(*yes))
            }).collect();
            let wanted: Vec<_> = given.iter()
                .filter_map(|(n, yes, _)| Some((NAMES.get(*n)?.1, value(*yes).to_owned())))
                .collect();
            proptest::prop_assert_eq!(settings(&text.join(",")).unwrap(), wanted);
        }
    }
}
