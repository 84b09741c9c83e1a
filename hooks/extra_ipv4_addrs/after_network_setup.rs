// SPDX-License-Identifier: Apache-2.0
//! Adds IPv4 addresses to the top devices of networks that ask for it.

use super::device::top_device;
use crate::shared::messages::{MOST, shown};
use crate::shared::network_request::for_each_with;
use std::net::Ipv4Addr;
use virt_hooks_sdk::serde_json::{Map, Value};
use virt_hooks_sdk::{Command, Context, Failure};

const PROPERTY: &str = "ipv4_addrs";

pub(crate) fn run(hook: &mut Context) -> Result<(), Failure> {
    for_each_with(hook, PROPERTY, set_up)
}

/// Does what one network asks for; says why it could not.
fn set_up(
    hook: &mut Context,
    name: &str,
    network: &Map<String, Value>,
    addresses: &str,
) -> Result<(), String> {
    let mut items = addresses.split(',').map(str::trim).filter(|item| !item.is_empty()).peekable();
    if items.peek().is_none() {
        return Ok(());
    }
    let device = top_device(hook.host(), name, network)?;
    let mut unclear = 0;
    for item in items {
        if is_address(item) {
            add(hook, name, &device, item)?;
            continue;
        }
        unclear += 1;
        if unclear <= MOST {
            let (network, item) = (shown(name), shown(item));
            hook.log(format!(
                "{PROPERTY} of network {network}: expected an address such as 192.0.2.7/24, not {item}"
            ));
        }
    }
    if unclear > MOST {
        hook.log(format!("{PROPERTY} of network {}: {} more are no addresses", shown(name), unclear - MOST));
    }
    Ok(())
}

/// Whether this is an IPv4 address, with or without the length of its prefix.
fn is_address(item: &str) -> bool {
    let (address, length) = item.split_once('/').unwrap_or((item, "32"));
    let is_length = (1..3).contains(&length.len())
        && length.bytes().all(|b| b.is_ascii_digit())
        && length.parse::<u8>().is_ok_and(|length| length <= 32);
    is_length && address.parse::<Ipv4Addr>().is_ok()
}

fn add(hook: &mut Context, network: &str, device: &str, address: &str) -> Result<(), String> {
    let program = if hook.host().path("/sbin/ip").exists() { "/sbin/ip" } else { "ip" };
    let command = Command::new(program).args(["-4", "addr", "add", "dev", device, address]);
    let output = match hook.execute(&command) {
        Ok(output) => output,
        Err(error) => {
            let failure = Failure::from(error);
            return Err(failure.message().to_owned());
        }
    };
    // In the words of the kernel's number, and those it sends itself since Linux 6.0.
    let text = output.stderr.text();
    let is_there = ["File exists", "already assigned"].iter().any(|words| text.contains(words));
    match output.success(&command) {
        Err(error) if !is_there => {
            hook.log(format!("{PROPERTY} of network {}: {command}: {error}", shown(network)));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use virt_hooks_sdk::Output;
    use virt_hooks_sdk::serde_json::json;

    /// What came of the hook, the commands it ran and what it logged; `ip` answers 2 and these words.
    fn outcome(networks: &Value, stderr: &'static str) -> (Result<(), Failure>, Vec<String>, Vec<String>) {
        let host = tempfile::tempdir().unwrap();
        for device in ["em1", "em2"] {
            std::fs::create_dir_all(host.path().join("sys/class/net").join(device)).unwrap();
        }
        let ran = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&ran);
        let payload = json!({"request": {"networks": networks}}).to_string();
        let mut hook = Context::for_test().with_json(payload.clone()).with_host(host.path()).with_commands(
            move |command| {
                seen.borrow_mut().push(command.to_string());
                Ok(Output::exited(if stderr.is_empty() { 0 } else { 2 }, "").with_stderr(stderr))
            },
        );
        let result = run(&mut hook);
        assert_eq!(hook.json_text(), payload);
        let ran = ran.borrow().clone();
        (result, ran, hook.logged())
    }

    fn bridged(addresses: &str) -> Value {
        json!({"bridged": "true", "nic": "em1", "custom": {"ipv4_addrs": addresses}})
    }

    #[test]
    fn addresses_in_order_without_blanks_and_empty_ones() {
        let (result, ran, logged) =
            outcome(&json!({"red": bridged(" 10.0.0.1/24 , ,10.0.0.2/32,10.0.0.3,")}), "");
        result.unwrap();
        assert_eq!(
            ran,
            ["10.0.0.1/24", "10.0.0.2/32", "10.0.0.3"].map(|a| format!("ip -4 addr add dev red {a}"))
        );
        assert!(logged.is_empty());
    }

    #[test]
    fn what_is_no_address_is_told_and_not_given_away() {
        let long = "9".repeat(1 << 20);
        for bad in [
            "10.0.0.1/24;reboot",
            "10.0.0.1/33",
            "10.0.0.1/",
            "10.0.0.1/+8",
            "10.0.0.1/255.255.255.0",
            "10.0.0/8",
            "fe80::1/64",
            "-6",
            "10.0.0.1/24 dev em9",
            "10.0.0.1/24\n10.0.0.2/24",
            "$(reboot)",
            "../x",
            "\0",
            &long,
        ] {
            let (result, ran, logged) = outcome(&json!({"red": bridged(&format!("{bad},10.0.0.9/24"))}), "");
            result.unwrap();
            assert_eq!(ran, ["ip -4 addr add dev red 10.0.0.9/24"], "{bad}");
            assert_eq!(logged.len(), 1, "{bad}");
            assert!(
                logged[0].starts_with("ipv4_addrs of network \"red\": expected") && logged[0].len() < 300
            );
        }
    }

    #[test]
    fn what_ip_refuses_is_told_unless_the_address_is_there() {
        for (words, lines) in [
            ("RTNETLINK answers: File exists\n", 0),
            ("Error: ipv4: Address already assigned.\n", 0),
            ("RTNETLINK answers: Operation not permitted\n", 2),
        ] {
            let (result, ran, logged) = outcome(&json!({"red": bridged("10.0.0.1/24,10.0.0.2/24")}), words);
            result.unwrap();
            assert_eq!((ran.len(), logged.len()), (2, lines), "{words}");
        }
    }

    #[test]
    fn others_are_left_alone() {
        for network in [
            json!({"nic": "em1"}),
            json!({"nic": "em1", "custom": {"other": "x"}}),
            json!({"nic": "em1", "custom": {"ipv4_addrs": " , "}}),
            json!({"remove": true, "nic": "em1", "custom": {"ipv4_addrs": "10.0.0.1/24"}}),
        ] {
            let (result, ran, _) = outcome(&json!({"red": network}), "");
            result.unwrap();
            assert!(ran.is_empty(), "{network}");
        }
    }

    #[test]
    fn a_mistake_keeps_no_other_network_waiting() {
        let networks = json!({
            "a": {"bridged": false, "custom": {"ipv4_addrs": "10.0.0.1/24"}},
            "b": {"custom": null},
            "c": {"bridged": "0", "nic": "em2", "custom": {"ipv4_addrs": "10.0.0.2/24"}},
            "d": {"custom": {"ipv4_addrs": ["10.0.0.1/24"]}},
        });
        let (result, ran, logged) = outcome(&networks, "");
        assert_eq!(ran, ["ip -4 addr add dev em2 10.0.0.2/24"]);
        assert_eq!(logged.len(), 2);
        let failure = result.unwrap_err();
        assert_eq!(failure.message(), "ipv4_addrs of network \"d\": expected text");
        assert_eq!(failure.exit_code(), 2);
    }

    #[test]
    fn not_a_request() {
        for payload in ["[]", "{}", "{\"request\": {\"networks\": 1}}", ""] {
            let failure = run(&mut Context::for_test().with_json(payload)).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{payload}");
        }
    }

    #[test]
    fn without_ip() {
        let payload = json!({"request": {"networks": {"red": bridged("10.0.0.1/24")}}}).to_string();
        let failure = run(&mut Context::for_test().with_json(payload)).unwrap_err();
        assert!(
            failure.message().starts_with("ipv4_addrs of network \"red\": run ip"),
            "{}",
            failure.message()
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(64) })]
        /// Values of the grammar, and the commands they are.
        #[test]
        fn each_address_is_added_in_order(given in proptest::collection::vec((proptest::num::u32::ANY, proptest::option::of(0_u8..=32), " ?"), 1..6)) {
            let items: Vec<String> = given.iter().map(|(address, length, _)| {
                let address = Ipv4Addr::from_bits(*address);
                length.map_or(address.to_string(), |length| format!("{address}/{length}"))
            }).collect();
            let value = items.iter().zip(&given).map(|(item, (.., blank))| format!("{blank}{item}{blank}")).collect::<Vec<_>>().join(",");
            let (result, ran, logged) = outcome(&json!({"n": bridged(&value)}), "");
            let wanted: Vec<String> = items.iter().map(|item| format!("ip -4 addr add dev n {item}")).collect();
            proptest::prop_assert_eq!((result, ran, logged), (Ok(()), wanted, Vec::new()));
        }
    }
}
