// SPDX-License-Identifier: Apache-2.0
//! Options of a bond: VDSM's text, and what the kernel calls them.

use std::collections::BTreeMap;
use virt_hooks_contract::nearest;

/// By number.
const MODES: [&str; 7] =
    ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];

/// VDSM's name, which is the bonding driver's, and the key in what `ip -json` tells.
pub(crate) const OPTIONS: &[(&str, &str)] = &[
    ("mode", "mode"),
    ("miimon", "miimon"),
    ("updelay", "updelay"),
    ("downdelay", "downdelay"),
    ("arp_interval", "arp_interval"),
    ("arp_ip_target", "arp_ip_target"),
    ("primary", "primary"),
    ("primary_reselect", "primary_reselect"),
    ("fail_over_mac", "fail_over_mac"),
    ("xmit_hash_policy", "xmit_hash_policy"),
    ("lacp_rate", "ad_lacp_rate"),
    ("ad_select", "ad_select"),
    ("min_links", "min_links"),
    ("all_slaves_active", "all_slaves_active"),
    ("resend_igmp", "resend_igmp"),
    ("packets_per_slave", "packets_per_slave"),
];

/// Whether the kernel takes an option in a mode. It tells values of the others too, and refuses to be given them.
pub(crate) fn applies(option: &str, mode: &str) -> bool {
    let balances_by_itself = matches!(mode, "balance-tlb" | "balance-alb");
    match option {
        "lacp_rate" | "ad_select" | "min_links" => mode == "802.3ad",
        "packets_per_slave" => mode == "balance-rr",
        "primary" | "primary_reselect" => mode == "active-backup" || balances_by_itself,
        "arp_interval" | "arp_ip_target" => mode != "802.3ad" && !balances_by_itself,
        _ => true,
    }
}

/// `mode=4 miimon=100` as names and values, the mode by its word.
pub(crate) fn options(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::new();
    for part in text.split_whitespace() {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("\"{}\": give it as NAME=VALUE", part.escape_debug()))?;
        if !OPTIONS.iter().any(|(known, _)| *known == name) {
            let meant = nearest(name, OPTIONS.iter().map(|(known, _)| *known));
            let meant = meant.map(|m| format!(": did you mean \"{m}\"?")).unwrap_or_default();
            return Err(format!("no option \"{}\" of a bond{meant}", name.escape_debug()));
        }
        if value.is_empty() || value.starts_with('-') {
            return Err(format!("\"{}\" has no value", part.escape_debug()));
        }
        let value = if name == "mode" { mode(value)? } else { value };
        options.insert(name.to_owned(), value.to_owned());
    }
    options.entry("mode".to_owned()).or_insert_with(|| MODES[0].to_owned());
    Ok(options)
}

fn mode(text: &str) -> Result<&'static str, String> {
    let found = match text.parse::<usize>() {
        Ok(n) => MODES.get(n),
        Err(_) => MODES.iter().find(|m| **m == text),
    };
    found.copied().ok_or_else(|| {
        format!("no mode \"{}\" of a bond: there are {}, or 0 to 6", text.escape_debug(), MODES.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_belong_to_modes() {
        assert!(applies("lacp_rate", "802.3ad") && !applies("lacp_rate", "active-backup"));
        assert!(applies("primary", "active-backup") && !applies("primary", "802.3ad"));
        assert!(MODES.iter().all(|mode| applies("miimon", mode) && applies("mode", mode)));
    }

    #[test]
    fn modes_by_number_and_word() {
        for text in ["mode=4 miimon=100", "miimon=100 mode=802.3ad"] {
            let options = options(text).unwrap();
            assert_eq!(options["mode"], "802.3ad");
            assert_eq!(options["miimon"], "100");
        }
        assert_eq!(options("").unwrap()["mode"], "balance-rr");
        for (text, words) in [
            ("mode=7", "no mode \"7\""),
            ("mimon=1", "did you mean \"miimon\"?"),
            ("miimon", "NAME=VALUE"),
            ("miimon=", "no value"),
        ] {
            assert!(options(text).unwrap_err().contains(words), "{text}");
        }
    }
}
